"""What changed when a batch was routed again: which assignments moved, what was gained, and why it was routed again."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from routing_assets.batches.route import summary_of
from routing_assets.foundation.long_table import about, matrix, matrix_of

NEW, GONE = "(new instruction)", "(no longer in the batch)"
_CAUSES = {"router_version": "router", "price_version": "prices", "settings_version": "policy"}


@dataclass(frozen=True)
class Rerouting:
    """A decision set against the one before it.

    Both are valued by today's estimates, those of the new decision: the difference is what moving buys, and not what
    the estimates themselves changed by. It is over the instructions of both whose former model the router still knows.
    """

    reasons: tuple[str, ...]
    """What differs between the decisions: ``file``, ``router``, ``prices``, ``policy``."""
    kept: int
    moves: tuple[tuple[str, str, int], ...]
    """(from, to, count), the most frequent first; new and vanished instructions are named so."""
    cost_change_usd: float
    success_change: float
    """Expected successes gained."""

    @property
    def moved(self) -> int:
        """Instructions that got another model."""
        return sum(count for before, _, count in self.moves if before not in (NEW, GONE))

    def row(self) -> dict[str, Any]:
        """One row for the warehouse."""
        return {
            "reasons": list(self.reasons),
            "kept": self.kept,
            "moved": self.moved,
            "moves": json.dumps([{"from": a, "to": b, "count": n} for a, b, n in self.moves]),
            "cost_change_usd": self.cost_change_usd,
            "success_change": self.success_change,
        }


def compare_decisions(before: pa.Table, after: pa.Table, probabilities: pa.Table, costs: pa.Table) -> Rerouting:
    """Set a routed table against the one before it.

    Args:
        before, after: routed tables, each with its summary and the hash of its batch file.
        probabilities, costs: the long tables that ``after`` was decided on, in its order; more models may be
            priced than are known.
    """
    old, new = summary_of(before), summary_of(after)
    reasons = ["file"] if about(before).get("file_sha256") != about(after).get("file_sha256") else []
    reasons += [cause for name, cause in _CAUSES.items() if old[name] != new[name]]
    former = dict(zip(before["instruction_id"].to_pylist(), before["model"].to_pylist(), strict=True))
    ids, models = after["instruction_id"].to_pylist(), after["model"].to_pylist()
    pairs = Counter((former.get(i, NEW), model) for i, model in zip(ids, models, strict=True))
    gone = len(former.keys() - set(ids))
    moves = [(a, b, n) for (a, b), n in pairs.most_common() if a != b]
    known = tuple(json.loads(about(probabilities)["models"]))
    column = {model: k for k, model in enumerate(known)}
    choice = np.array([[column.get(former.get(i, ""), -1), column[m]] for i, m in zip(ids, models, strict=True)])
    row = np.flatnonzero(choice[:, 0] >= 0)
    success, cost = matrix(probabilities, "decision", known), matrix_of(costs, "cost", known)
    now, then = choice[row, 1], choice[row, 0]
    gain = [(values[row, now] - values[row, then]).sum(dtype=np.float64) for values in (cost, success)]
    return Rerouting(
        tuple(reasons),
        sum(n for (a, b), n in pairs.items() if a == b),
        (*moves, *([(GONE, GONE, gone)] if gone else [])),
        float(gain[0]),
        float(gain[1]),
    )
