"""What a batch will really cost, how likely it overspends its budget, and the margin that prevents it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from routing_assets.foundation.errors import InvalidInput


@dataclass(frozen=True)
class SpendForecast:
    """Forecast of the realised spend of an allocated batch, in USD: normal, by the central limit theorem."""

    mean: float
    std: float

    def overspend_probability(self, budget: float) -> float:
        """Probability that the realised spend exceeds ``budget`` USD."""
        if self.std == 0.0:
            return float(self.mean > budget)
        return 1.0 - NormalDist(self.mean, self.std).cdf(budget)


@dataclass(frozen=True, eq=False)
class SpendSums:
    """Sums over the chosen calls of a batch, or of a part of it."""

    mean: float
    """USD."""
    of_models: np.ndarray
    """(K,) USD, by the model that answers."""
    variance: float
    """USD squared, of single calls around their means."""
    assumed: float
    """USD, standard error of what was assumed because records are missing."""

    def __add__(self, other: SpendSums) -> SpendSums:
        return SpendSums(
            self.mean + other.mean,
            self.of_models + other.of_models,
            self.variance + other.variance,
            self.assumed + other.assumed,
        )

    def forecast(self, shared_error: np.ndarray) -> SpendForecast:
        """The spend; ``shared_error`` (K,) as in :class:`CostEstimate`."""
        variance = self.variance + ((self.of_models * shared_error) ** 2).sum() + self.assumed**2
        return SpendForecast(self.mean, float(np.sqrt(variance)))


@dataclass(frozen=True, eq=False)
class CostEstimate:
    """Estimated cost of N new calls on K models.

    Attributes:
        mean: (N, K) USD, the expected cost of the call.
        std: (N, K) USD, standard deviation of one call around the mean; independent between calls.
        shared_error: (K,) relative standard error that all calls of a model share (its level is known from finitely
            many labelled calls only), so that it does not average out over a batch.
        assumed_error: (K,) USD per call, or (N, K) where calls differ: standard error of what was assumed because
            no record exists. All models share it: if answers are longer than assumed, they are so for every model.
    """

    mean: np.ndarray
    std: np.ndarray
    shared_error: np.ndarray
    assumed_error: np.ndarray | float = 0.0

    def forecast(self, choice: np.ndarray) -> SpendForecast:
        """Spend of the batch when instruction n goes to model ``choice[n]``."""
        return self.sums(choice).forecast(self.shared_error)

    def sums(self, choice: np.ndarray) -> SpendSums:
        """What the forecast rests on; the sums of the parts of a batch add up to its own."""
        row = np.arange(len(choice))
        mean = self.mean[row, choice]
        per_model = np.bincount(choice, weights=mean, minlength=len(self.shared_error))
        variance = (self.std[row, choice] ** 2).sum()
        return SpendSums(float(mean.sum()), per_model, float(variance), self._assumed(choice))

    def safe_share(self, choice: np.ndarray, probability: float) -> float:
        """Share of a budget to allocate so that the realised spend stays within it with ``probability``, from these
        estimates alone. Use it if there are too few held-out decisions for ``held_out_spend``.

        The errors of calls and levels may have any distribution with their variance (Cantelli's inequality); the error
        of assumptions is normal. ``choice`` is an allocation of the batch at the full budget; its relative uncertainty
        is taken for the smaller one as well. What costs nothing needs no margin. Multiply the budget by the share and
        allocate again.
        """
        if not 0.5 <= probability < 1.0:
            raise InvalidInput(
                f"probability {probability} of staying within the budget is not in [0.5, 1)",
                remedy="Ask for 0.95, say; certainty would need the calls' costs in advance.",
            )
        observed = replace(self, assumed_error=0.0).forecast(choice)
        if observed.mean == 0:
            return 1.0
        of_calls = math.sqrt(probability / (1.0 - probability)) * observed.std
        of_assumptions = NormalDist().inv_cdf(probability) * self._assumed(choice)
        return 1.0 / (1.0 + math.hypot(of_calls, of_assumptions) / observed.mean)

    def _assumed(self, choice: np.ndarray) -> float:
        """USD, standard error of what was assumed of the chosen calls."""
        if np.ndim(self.assumed_error) == 2:
            return float(np.asarray(self.assumed_error)[np.arange(len(choice)), choice].sum())
        return float((np.bincount(choice, minlength=len(self.shared_error)) * self.assumed_error).sum())
