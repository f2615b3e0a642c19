"""Other names under which people write prices, and what to write instead."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from routing_assets.foundation.errors import InvalidInput

_UNITS = (
    ({"1k", "1000", "thousand", "k"}, ": a price per 1K tokens times 1,000"),
    ({"1m", "million", "m", "mtok"}, ""),
    ({"token"}, ": a price per token times 1,000,000"),
)
"""Words that name a unit, and how a price in it becomes one in USD per 1M tokens."""
_CONTEXT = {"max_input_tokens", "context_length", "context_window", "context_size", "max_context", "max_context_tokens"}


def other_spelling(models: Any, known: Collection[str]) -> tuple[tuple[str, str], InvalidInput] | None:
    """The first field of a catalog that is a price under another name: its place and the error; None without one.

    Args:
        models: what a catalog has under ``models``.
        known: the fields that a model may have.
    """
    for model, entry in models.items() if isinstance(models, dict) else ():
        for field in entry if isinstance(entry, dict) else ():
            if field not in known and (remedy := remedy_for(str(field))):
                return (model, field), InvalidInput(f"{field!r} is unknown in models.{model}", remedy=remedy)
    return None


def remedy_for(field: str) -> str | None:
    """What to write instead of a field of a price list; None where its name tells nothing."""
    spelt = field.lower()
    words = set(re.split(r"\W|_", spelt))
    if "above" in words or "tier" in spelt:
        return "Write tiers: [{above_tokens: 200000, input_price: 2.5, output_price: 15}], with the prices of your list"
    if words & {"batch", "batches", "discount"}:
        return "Write batch: 0.5 for half the price: the share of the prices that is paid in a batch"
    if spelt in _CONTEXT:
        return "Write context_tokens"
    if "reasoning" in words:
        return "Leave it out: reasoning tokens are output tokens, and paid at output_price"
    if "image" in words and "token" not in words:
        return "Write image_price, in USD per image"
    if words & {"request", "requests", "call"}:
        return "Write request_price, in USD per call"
    side, conversion = _side(words), next((how for unit, how in _UNITS if words & unit), None)
    if (side is None and conversion is None) or "max" in words:
        return None
    return f"Write {side or 'price'} in USD per 1M tokens{conversion or ''}"


def _side(words: set[str]) -> str | None:
    """The field of the price that the words are about."""
    if words & {"cache", "cached"}:
        return "cached_input_price"
    if words & {"input", "prompt", "in"}:
        return "input_price"
    return "output_price" if words & {"output", "completion", "out"} else None
