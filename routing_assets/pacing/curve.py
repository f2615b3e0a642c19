"""What a batch would spend at each shadow price of money: its frontier as steps, small enough to store for months."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from routing_assets.allocation import AllocationProblem, Frontier, frontier
from routing_assets.allocation.solver.exact import float_not_below

_POINTS = 128


@dataclass(frozen=True, eq=False)
class SpendCurve:
    """A batch's concave frontier from budget to expected success, as steps of falling worth.

    The linear relaxation of the batch takes the steps in this order (Sinha & Zoltners 1979): at a price of money ``p``,
    in expected successes per USD, it takes those with ``price`` > p, and any part of those with ``price`` = p.
    """

    instructions: float
    least_usd: float
    """USD of the cheapest assignment, rounded up."""
    price: np.ndarray
    """(S,) expected successes per USD of each step; falling."""
    usd: np.ndarray
    """(S,) USD that each step costs."""

    def spend(self, price: float) -> float:
        """USD that the batch spends where an extra USD must bring more than ``price`` expected successes."""
        return self.least_usd + float(self.usd[self.price > price].sum())

    def thinned(self, points: int = _POINTS) -> SpendCurve:
        """The curve with at most ``points`` steps of about equal USD: neighbours merged, their mean price kept."""
        if len(self.usd) <= points:
            return self
        filled = np.cumsum(self.usd)
        first = np.unique(np.searchsorted(filled, np.linspace(0, filled[-1], points, endpoint=False), side="right"))
        usd = np.add.reduceat(self.usd, first)
        return replace(self, price=np.add.reduceat(self.usd * self.price, first) / usd, usd=usd)

    def to_dict(self) -> dict[str, Any]:
        """The curve as JSON-able values, lossless."""
        return {
            "instructions": self.instructions,
            "least_usd": self.least_usd,
            "price": self.price.tolist(),
            "usd": self.usd.tolist(),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SpendCurve:
        """Restores what :meth:`to_dict` gave."""
        arrays = {name: np.asarray(values[name], np.float64) for name in ("price", "usd")}
        return cls(values["instructions"], values["least_usd"], **arrays)


def spend_curve(problem: AllocationProblem) -> SpendCurve:
    """The curve of one batch. Barred pairs are left out; budget and side constraints are not used."""
    without: dict[str, Any] = {**dict.fromkeys(problem.side_constraints), "extra_budgets": ()}
    return curve_of(frontier(replace(problem, **without)))


def curve_of(breakpoints: Frontier) -> SpendCurve:
    """The steps between the breakpoints of a frontier."""
    spent, price = breakpoints.budget, breakpoints.shadow_price[:-1]
    return SpendCurve(breakpoints.instructions, float(spent[0]), price, np.diff(spent))


def joined_curve(curves: Sequence[SpendCurve], least: Fraction) -> SpendCurve:
    """The curve of a batch from those of its parts, whose steps it takes in the order of their worth.

    Args:
        least: USD of the cheapest assignment of the whole batch, exact.
    """
    price, usd = (np.concatenate([getattr(curve, name) for curve in curves]) for name in ("price", "usd"))
    order = np.argsort(-price, kind="stable")
    instructions = sum(curve.instructions for curve in curves)
    return SpendCurve(instructions, float_not_below(least), price[order], usd[order])


def typical_curve(curves: Sequence[SpendCurve], weights: Sequence[float]) -> SpendCurve:
    """The weighted mean of batches as the curve of one instruction of theirs.

    Steps keep the order of their batches: sort them together with whatever they compete with.
    """
    instructions = sum(w * curve.instructions for w, curve in zip(weights, curves, strict=True))
    shares = [w / instructions for w in weights]
    return SpendCurve(
        1.0,
        sum(share * curve.least_usd for share, curve in zip(shares, curves, strict=True)),
        np.concatenate([curve.price for curve in curves]),
        np.concatenate([share * curve.usd for share, curve in zip(shares, curves, strict=True)]),
    )
