"""The cost of answers: their tokens times the prices in force at the decision, in exact arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from routing_assets.answers.answer import Answer
from routing_assets.pricing.catalog import ModelCatalog
from routing_assets.pricing.token_prices import TokenPrices


@dataclass(frozen=True)
class Cost:
    """USD of a call; None where that is unknown, and ``unknown`` says why."""

    usd: Fraction | None
    unknown: str | None = None


def token_prices(catalog: ModelCatalog | None) -> dict[str, TokenPrices]:
    """The prices of every model of the catalog; none where costs come from the label table."""
    return {entry.name: TokenPrices.of(entry) for entry in catalog.models} if catalog else {}


def cost_of(answer: Answer, prices: Mapping[str, TokenPrices]) -> Cost:
    """The cost of a call, or why it is unknown. It is never zero because something is missing."""
    if answer.input_tokens is None or answer.output_tokens is None:
        both = answer.input_tokens is None and answer.output_tokens is None
        missing = "tokens" if both else "input tokens" if answer.input_tokens is None else "output tokens"
        return Cost(None, f"the {'failed call' if answer.error else 'answer'} reports no {missing}")
    if answer.model is None or answer.model not in prices:
        return Cost(None, f"the price list of the decision has no price per token for {answer.model!r}")
    cached = min(answer.cached_tokens or 0, answer.input_tokens)
    usd = prices[answer.model].usd(answer.input_tokens, answer.output_tokens, cached, answer.surcharge_tokens)
    return Cost(usd)
