"""What tokens cost by the prices of a catalog's entry: one rule, for estimates and for answers.

A price list may have tiers: above a number of input tokens, cached ones included, the whole call is paid at other
prices, its output too. Sources: the pricing pages of Anthropic ("Long context pricing"), Gemini ("prompts > 200k
tokens") and OpenAI ("prompts with more than 272K input tokens").
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

import numpy as np

from routing_assets.pricing.catalog import ModelEntry, PriceTier

_MILLION = 1_000_000
_PER_MILLION = 1e-6


@dataclass(frozen=True)
class PriceBand:
    """Exact prices, in USD per 1M tokens, of calls with more than ``above_tokens`` input tokens."""

    above_tokens: int
    input: Fraction
    output: Fraction
    cached: Fraction


@dataclass(frozen=True)
class TokenPrices:
    """The prices of one model, its batch discount taken off.

    Attributes:
        bands: by ascending ``above_tokens``; the first is above 0.
        request: USD that each call costs besides its tokens.
    """

    bands: tuple[PriceBand, ...]
    request: Fraction = Fraction(0)

    @classmethod
    def of(cls, entry: ModelEntry) -> TokenPrices:
        """The prices of a catalog's entry. A cached token without a price of its own costs what an input token does."""
        share = _exact(entry.share_paid)

        def band(above: int, prices: ModelEntry | PriceTier) -> PriceBand:
            cached = prices.input_price if prices.cached_input_price is None else prices.cached_input_price
            return PriceBand(
                above, _exact(prices.input_price) * share, _exact(prices.output_price) * share, _exact(cached) * share
            )

        tiers = sorted(entry.tiers, key=lambda tier: tier.above_tokens)
        return cls(
            (band(0, entry), *(band(tier.above_tokens, tier) for tier in tiers)), _exact(entry.request_price or 0.0)
        )

    def band(self, read: float) -> PriceBand:
        """The prices of a call with so many input tokens: those of the last band that it lies above."""
        return self.bands[max(bisect_left(self.bands, read, key=lambda band: band.above_tokens) - 1, 0)]

    def usd(self, read: int, written: int, cached: int = 0, surcharge: float = 0.0) -> Fraction:
        """Exact USD of one call.

        Args:
            read: input tokens, cached ones among them.
            written: output tokens, those of reasoning among them.
            cached: input tokens that were read from a cache.
            surcharge: further tokens that are paid like input; they do not count towards a band.
        """
        band = self.band(read)
        full = read - cached + (Fraction(surcharge) if surcharge else 0)
        return (full * band.input + cached * band.cached + written * band.output) / _MILLION + self.request

    def usd_of_sum(self, tokens: int) -> Fraction | None:
        """Exact USD of a call of which only the sum of its tokens is known; None where it depends on their kinds."""
        first = self.bands[0]
        one_price = len(self.bands) == 1 and first.input == first.output == first.cached
        return self.usd(tokens, 0) if one_price else None

    def usd_of_calls(self, read: np.ndarray, written: np.ndarray, cached: np.ndarray | None = None) -> np.ndarray:
        """USD of each of N calls, as :meth:`usd` to the precision of floats; NaN where a count is."""
        place = np.searchsorted([band.above_tokens for band in self.bands], read) - 1
        price = {
            name: np.array([float(getattr(band, name)) * _PER_MILLION for band in self.bands])[np.maximum(place, 0)]
            for name in ("input", "output", "cached")
        }
        usd = read * price["input"] + written * price["output"]
        if cached is not None:
            usd = usd - np.minimum(np.nan_to_num(cached), read) * (price["input"] - price["cached"])
        return usd + float(self.request) if self.request else usd


def _exact(price: float) -> Fraction:
    """A price as it is written in decimals."""
    return Fraction(Decimal(repr(price)))
