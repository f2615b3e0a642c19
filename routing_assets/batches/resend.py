"""What to send again: the calls that failed, expired or were refused, by the same decision and within its budget."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from fractions import Fraction
from itertools import compress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from routing_assets.batches.folders import BatchFolders
from routing_assets.batches.handoff import hand_off
from routing_assets.batches.outbox import MANIFEST, next_decision
from routing_assets.batches.request_files import original_requests
from routing_assets.datasets.batch import set_aside_of
from routing_assets.datasets.file_layout import FileLayout
from routing_assets.storage.partitioned import PartitionedTable

RESEND = "resend"
"""The folder within the outbox folder of a batch."""


@dataclass(frozen=True, eq=False)
class Resend:
    """Which of the N routed rows are sent again.

    Attributes:
        rows: (N,) True for a call that failed and was never answered, as far as the budget goes.
        withheld: failed calls for which the budget has nothing left.
    """

    rows: np.ndarray
    withheld: int


def to_resend(matched: pa.Table, answers: pa.Table, budget: float | Fraction) -> Resend:
    """Choose what to send again, in the batch's order, so that bills and estimates together keep the budget.

    Args:
        matched: the routed rows with ``success`` and ``billed_usd``; what has no bill yet counts as estimated.
        answers: as ``collect`` makes it.
        budget: USD for these calls.
    """
    failures = answers.filter(pc.and_(answers["newest"], pc.is_valid(answers["error"])))
    failed = set(zip(failures["instruction_id"].to_pylist(), failures["model"].to_pylist(), strict=True))
    pairs = zip(matched["instruction_id"].to_pylist(), matched["model"].cast(pa.string()).to_pylist(), strict=True)
    unanswered = np.array([pair in failed for pair in pairs], bool) & matched["success"].is_null().to_numpy()
    estimate, bill = (matched[name].to_numpy().astype(np.float64) for name in ("cost", "billed_usd"))
    known = ~np.isnan(bill)
    room = Fraction(budget) - _exact(bill[known]) - _exact(estimate[~known & ~unanswered])
    rows = np.zeros(len(estimate), bool)
    for place in np.flatnonzero(unanswered):
        if (again := Fraction(estimate[place])) <= room:
            rows[place], room = True, room - again
    return Resend(rows, int(unanswered.sum() - rows.sum()))


def hand_off_rows(
    folders: BatchFolders,
    name: str,
    batch_id: str,
    run_id: str,
    rows: np.ndarray,
    routed: pa.Table,
    instructions: PartitionedTable,
    received: Path,
    layout: FileLayout,
) -> Path | None:
    """Write the requests of some instructions into ``outbox/<batch>/<name>``, in place of those before; returns the
    folder. No row leaves no folder.

    Args:
        run_id: the Dagster run that decided on them.
        rows: (N,) bool, of the batch.
        routed: the N rows, with the model of each.
        instructions: of the batch, in the same order.
        received: the batch as it came, of whose requests these are some.
        layout: how it differs from ours.
    """
    folder = folders.outbox / batch_id / name
    if not rows.any():
        (folder / MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        return None
    wanted = pa.array(rows)
    originals = original_requests(received, set_aside_of(instructions), layout)
    with next_decision(folder, folders.staged / batch_id / name) as new:
        hand_off(
            instructions.read(("instruction_id", "instruction")).filter(wanted),
            routed.filter(wanted),
            new,
            batch_id=batch_id,
            run_id=run_id,
            originals=None if originals is None else compress(originals, rows),
        )
    return folder


def _exact(values: np.ndarray) -> Fraction:
    return sum(map(Fraction, values.tolist()), Fraction(0))
