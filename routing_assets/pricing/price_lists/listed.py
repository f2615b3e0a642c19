"""What an entry of a published price list comes down to: a model's prices, exact, in USD per token."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from routing_assets.foundation.errors import InvalidInput
from routing_assets.pricing.catalog import ModelEntry, PriceTier
from routing_assets.providers.provider import DEFAULT

_MILLION = 1_000_000


@dataclass(frozen=True)
class ListedPrices:
    """Prices in USD per token, of calls with more than ``above_tokens`` input tokens.

    Attributes:
        cached: of input read from a cache; None where it costs what other input does.
    """

    input: Decimal
    output: Decimal
    cached: Decimal | None = None
    above_tokens: int = 0

    def tier(self) -> PriceTier:
        """The same as a tier of a catalog."""
        return PriceTier(above_tokens=self.above_tokens, **self.per_million())

    def per_million(self) -> dict[str, Any]:
        """The fields of a catalog's entry, in USD per 1M tokens."""
        cached = None if self.cached is None else float(self.cached * _MILLION)
        return {
            "input_price": float(self.input * _MILLION),
            "output_price": float(self.output * _MILLION),
            "cached_input_price": cached,
        }


@dataclass(frozen=True)
class ListedModel:
    """One model of a price list.

    Attributes:
        prices: of short calls first, then by ``above_tokens``.
        batch: the share of them that is paid in a batch.
        image, request: USD of an image, and of a call besides its tokens.
        provider: as a catalog names it, and ``api_name`` the model's name there.
    """

    prices: tuple[ListedPrices, ...]
    batch: Decimal | None = None
    image: Decimal | None = None
    request: Decimal | None = None
    context_tokens: int | None = None
    tags: tuple[str, ...] = ()
    provider: str = DEFAULT
    api_name: str | None = None

    def entry(self, name: str) -> ModelEntry:
        """The entry of a catalog, under a name of the user's own."""
        return ModelEntry(
            name=name,
            **self.prices[0].per_million(),
            tiers=tuple(prices.tier() for prices in self.prices[1:]),
            batch=None if self.batch is None else float(self.batch),
            image_price=None if self.image is None else float(self.image),
            request_price=float(self.request) if self.request else None,
            context_tokens=self.context_tokens,
            tags=self.tags,
            provider=self.provider,
            api_name=self.api_name if self.api_name != name else None,
        )


def usd(entry: Mapping[str, Any], field: str) -> Decimal | None:
    """The price in a field, as it is written; None where it is absent.

    Raises:
        InvalidInput: it is not a number, or negative.
    """
    value = entry.get(field)
    if value is None or value == "":
        return None
    try:
        price = Decimal(value) if isinstance(value, str | int | Decimal) and not isinstance(value, bool) else None
    except InvalidOperation:
        price = None
    if price is None or not price.is_finite():
        raise unusable(f"its {field} is {value!r}, not a number")
    if price < 0:
        raise unusable(f"its {field} is {value}: the price varies from call to call")
    return price


def required(entry: Mapping[str, Any], field: str) -> Decimal:
    """As :func:`usd`, of a field that must be there."""
    price = usd(entry, field)
    if price is None:
        raise unusable(f"it has no {field}")
    return price


def whole(value: Any) -> int | None:
    """A positive whole number of tokens; None where it is something else."""
    known = isinstance(value, int | Decimal) and not isinstance(value, bool) and value > 0 and value == int(value)
    return int(value) if known else None


def unusable(why: str) -> InvalidInput:
    """The error for an entry that calls cannot be priced by; the reader adds its name."""
    return InvalidInput(why)


def tags_of(pairs: Iterable[tuple[str, Any]]) -> tuple[str, ...]:
    """The tags that are true."""
    return tuple(tag for tag, holds in pairs if holds)
