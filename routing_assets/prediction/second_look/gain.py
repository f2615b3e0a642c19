"""What a second look gained on held-out rows, by budget."""

from __future__ import annotations

from dataclasses import dataclass

from routing_assets.prediction.second_look.second_look import SecondLook

WORTHWHILE = 0.005
"""Mean success; a smaller gain is not worth a second round."""
LEAST_ROWS = 500
"""Fewer instructions tell nothing."""


@dataclass(frozen=True)
class Gain:
    """The mean success that a second look adds at one budget, over the better of two kinds of one call."""

    budget_fraction: float
    gain: float
    lower: float
    """One-sided bound, corrected for the number of budgets."""
    instructions: int

    @property
    def pays(self) -> bool:
        """Whether the gain is sure and worthwhile."""
        return self.instructions >= LEAST_ROWS and self.gain >= WORTHWHILE and self.lower > 0


@dataclass(frozen=True, eq=False)
class KeptSecondLook:
    """A second look that was kept under a version, and what it gained on held-out rows."""

    version: str
    second_look: SecondLook
    gains: tuple[Gain, ...]

    def gain_at(self, budget_fraction: float) -> Gain:
        """The gain at the budget that was tried nearest to this one."""
        return min(self.gains, key=lambda gain: abs(gain.budget_fraction - budget_fraction))
