"""LiteLLM's ``model_prices_and_context_window.json``: a mapping from the name of a model to its prices in USD.

Prices of tiers end in ``_above_200k_tokens``, or are the ranges of ``tiered_pricing``; those of batches end in
``_batches``. Source: the file's ``sample_spec``, and LiteLLM's page "Custom LLM Pricing".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from routing_assets.pricing.price_lists.listed import (
    ListedModel,
    ListedPrices,
    required,
    tags_of,
    unusable,
    usd,
    whole,
)
from routing_assets.providers.provider import DEFAULT

NAME = "LiteLLM's map of prices"
INPUT, OUTPUT, CACHED = "input_cost_per_token", "output_cost_per_token", "cache_read_input_token_cost"
REASONING = "output_cost_per_reasoning_token"
MODES = ("chat", "completion", "responses")
"""What models that answer an instruction with a text are said to be."""
_SAMPLE = "sample_spec"
_TIER = re.compile(rf"(?:{INPUT}|{OUTPUT}|{CACHED})_above_(\d+)k_tokens")
_OTHER_UNIT = re.compile(
    r"(?:(?:input|output)_)?cost_per_(second|pixel|character|page|query)|citation_cost_per_(token)"
)
"""What a call without attachments is billed by besides tokens, in some entries."""
_PROVIDERS = {
    **dict.fromkeys(("openai", "text-completion-openai", "azure", "azure_text"), "openai"),
    "anthropic": "anthropic",
    **dict.fromkeys(("gemini", "vertex_ai", "vertex_ai-language-models"), "gemini"),
    **dict.fromkeys(("bedrock", "bedrock_converse"), "bedrock"),
}
_TAGS = {
    "vision": "supports_vision",
    "audio": "supports_audio_input",
    "files": "supports_pdf_input",
    "tools": "supports_function_calling",
    "json": "supports_response_schema",
}


def recognises(document: Any) -> bool:
    """Whether a JSON document is such a map."""
    if not isinstance(document, dict) or "models" in document:
        return False
    entries = [entry for entry in document.values() if isinstance(entry, dict)]
    return bool(entries) and any("litellm_provider" in e or any("cost_per_" in name for name in e) for e in entries)


def models_of(document: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The entries by name; those that stand for another have its prices."""
    entries = {name: entry for name, entry in document.items() if isinstance(entry, dict) and name != _SAMPLE}
    return {name: entries.get(entry.get("alias_of", name), entry) for name, entry in entries.items()}


def read(name: str, entry: Mapping[str, Any]) -> ListedModel:
    """One model.

    Raises:
        InvalidInput: saying why calls cannot be priced by this entry.
    """
    mode = entry.get("mode")
    if mode is not None and mode not in MODES:
        raise unusable(f"it is of mode {mode!r}, not a chat model")
    if by := [found for field in entry if (found := _OTHER_UNIT.fullmatch(field)) and usd(entry, field)]:
        what = "per citation" if by[0].group(2) else f"per {by[0].group(1)}"
        raise unusable(f"its calls are billed {what} ({by[0].group()})")
    prices = _ranges(entry) if entry.get("tiered_pricing") and INPUT not in entry else _tiers(entry)
    request = usd(entry, "input_cost_per_request")
    if not request and not any(of_band.input or of_band.output for of_band in prices):
        raise unusable("it is listed at 0 USD, which may mean that the price is not known")
    share, prices = _in_batches(entry, prices)
    provider = str(entry.get("litellm_provider", ""))
    if provider == "perplexity":  # every call searches, with little context unless it asks for more
        request = usd(entry.get("search_context_cost_per_query") or {}, "search_context_size_low") or request
    return ListedModel(
        prices,
        share,
        usd(entry, "input_cost_per_image"),
        request,
        whole(entry.get("max_input_tokens")),
        tags_of((tag, entry.get(field) is True) for tag, field in _TAGS.items()),
        _PROVIDERS.get(provider, "openai_compatible" if provider else DEFAULT),
        name.removeprefix(f"{provider}/").removeprefix("vertex_ai/"),
    )


def _tiers(entry: Mapping[str, Any]) -> tuple[ListedPrices, ...]:
    """The prices of short calls and of each tier; a price that a tier leaves out stays."""
    base = ListedPrices(required(entry, INPUT), required(entry, OUTPUT), usd(entry, CACHED))
    _refuse_other_reasoning(entry, base.output)
    above = sorted({int(found.group(1)) for field in entry if (found := _TIER.fullmatch(field))})
    return (base, *(_above(entry, base, thousands) for thousands in above))


def _above(entry: Mapping[str, Any], base: ListedPrices, thousands: int) -> ListedPrices:
    of_input, of_output, of_cached = (
        usd(entry, f"{field}_above_{thousands}k_tokens") for field in (INPUT, OUTPUT, CACHED)
    )
    of_input = base.input if of_input is None else of_input
    if of_cached is None and base.cached is not None and base.input:
        of_cached = base.cached * of_input / base.input
    return ListedPrices(of_input, base.output if of_output is None else of_output, of_cached, thousands * 1000)


def _ranges(entry: Mapping[str, Any]) -> tuple[ListedPrices, ...]:
    """The prices of ``tiered_pricing``: each range of input tokens has its own."""
    bands = []
    for prices in entry["tiered_pricing"]:
        output = required(prices, OUTPUT)
        _refuse_other_reasoning(prices, output)
        start = (prices.get("range") or [0])[0]
        bands.append(ListedPrices(required(prices, INPUT), output, usd(prices, CACHED), int(start)))
    return tuple(sorted(bands, key=lambda band: band.above_tokens))


def _refuse_other_reasoning(entry: Mapping[str, Any], output: Decimal) -> None:
    reasoning = usd(entry, REASONING)
    if reasoning is not None and reasoning > output:
        raise unusable(f"its reasoning tokens cost more than its other output ({REASONING})")


def _in_batches(
    entry: Mapping[str, Any], prices: tuple[ListedPrices, ...]
) -> tuple[Decimal | None, tuple[ListedPrices, ...]]:
    """The share of the prices that is paid in a batch, and prices of which that share is what is paid there.

    Where the list gives several shares, the greatest is taken, and the other prices are such that theirs is right too.
    Cached input for which it gives no price of batches is not cheaper in a batch, but no dearer than other input.
    """
    base = prices[0]
    listed = (usd(entry, f"{INPUT}_batches"), usd(entry, f"{OUTPUT}_batches"))
    shares = [paid / full for paid, full in zip(listed, (base.input, base.output), strict=True) if paid and full]
    if len(shares) < 2 or max(shares) >= 1:
        return None, prices
    share = max(shares)

    def paid_in_batch(band: ListedPrices) -> ListedPrices:
        suffix = f"_above_{band.above_tokens // 1000}k_tokens" if band.above_tokens else ""
        of_input, of_output, of_cached = (usd(entry, f"{f}{suffix}_batches") for f in (INPUT, OUTPUT, CACHED))
        read = band.input * share if of_input is None else of_input
        written = band.output * share if of_output is None else of_output
        cached = band.cached if of_cached is None else of_cached
        return ListedPrices(
            read / share, written / share, None if cached is None else min(cached, read) / share, band.above_tokens
        )

    return share, tuple(map(paid_in_batch, prices))
