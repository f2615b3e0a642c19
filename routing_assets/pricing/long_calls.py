"""What calls with a long input cost more, by the tiers of a price list.

The length of a call that was not made yet is an estimate with a known error. So each tier counts with the probability
that the input is longer than where the tier begins, and the expected cost is exact for that probability.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.special import ndtr

from routing_assets.pricing.spend import CostEstimate
from routing_assets.pricing.token_prices import TokenPrices

Step = tuple[int, float, float]
"""Input tokens above which a call costs more, and how much more than below: USD per input and per output token."""
_PER_MILLION = 1e-6


def steps_of(prices: TokenPrices) -> tuple[Step, ...]:
    """The steps between the bands of a model's prices; none where it has one band."""
    return tuple(
        (
            band.above_tokens,
            float(band.input - below.input) * _PER_MILLION,
            float(band.output - below.output) * _PER_MILLION,
        )
        for below, band in zip(prices.bands, prices.bands[1:], strict=False)
    )


def price_long_calls(
    estimate: CostEstimate,
    steps: tuple[tuple[Step, ...], ...],
    length: np.ndarray,
    read: np.ndarray,
    written: np.ndarray,
    error: float,
) -> CostEstimate:
    """The estimate with what long calls cost more.

    Args:
        estimate: of N calls on K models, at the prices of the lowest band.
        steps: of each of the K models.
        length: (N, K) input tokens, by which the band is chosen.
        read: (N, K) input tokens that are paid at the band's price; ``written`` likewise output tokens.
        error: relative standard error of ``length``.
    """
    mean = estimate.mean.copy()
    variance = np.square(np.broadcast_to(estimate.assumed_error, mean.shape))
    for k, of_model in enumerate(steps):
        for above, more_read, more_written in of_model:
            tokens = np.maximum(length[:, k], 1.0)
            longer = ndtr((tokens - above) / (error * tokens))
            more = read[:, k] * more_read + written[:, k] * more_written
            mean[:, k] += longer * more
            variance[:, k] += longer * (1.0 - longer) * more**2
    return replace(estimate, mean=mean, assumed_error=np.sqrt(variance))
