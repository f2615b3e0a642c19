"""Compare the outcomes of a routed batch with its predictions, and record them in the ledger."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from routing_assets.allocation.solver.exact import exact_sum
from routing_assets.answers.outcomes import outcomes_of
from routing_assets.answers.reading import is_answer_file, read_answers
from routing_assets.answers.table import read_answer_table
from routing_assets.batches.answers import Sent, check_answers, check_outcomes, outcome_tables, sent_by
from routing_assets.batches.first_answers import first_answers
from routing_assets.batches.folders import BatchFolders
from routing_assets.batches.grades import grading_of
from routing_assets.batches.known import (
    decision_in_force,
    intake_lock,
    outcome_files,
    received_file,
    refuse_retired,
)
from routing_assets.batches.ledger import record_grading, record_outcomes, record_realised_traffic, tenants_in
from routing_assets.batches.policy import settings_from
from routing_assets.batches.receive import private_copy
from routing_assets.batches.resend import RESEND, hand_off_rows, to_resend
from routing_assets.batches.route import LOOKED_AT, SECOND_LOOK, summary_of
from routing_assets.batches.same_ids import remark_on_same_ids
from routing_assets.batches.second_rounds import SecondCalls
from routing_assets.datasets.column_mapping import map_columns
from routing_assets.datasets.outcome_signals import signals_in
from routing_assets.datasets.outcomes import Outcomes, load_outcomes, match_outcomes, merge_outcomes, require_usable
from routing_assets.datasets.reading import read_raw_table
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.files import file_sha256, sync
from routing_assets.foundation.locks import batch_lock
from routing_assets.monitoring.realised import Realised, realised
from routing_assets.storage.parquet_store import Store
from routing_assets.storage.partitioned import PartitionedTable
from routing_assets.storage.warehouse import Warehouse


@dataclass(frozen=True, eq=False)
class RecordedOutcomes:
    """The outcomes of a routed batch.

    Attributes:
        matched: the routed rows with their outcomes.
        conflicts: outcomes that contradict another.
        resend: the folder of the requests to send again; None where there are none.
        to_resend: how many these are; ``withheld`` is how many more failed, for which the budget has nothing left.
    """

    matched: pa.Table
    realised: Realised
    files: int
    conflicts: int
    resend: Path | None = None
    to_resend: int = 0
    withheld: int = 0
    final: pa.Table | None = None
    """The rows after a second round: its calls and their outcomes in place of the first ones; None without one."""


def record_batch_outcomes(
    warehouse: Warehouse,
    store: Store,
    folders: BatchFolders,
    batch_id: str,
    run_id: str,
    answers: pa.Table,
    grades: pa.Table | None = None,
) -> RecordedOutcomes:
    """Match everything received for a batch with its decision, freeze the batch, and write what to send again.

    The batch is locked meanwhile, so that no other decision can come between.

    Args:
        answers: of the batch, as ``collect_answers`` found them.
        grades: of the answers, from ``grade_batch``. A success in a received file takes precedence over a grade.

    Raises:
        InvalidInput: the batch was never routed, or no outcomes of it came yet.
    """
    with batch_lock(folders.locks, batch_id):
        files = outcome_files(folders, batch_id)
        decisions = warehouse.fetch("current_decision", {"batch_id": batch_id})
        if not decisions or not files:
            raise InvalidInput(f"batch '{batch_id}' has no decision or no outcomes yet")
        decided = decisions[0]
        sent = sent_by(warehouse, store, decided)
        tables = outcome_tables(folders, batch_id, sent)
        outcomes = merge_outcomes(outcomes_of(answers, grades), *tables)
        _require_some(sent, answers, outcomes, files)  # again, for the batch may have been routed again since they came
        matched, _ = match_outcomes(sent.routed, outcomes)
        result = realised(sent.routed, outcomes)
        instructions = store.parts("batch_instructions", batch_id, decided["dagster_run_id"])
        pending = sent.second.in_place_of(sent.routed)
        final, _ = match_outcomes(pending, outcomes)
        resend = to_resend(final, answers, Fraction(decided["budget"]) - settled(matched, sent.second))
        received = received_file(warehouse, folders, batch_id, decided["file_sha256"])
        # Before the ledger: a process that dies in between leaves no outcomes on record, and its run is made again.
        layout = settings_from(json.loads(decided["settings"]), source="the ledger's settings").layout
        of_decision = batch_id, decided["dagster_run_id"]
        folder = hand_off_rows(folders, RESEND, *of_decision, resend.rows, pending, instructions, received, layout)
        with warehouse.transaction() as ledger:
            record_realised_traffic(ledger, batch_id, run_id, matched, instructions)
            if sent.second.model:
                again = pc.is_in(final["instruction_id"], pa.array(list(sent.second.model)))
                of_second = instructions.read(tenants_in(instructions)).filter(again)
                record_realised_traffic(ledger, batch_id, run_id, final.filter(again), of_second)
            unseen = count_unseen(store.at(decided["routed_path"]), sent, matched, answers, grades, files)
            record_outcomes(ledger, decided, result, run_id=run_id, unseen=unseen)
            if grades is not None and (grading := grading_of(grades)):
                record_grading(ledger, grading, run_id=run_id)
    conflicts = merge_outcomes(*tables).conflicts if tables else 0
    again = final if sent.second.model else None
    return RecordedOutcomes(
        matched, result, len(files), conflicts, folder, int(resend.rows.sum()), resend.withheld, again
    )


def settled(matched: pa.Table, second: SecondCalls) -> Fraction:
    """USD of the first calls that a second one followed: bills, and estimates where there is none."""
    if not second.model:
        return Fraction(0)
    rows = matched.filter(pc.is_in(matched["instruction_id"], pa.array(list(second.model))))
    return exact_sum(pc.coalesce(rows["billed_usd"], rows["cost"]).to_numpy())


def count_unseen(
    routed: PartitionedTable,
    sent: Sent,
    matched: pa.Table,
    answers: pa.Table,
    grades: pa.Table | None,
    files: Sequence[Path],
) -> int | None:
    """Answers to be looked at that did not come yet; None where none is looked at."""
    if LOOKED_AT not in routed.schema.names:
        return None
    wanted = dict.fromkeys(summary_of(routed)[SECOND_LOOK]["signals"], True)
    came = first_answers(sent, matched, answers, grades, files, wanted)
    looked_at = routed.read([LOOKED_AT])[LOOKED_AT].to_numpy()
    return int((looked_at & ~came.answered).sum())


def receive_outcomes(
    warehouse: Warehouse,
    store: Store,
    folders: BatchFolders,
    path: Path,
    batch_id: str,
    *,
    move: bool = False,
    encoding: str | None = None,
    columns: Mapping[str, str] | None = None,
    sent: Sent | None = None,
) -> list[str]:
    """Check an outcome file and keep its bytes beside the batch's; the same bytes are kept once.

    Args:
        encoding: of a text file that is not UTF-8; it is kept as UTF-8.
        columns: of a table, by our name the table's own; it is kept under ours.
        sent: by the decision in force, where the file is known to answer it; other batches with the same ids are not
            looked at then.

    Returns:
        The unused parts of the file, in words: rows that match no assignment of the batch, and columns.

    Raises:
        InvalidInput: the file holds no usable outcomes of the batch, or the batch was never routed.
    """
    with intake_lock(folders):
        refuse_retired(warehouse, batch_id)
        decided = sent or sent_by(warehouse, store, decision_in_force(warehouse, batch_id))
        with private_copy(folders, path, encoding) as copy:
            with copy.naming(path):
                remarks = [f"it is read as: {', '.join(copy.said)}"] if copy.said else []
                kept_as = _under_our_names(copy.path, columns) if columns else copy.path
                remarks += _checked_outcomes(copy.path, decided, columns or {}, kept_as)
                if sent is None and is_answer_file(copy.path):
                    first = warehouse.fetch("batch_decisions", {"batch_id": batch_id})[0]["decided_at"]
                    answers = read_answers(copy.path).answers
                    remarks += remark_on_same_ids(folders, batch_id, answers, first.timestamp())
            sha256 = file_sha256(kept_as)
            folder = folders.received / batch_id / "outcomes"
            folder.mkdir(parents=True, exist_ok=True)
            known = sorted(folder.glob(f"*-{sha256[:16]}.*"))
            kept = known[0] if known else folder / f"{time.time_ns():020d}-{sha256[:16]}{kept_as.suffix}"
            os.replace(kept_as, kept)
        if move:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        return remarks


def _under_our_names(path: Path, columns: Mapping[str, str]) -> Path:
    """The table beside the file, as Parquet."""
    if is_answer_file(path):
        raise InvalidInput(
            "this is a provider's output, which has no columns to name", remedy="Leave the --...-column options out"
        )
    renamed = path.with_name(".renamed.parquet")
    pq.write_table(map_columns(read_raw_table(path), columns).columns, renamed)
    sync(renamed)
    return renamed


def _require_some(sent: Sent, answers: pa.Table, outcomes: Outcomes, files: Sequence[Path]) -> None:
    """Raise InvalidInput where no outcome is of an instruction and the model that it was routed to."""
    pairs = zip(answers["instruction_id"].to_pylist(), answers["model"].to_pylist(), strict=True)
    if any(sent.asked(name, model or "") for name, model in pairs):
        return
    if not any(has_signals(path, sent) for path in files if not is_answer_file(path)):
        require_usable(sent.calls, outcomes)


def has_signals(path: Path, sent: Sent) -> bool:
    """Whether a table tells something of an answer to a routed instruction, such as whether a check passed."""
    return any(sent.asked(name, model) for name, model, *_ in signals_in(path))


def _checked_outcomes(path: Path, sent: Sent, columns: Mapping[str, str], under_our_names: Path) -> list[str]:
    """The unused parts of a usable file. Raises InvalidInput for an unusable one: outcomes freeze their batch."""
    if is_answer_file(path):
        return check_answers(path, sent)
    outcomes = load_outcomes(path, columns)
    answered = any(answer.instruction_id in sent.model for answer in read_answer_table(path, columns=columns))
    return check_outcomes(outcomes, sent, usable=answered or has_signals(under_our_names, sent))
