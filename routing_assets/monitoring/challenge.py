"""Champion against challenger: which router routes from now on, decided on held-out rows that both have predicted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from routing_assets.foundation.errors import InvalidInput

LEAST_GROUPS = 30
"""With fewer independent groups of held-out rows, nothing is decided."""
MARGIN = 0.01
"""Tolerated worsening, as a fraction of the champion's mean loss."""
_REPLICATES = 2_000


@dataclass(frozen=True)
class Challenge:
    """The outcome of a comparison; improvements are in units of the loss, positive where the challenger is better."""

    takes_over: bool
    improvement: float
    """Mean loss of the champion less that of the challenger."""
    lower: float
    """One-sided lower confidence bound of the improvement."""
    required: float
    """The bound that ``lower`` had to exceed: 0, or less if the champion is stale."""
    why: str


def beats(
    champion_loss: np.ndarray,
    challenger_loss: np.ndarray,
    *,
    group: np.ndarray | None = None,
    champion_is_stale: bool = False,
    margin: float = MARGIN,
    confidence: float = 0.95,
    seed: int = 0,
) -> Challenge:
    """Whether the challenger takes over, by a paired bootstrap over groups of related rows.

    A change of router has costs of its own, and a worse router must not win by luck. So the challenger takes over only
    if the lower confidence bound of its improvement is above 0. If the champion is stale (drift was found, or its
    models are gone), it is enough that the challenger is shown not to be worse by more than ``margin``.

    Args:
        champion_loss, challenger_loss: (N,) loss of each on the same held-out rows, lower is better: a row's Brier
            score or log-loss, or 1 - success of its routed answer. Neither router may have learnt from these rows.
        group: (N,) rows with the same label (copies of a text, one tenant's template) are drawn together.
        margin: tolerated worsening, as a fraction of the champion's mean loss.

    Raises:
        InvalidInput: the rows differ in number, losses are missing, or there are fewer than 30 groups.
    """
    if champion_loss.shape != challenger_loss.shape or champion_loss.ndim != 1:
        raise InvalidInput(
            f"losses have shapes {champion_loss.shape} and {challenger_loss.shape}",
            remedy="Give both routers' losses on the same rows",
        )
    gain = champion_loss.astype(np.float64) - challenger_loss.astype(np.float64)
    if not np.isfinite(gain).all():
        raise InvalidInput("a loss is missing or infinite", remedy="Clip log-losses; leave out rows without a label")
    code = np.arange(len(gain)) if group is None else np.unique(group.astype(str), return_inverse=True)[1]
    size, total = np.bincount(code).astype(np.float64), np.bincount(code, gain)
    if len(size) < LEAST_GROUPS:
        raise InvalidInput(
            f"{len(size)} independent held-out groups are too few to compare routers",
            remedy=f"Hold out at least {LEAST_GROUPS}",
        )
    lower = float(np.quantile(bootstrap_means(total, size, seed), 1 - confidence))
    required = -margin * float(champion_loss.mean()) if champion_is_stale else 0.0
    takes_over, improvement = lower > required, float(gain.mean())
    bar = f"must be above {required:.3g} against a stale champion" if champion_is_stale else "must be above 0"
    why = (
        f"the challenger lowers the loss by {improvement:.3g} on {len(gain)} held-out rows, at least {lower:.3g} with "
        f"{confidence:.0%} confidence; it {bar}: {'it takes over' if takes_over else 'the champion stays'}"
    )
    return Challenge(takes_over, improvement, lower, required, why)


def bootstrap_means(total: np.ndarray, size: np.ndarray, seed: int) -> np.ndarray:
    """(R,) weighted means under Poisson weights of the groups, drawn a few at a time to bound memory."""
    rng, means = np.random.default_rng(seed), []
    step = max(1, 4_000_000 // len(size))
    for first in range(0, _REPLICATES, step):
        weight = rng.poisson(1.0, (min(step, _REPLICATES - first), len(size))).astype(np.float64)
        means.append(weight @ total / np.maximum(weight @ size, 1.0))
    return np.concatenate(means)
