"""The figures of an evaluation as lines of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from routing_assets.allocation import POLICIES
from routing_assets.evaluation.summary import Row

FRACTIONS = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
ORDER = (
    "best_single", "zero_router", "random", *POLICIES, "knn_mip", "task_rates_mip",
    "ndch_p_token_aware", "mip_token_aware", "mip_safe", "mip_known_costs",
    "mip_second_look", "second_look_random", "cascade_cheap_first", "second_look_perfect",
    "oracle_predicted_costs", "oracle",
)  # fmt: skip
FED_BY = {"raw": "mip_raw", "scaled": "mip_scaled", "calibrated": "mip_bucket", "decision": "mip"}
DASH = "–"


def policy_lines(budget_fractions: np.ndarray, policies: Mapping[str, Row]) -> list[str]:
    """One line per policy: relative success by budget, AIQ, and the least budget that reaches 95 %."""
    shown = _shown(budget_fractions)
    lines = [f"{'':<24}" + "".join(f"{fraction:>8.0%}" for fraction in shown) + f"{'AIQ':>8}{'95 % at':>11}"]
    for policy in ORDER:
        if policy in policies:
            row = policies[policy]
            kept = row["budget_fraction_to_keep_95_percent"]["estimate"]
            lines.append(
                f"{policy:<24}{_cells(row, shown)}{row['aiq_paper']['estimate']:>8.3f}"
                + (f"{DASH:>11}" if kept is None else f"{kept:>11.0%}")
            )
    return lines


def calibration_lines(
    budget_fractions: np.ndarray, policies: Mapping[str, Row], calibration: Mapping[str, Row]
) -> list[str]:
    """One line per step of the router: relative success of MIP on its estimates, log-loss, Brier score and ECE."""
    shown = _shown(budget_fractions)
    head = "".join(f"{fraction:>8.0%}" for fraction in shown)
    lines = [f"{'':<24}{head}{'log-loss':>10}{'Brier':>8}{'ECE':>8}"]
    for step, policy in FED_BY.items():
        row = calibration[step]
        lines.append(
            f"{step:<24}{_cells(policies[policy], shown)}{row['log_loss']:>10.4f}{row['brier']:>8.4f}{row['ece']:>8.4f}"
        )
    return lines


def gain_rows(gains: Sequence[Row]) -> list[dict[str, str]]:
    """The gains of a verdict as the cells of a table, one row per budget."""
    return [
        {
            "budget": f"{gain['budget_fraction']:.0%}",
            "fixed mixture": f"{gain['fixed_mixture']:.1%}",
            "MIP": f"{gain['mip']:.1%}",
            "gain [95 %], points": _points_with_interval(gain["gain"], gain),
            "spent of budget": f"{gain['spent_of_budget']:.1%}",
        }
        for gain in gains
    ]


def second_look_rows(gains: Sequence[Row]) -> list[dict[str, str]]:
    """The gains of second looks as the cells of a table, one row per budget."""
    return [
        {
            "budget": f"{gain['budget_fraction']:.0%}",
            "gain [95 %], points": _points_with_interval(gain["difference"], gain),
            "a second look": gain["answer"],
        }
        for gain in gains
    ]


def _points_with_interval(value: float, gain: Row) -> str:
    return "{:+.1f} [{:+.1f}, {:+.1f}]".format(100 * value, *(100 * end for end in gain["interval"]))


def _shown(budget_fractions: np.ndarray) -> list[float]:
    return [fraction for fraction in FRACTIONS if np.isclose(budget_fractions, fraction).any()]


def _cells(row: Row, shown: list[float]) -> str:
    at = {
        round(cell["budget_fraction"], 6): f"{cell['relative_success']:.3f}"
        for cell in row["curve"]
        if np.isfinite(cell["relative_success"])
    }
    return "".join(f"{at.get(round(fraction, 6), DASH):>8}" for fraction in shown)
