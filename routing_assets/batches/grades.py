"""The grades of a batch's answers: by which grader, from which references, and how far people agree with them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from routing_assets.answers.graders.agreement import Agreement, agreement
from routing_assets.answers.graders.grade import Grader
from routing_assets.answers.graders.grading import SCHEMA, Asked, gradable, grade_answers
from routing_assets.answers.graders.judge import Judge
from routing_assets.answers.graders.table import GraderChoice
from routing_assets.batches.answers import outcome_tables, received_answers, sent_by
from routing_assets.batches.folders import BatchFolders
from routing_assets.batches.judge_money import commit_judging
from routing_assets.batches.judging import Judging, questions_of, write_questions
from routing_assets.batches.known import decision_in_force, latest_revision
from routing_assets.batches.policy import GRADER, RoutingSettings, read_policy, settings_of_request
from routing_assets.datasets.outcomes import Outcomes, merge_outcomes
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.long_table import about
from routing_assets.foundation.schema import read_values
from routing_assets.pricing.catalog import ModelCatalog
from routing_assets.storage.parquet_store import Store
from routing_assets.storage.partitioned import PartitionedTable
from routing_assets.storage.warehouse import Warehouse

GRADING = "grading"
"""In the metadata of a table of grades: the row of its grading in the ledger, as JSON."""


@dataclass(frozen=True)
class GradingRequest:
    """How a batch is graded.

    Attributes:
        of_batch: whether the grader was chosen for this batch rather than by the policy file.
        settings: of the batch; their period pays a judge.
    """

    grader: Grader
    of_batch: bool
    settings: RoutingSettings


@dataclass(frozen=True, eq=False)
class BatchGrades:
    """The grades of a batch.

    Attributes:
        table: ``SCHEMA`` of ``answers.graders.grading``; empty where there is no grader.
        grader: None where there is none.
        agreement: with the successes that outcome files told; None where they told none of a graded answer.
        judging: of a judge.
    """

    table: pa.Table
    grader: Grader | None = None
    agreement: Agreement | None = None
    judging: Judging | None = None


def ungraded(grades: pa.Table) -> dict[str, int]:
    """How many answers were not graded, by the reason."""
    missing = grades.filter(pc.is_null(grades["success"]))
    counted = missing.group_by("reason", use_threads=False).aggregate([("reason", "count")])
    return dict(zip(counted["reason"].to_pylist(), counted["reason_count"].to_pylist(), strict=True))


def grading_request(
    warehouse: Warehouse, folders: BatchFolders, policy_file: Path, batch_id: str, asked: Mapping[str, Any] | str | None
) -> GradingRequest | None:
    """The grader of a batch: the one that is asked for, or else the one that was chosen for it before, with its answers
    or with its file, or else that of the policy file; None where there is none.
    """
    if asked is None and (chosen := warehouse.fetch("chosen_grader", {"batch_id": batch_id})):
        asked = {chosen[0]["grader"]: json.loads(chosen[0]["settings"])}
    own, standing = latest_revision(warehouse, folders, batch_id).request, read_policy(policy_file)
    source = f"the grader of batch {batch_id}"
    asked = asked or own.get(GRADER)
    choice = standing.grader if asked is None else read_values(GraderChoice, asked, source=source)
    if choice is None:
        return None
    settings = settings_of_request(own, standing.settings, source=f"the request of batch {batch_id}")
    return GradingRequest(choice.grader, asked is not None, settings)


def grade_batch(
    warehouse: Warehouse,
    store: Store,
    folders: BatchFolders,
    batch_id: str,
    answers: pa.Table,
    request: GradingRequest | None,
    *,
    run_id: str,
    catalog: ModelCatalog | None = None,
) -> BatchGrades:
    """Grade the answers to a batch. For a judge, write out what to ask it, too.

    Args:
        answers: as ``collect_answers`` found them.
        catalog: of the prices in force, for a judge.

    Raises:
        InvalidInput: the judge has no price; the grader was chosen for this batch, and none of it has a reference that
            the grader needs; or a function of the user's own cannot be loaded.
    """
    if request is None:
        return BatchGrades(SCHEMA.empty_table())
    decision = decision_in_force(warehouse, batch_id)
    sent = sent_by(warehouse, store, decision)
    instructions = store.parts("batch_instructions", batch_id, decision["dagster_run_id"])
    if request.of_batch:
        require_references(instructions, request.grader, batch_id)
    asked, grader, judging = asked_in(instructions, answers), request.grader, None
    if isinstance(grader, Judge):
        came = filter(sent.is_verdict, received_answers(folders, sent))
        questions = questions_of(grader, batch_id, gradable(answers, asked), came, catalog)
        judging = commit_judging(warehouse, batch_id, questions, request.settings)
        grader = judging.grader
        write_questions(folders, batch_id, run_id, judging, catalog)
    table = grade_answers(answers, asked, grader)
    told = told_successes(outcome_tables(folders, batch_id, sent))
    compared = compare(table, told)
    row = {"batch_id": batch_id, "decision_run_id": decision["dagster_run_id"]} | ledger_row(table, request, compared)
    if judging is not None:
        row |= {
            "judge_spent_usd": float(judging.spent),
            "judge_withheld": judging.withheld,
            "judged_in_both_orders": judging.orders.compared,
            "orders_differ": judging.orders.differ,
        }
    return BatchGrades(table.replace_schema_metadata({GRADING: json.dumps(row)}), grader, compared, judging)


def asked_in(instructions: PartitionedTable, answers: pa.Table) -> dict[str, Asked]:
    """What the answered instructions asked, and their references."""
    names = [name for name in ("instruction_id", "instruction", "reference") if name in instructions.schema.names]
    wanted = pc.unique(answers["instruction_id"])
    asked = {}
    for rows in instructions.batches(names):
        answered = rows.filter(pc.is_in(rows["instruction_id"], wanted))
        columns = {name: answered[name].to_pylist() for name in names}
        references = columns.get("reference", [None] * answered.num_rows)
        for name, text, reference in zip(columns["instruction_id"], columns["instruction"], references, strict=True):
            asked[name] = Asked(text, reference)
    return asked


def require_references(instructions: PartitionedTable, grader: Grader, batch_id: str) -> None:
    """Raise InvalidInput where a grader needs references, and the batch has none at all."""
    if grader.uses_reference and "reference" not in instructions.schema.names:
        raise InvalidInput(
            f"the grader {grader.name} needs references, and no instruction of batch '{batch_id}' has one",
            column="reference",
            remedy="Give the batch a column 'reference' with the right answers, or choose a grader that needs none.",
        )


def told_successes(tables: Sequence[Outcomes]) -> dict[tuple[str, str], float]:
    """What received tables say of success, by instruction and model."""
    if not tables:
        return {}
    told = merge_outcomes(*tables)
    pairs = zip(told.instruction_id, told.model, told.success, strict=True)
    return {(name, model): float(success) for name, model, success in pairs if not np.isnan(success)}


def compare(table: pa.Table, told: Mapping[tuple[str, str], float]) -> Agreement | None:
    """How far the grades agree with successes that were told of the same answers."""
    rows = zip(*(table[name].to_pylist() for name in ("instruction_id", "model", "success")), strict=True)
    both = [(grade, told[name, model]) for name, model, grade in rows if grade is not None and (name, model) in told]
    grades, people = np.array(both, np.float64).reshape(-1, 2).T
    return agreement(grades, people)


def ledger_row(table: pa.Table, request: GradingRequest, compared: Agreement | None) -> dict[str, Any]:
    """The grading as the ledger keeps it."""
    graded = table.num_rows - table["success"].null_count
    said = {f"agreement_{name}": value for name, value in asdict(compared).items()} if compared else {}
    return {
        "grader": request.grader.name,
        "grader_version": request.grader.version,
        "settings": json.dumps(request.grader.chosen_settings, sort_keys=True),
        "of_batch": request.of_batch,
        "graded": graded,
        "ungraded": table["success"].null_count,
        "mean_grade": pc.mean(table["success"]).as_py(),
        **said,
    }


def grading_of(grades: pa.Table) -> dict[str, Any] | None:
    """The row that a table of grades carries for the ledger; None where nothing was graded."""
    said = about(grades).get(GRADING)
    return json.loads(said) if said else None
