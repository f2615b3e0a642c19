"""What more labels would buy: routing success as a function of the number of labelled instructions, extrapolated.

Routers are trained on nested random shares of the labels and judged on the same held-out instructions. A power law,
``success(n) = limit - b * n ** -c`` with ``b >= 0``, is fitted to the mean over several splits. Four shares do not
determine the exponent: each bootstrap replicate draws one from the range that learning curves are found to have, so
that the interval covers what is unknown about it. The splits overlap, so that a replicate takes fewer than all of them.
Sources of the form and of the range: Hestness et al., "Deep Learning Scaling is Predictable, Empirically" (2017);
Viering and Loog, "The Shape of Learning Curves: A Review" (2021). Of what overlap does to the variance: Nadeau and
Bengio, "Inference for the Generalization Error" (2003).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from routing_assets.allocation import AllocationProblem, allocate
from routing_assets.allocation.solver.exact import exact_sum
from routing_assets.datasets.labels import LabelledInstructions
from routing_assets.datasets.scarce import refuse_scarce_models
from routing_assets.datasets.splits import Split, split_instructions
from routing_assets.evaluation.policies import budgets
from routing_assets.evaluation.protocol import for_seed, scored_rows
from routing_assets.foundation.progress import progress_bar
from routing_assets.prediction.classifier.config import ClassifierConfig
from routing_assets.prediction.encoder.embedding_cache import EmbeddingCache
from routing_assets.prediction.router import RouterConfig, fit_router
from routing_assets.pricing.catalog import ModelCatalog
from routing_assets.pricing.recorded_costs import recorded_costs

SHARES = (0.25, 0.5, 0.75, 1.0)
BUDGET = 0.5
"""Of the dearest model's spend on the held-out instructions: where success is measured."""
EXPONENTS = (0.2, 1.0)
LITTLE = 0.01
"""More labels gain little where twice as many would, at the upper end of the interval, add less success than this."""
LEVEL, REPLICATES = 0.9, 2000
TESTED = 0.25
"""Held-out instructions of a split for each of the others."""


@dataclass(frozen=True)
class Gain:
    """Success that so many more instructions would add, with its interval."""

    instructions: int
    usd: float
    gain: float
    lower: float
    upper: float


@dataclass(frozen=True)
class LabelCurve:
    """A learning curve of labels.

    Attributes:
        instructions: labelled ones.
        usd: what their labels cost.
        points: per share of the labels: ``instructions``, ``usd``, mean ``success`` at half of the dearest model's
            spend, and mean ``log_loss``.
        more: what the money asked for would buy; None where labels cost nothing.
        doubled: what as many labels again would buy.
    """

    instructions: int
    usd: float
    points: tuple[dict[str, float], ...]
    more: Gain | None
    doubled: Gain

    @property
    def little(self) -> bool:
        """Whether more labels gain little."""
        return self.doubled.upper < LITTLE

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return asdict(self) | {"more_labels_gain_little": self.little}


def label_curve(
    labels: LabelledInstructions,
    catalog: ModelCatalog | None = None,
    *,
    more_usd: float = 10.0,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    config: RouterConfig | None = None,
    embeddings: EmbeddingCache | None = None,
    progress: bool = False,
) -> LabelCurve:
    """Train on shares of the labels, and extrapolate.

    Args:
        more_usd: for further labels, each instruction at the mean cost of those that are labelled.

    Raises:
        InvalidInput: costs are unknown, or too few instructions have a label of every model.
    """
    refuse_scarce_models(labels)
    config = config or RouterConfig(ClassifierConfig(method="frozen"))
    cost = recorded_costs(labels, catalog and catalog.select(labels.models)).cost
    price = np.nanmean(cost, axis=0)
    labelled = np.isfinite(labels.success)
    usd = exact_sum(np.where(labelled, np.where(np.isfinite(cost), cost, price), 0.0))
    measured = np.empty((len(seeds), len(SHARES), 2))
    with progress_bar("learning curve", measured[..., 0].size, "trainings", shown=progress) as advance:
        for s, seed in enumerate(seeds):
            split = split_instructions(labels.instruction, labels.group, seed=seed)
            test = labels.take(scored_rows(labels, split, seed))
            rng = np.random.default_rng(seed)
            order = {name: rng.permutation(rows) for name, rows in split.parts()}
            for f, share in enumerate(SHARES):
                measured[s, f] = _measure(labels, _part(order, share), test, price, for_seed(config, seed), embeddings)
                advance()
    n = np.array(SHARES) * len(labels)
    each = usd / len(labels)
    further = int(Fraction(more_usd) / each) if each else 0
    mean = measured.mean(axis=0)
    return LabelCurve(
        len(labels),
        float(usd),
        tuple(
            {"instructions": round(m), "usd": float(each) * m, "success": float(success), "log_loss": float(loss)}
            for m, (success, loss) in zip(n.tolist(), mean, strict=True)
        ),
        gain_of(n, measured[..., 0], further, float(each)) if further else None,
        gain_of(n, measured[..., 0], len(labels), float(each)),
    )


def _part(order: dict[str, np.ndarray], share: float) -> Split:
    """A share of every part of a split; the parts are in random order."""
    return Split(**{name: rows[: max(1, round(share * len(rows)))] for name, rows in order.items()})


def _measure(
    labels: LabelledInstructions,
    split: Split,
    test: LabelledInstructions,
    price: np.ndarray,
    config: RouterConfig,
    embeddings: EmbeddingCache | None,
) -> tuple[float, float]:
    """Success on the test rows at half of the dearest model's spend, and log-loss."""
    router = fit_router(labels, split, config, embeddings_cache=embeddings)
    predicted = router.predict(test.instruction, None if test.task is None else list(test.task))
    cost = np.tile(price, (len(test), 1))
    budget = float(budgets(cost, np.array([max(BUDGET, price.min() / price.max())]))[0])
    choice = allocate(AllocationProblem(predicted.decision, cost, budget), "mip").choice
    p = np.clip(predicted.scaled, 1e-6, 1 - 1e-6)
    loss = -(test.success * np.log(p) + (1 - test.success) * np.log(1 - p)).mean(dtype=np.float64)
    return float(test.success[np.arange(len(test)), choice].mean(dtype=np.float64)), float(loss)


def gain_of(n: np.ndarray, success: np.ndarray, further: int, usd: float, seed: int = 0) -> Gain:
    """What ``further`` instructions at ``usd`` each would add to the success (S, F) of S splits with ``n`` (F,)."""
    rng, gains = np.random.default_rng(seed), np.empty(REPLICATES)
    independent = max(1, round(len(success) / (1 + TESTED * len(success))))
    for r in range(REPLICATES):
        mean = success[rng.integers(len(success), size=independent)].mean(axis=0)
        gains[r] = power_law_gain(n, mean, n[-1] + further, rng.uniform(*EXPONENTS))
    tails = (1 - LEVEL) / 2
    lower, middle, upper = np.quantile(gains, [tails, 0.5, 1 - tails])
    return Gain(further, further * usd, float(middle), float(lower), float(upper))


def power_law_gain(n: np.ndarray, success: np.ndarray, target: float, exponent: float) -> float:
    """By how much ``limit - b * n ** -exponent``, fitted by least squares with ``b >= 0``, rises from the last ``n`` to
    ``target``.
    """
    x = -(n**-exponent)
    centred = x - x.mean()
    b = max(float(centred @ success / (centred @ centred)), 0.0)
    return float(b * (n[-1] ** -exponent - target**-exponent))
