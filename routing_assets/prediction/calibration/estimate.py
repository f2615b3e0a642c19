"""Which estimate of P(success) feeds the allocation, chosen on held-out labels without knowing any price.

An estimate is judged by the success that an allocation under a budget realises with it. Prices are not known here, so
they are drawn at random, over two orders of magnitude, and the success is averaged over many price lists and budgets.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from routing_assets.prediction.calibration.buckets import CalibrationConfig, apply_buckets, fit_buckets
from routing_assets.prediction.calibration.temperatures import fit_temperatures, scale

Estimate = Literal["auto", "scaled", "bucket", "shrunken", "lower_bound", "rate"]
Matrix = NDArray[np.float32]

OTHERS: tuple[Estimate, ...] = ("bucket", "shrunken", "lower_bound")
SHRINKAGE = 0.25
"""The "shrunken" estimate is pulled by this fraction of the distance toward its model's mean."""
LEAST_COMPONENTS, MOST_COMPONENTS, FOLDS = 50, 4_000, 5
"""How many unrelated instructions are needed to choose an estimate; how many are used at most, drawn at random; and the
number of cross-fitting folds."""
PRICE_LISTS = 40
BUDGET_FRACTIONS = (0.2, 0.4, 0.7, 1.0)
STANDARD_ERRORS = 2.0
"""Another estimate replaces the temperature-scaled one only if it is better by this many paired standard errors."""


def estimate(name: Estimate, scaled: Matrix, buckets: pa.Table) -> Matrix:
    """The named estimate (N, K) from the temperature-scaled probabilities and the bucket table.

    "scaled": as they are; "bucket": the bucket's smoothed rate (the article's choice); "shrunken": pulled toward the
    model's mean rate; "lower_bound": the lower end of the bucket's Wilson interval; "rate": the model's mean rate,
    whatever the instruction.
    """
    if name == "rate":
        return np.tile(model_rates(scaled, buckets).astype(np.float32), (len(scaled), 1))
    if name == "bucket":
        return apply_buckets(scaled, buckets)
    if name == "lower_bound":
        return apply_buckets(scaled, buckets, "wilson_lower")
    if name == "shrunken":
        return ((1 - SHRINKAGE) * scaled + SHRINKAGE * model_rates(scaled, buckets)).astype(np.float32)
    return scaled


def choose_estimate(
    logits: Matrix,
    success: Matrix,
    models: Sequence[str],
    component: NDArray[np.integer],
    calibration: CalibrationConfig | None = None,
    seed: int = 0,
) -> tuple[Estimate, str]:
    """The estimate with the best realised success on the calibration rows (C, K), and the reason in words.

    Only rows labelled for every model are judged, each by temperatures and buckets fitted without the row and those
    related to it: a bucket that counts the label it is judged by looks better than it is. The temperature-scaled
    probability stays unless another estimate is clearly better.

    Args:
        component: (C,) equal for related rows, such as copies of a text; they count as one observation.
    """
    labelled = ~np.isnan(success).any(axis=1)
    judges = np.random.default_rng(seed).permutation(np.unique(component[labelled]))[:MOST_COMPONENTS]
    if len(judges) < LEAST_COMPONENTS:
        return "scaled", f"scaled: {len(judges)} unrelated held-out instructions have all labels, too few to choose"
    folds = [np.flatnonzero(labelled & np.isin(component, part)) for part in np.array_split(judges, FOLDS)]
    estimates = cross_fitted_estimates(
        logits, success, models, folds, component=component, calibration=calibration or CalibrationConfig()
    )
    judged = np.concatenate(folds)
    values = {
        name: _mean_of_each(component[judged], realised_success(matrix, success[judged], seed))
        for name, matrix in estimates.items()
    }
    gains = {name: _standard_errors(values[name] - values["scaled"]) for name in OTHERS}
    best = max(gains, key=lambda name: gains[name])
    chosen: Estimate = best if gains[best] > STANDARD_ERRORS else "scaled"
    figures = ", ".join(f"{name} {value.mean():.4f}" for name, value in values.items())
    unrelated = "" if len(judges) == len(judged) else f", {len(judges)} of them unrelated,"
    return chosen, (
        f"{chosen}: realised success on {len(judged)} held-out instructions{unrelated} at random prices: {figures}"
    )


def cross_fitted_estimates(
    logits: Matrix,
    success: Matrix,
    models: Sequence[str],
    folds: Sequence[NDArray[np.integer]],
    *,
    component: NDArray[np.integer],
    calibration: CalibrationConfig,
) -> dict[Estimate, Matrix]:
    """Every estimate for the rows in ``folds``, in their order, fitted on all rows that are unrelated to the fold."""
    parts: dict[Estimate, list[Matrix]] = {name: [] for name in ("scaled", *OTHERS)}
    for fold in folds:
        rest = ~np.isin(component, component[fold])
        temperatures = fit_temperatures(logits[rest], success[rest], calibration.temperature_prior)
        buckets = fit_buckets(scale(logits[rest], temperatures), success[rest], models, calibration)
        for name, part in parts.items():
            part.append(estimate(name, scale(logits[fold], temperatures), buckets))
    return {name: np.concatenate(part) for name, part in parts.items()}


def _mean_of_each(component: NDArray[np.integer], values: NDArray[np.float64]) -> NDArray[np.float64]:
    code = np.unique(component, return_inverse=True)[1]
    return np.bincount(code, weights=values) / np.bincount(code)


def _standard_errors(difference: NDArray[np.float64]) -> float:
    """Mean of paired differences, in units of its standard error."""
    return float(difference.mean() / max(1e-12, difference.std() / np.sqrt(len(difference))))


def realised_success(probability: Matrix, success: Matrix, seed: int = 0) -> NDArray[np.float64]:
    """Success of each instruction (N,), mean over random price lists and budgets, when ``probability`` decides."""
    rng = np.random.default_rng(seed)
    n, k = success.shape
    total = np.zeros(n)
    for _ in range(PRICE_LISTS):
        price = np.power(10.0, rng.uniform(-2, 0, size=k))
        for fraction in BUDGET_FRACTIONS:
            total += success[np.arange(n), _allocate(probability, price, fraction * price.max())]
    return total / (PRICE_LISTS * len(BUDGET_FRACTIONS))


def _allocate(probability: Matrix, price: NDArray[np.float64], budget: float) -> NDArray[np.int64]:
    """Choice (N,) at about the least dual price that keeps the mean spend within the budget.

    Where even the cheapest model exceeds the budget, all instructions get that model.
    """
    if budget <= price.min():
        return np.full(len(probability), np.argmin(price))

    def choice(dual_price: float) -> NDArray[np.int64]:
        return np.argmax(probability - dual_price * price, axis=1)

    def within(dual_price: float) -> bool:
        return bool(price[choice(dual_price)].mean() <= budget)

    if within(0.0):
        return choice(0.0)
    low, high = 0.0, 1.0 / price.min()
    while not within(high):
        low, high = high, 2 * high
    for _ in range(25):
        middle = (low + high) / 2
        low, high = (low, middle) if within(middle) else (middle, high)
    return choice(high)


def model_rates(scaled: Matrix, buckets: pa.Table) -> NDArray[np.float64]:
    """Observed success rate of each model over its buckets (K,); the mean probability of a model without buckets."""
    rates = scaled.mean(axis=0, dtype=np.float64)
    model = buckets["model_index"].to_numpy()
    count, rate = buckets["count"].to_numpy(), buckets["observed_rate"].to_numpy()
    for k in np.unique(model):
        rates[k] = np.average(rate[model == k], weights=count[model == k])
    return rates
