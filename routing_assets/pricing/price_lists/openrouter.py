"""OpenRouter's list of models (``GET /api/v1/models``): ``{"data": [{"id", "pricing": {...}, ...}]}``.

Prices are texts, in USD per token, image or request; -1 stands for a price that varies. Source: OpenRouter's API
reference, "Models", and its component ``Pricing``.
"""

from __future__ import annotations

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

NAME = "OpenRouter's list of models"
_LEAST_IMAGE = Decimal("0.00001")
"""USD: less than this is the price of a token of an image, not that of an image."""


def recognises(document: Any) -> bool:
    """Whether a JSON document is such a list, with or without what it is wrapped in."""
    entries = _entries(document)
    return bool(entries) and all(isinstance(e, dict) and "id" in e for e in entries) and "pricing" in entries[0]


def models_of(document: Any) -> dict[str, Mapping[str, Any]]:
    """The entries by id."""
    return {str(entry["id"]): entry for entry in _entries(document)}


def read(name: str, entry: Mapping[str, Any]) -> ListedModel:
    """One model.

    Raises:
        InvalidInput: saying why calls cannot be priced by this entry.
    """
    about = entry.get("architecture") or {}
    answers = about.get("output_modalities") or ["text"]
    if "text" not in answers:
        raise unusable(f"it answers with {' and '.join(map(str, answers))}, not a chat model")
    pricing = entry.get("pricing") or {}
    prices = ListedPrices(
        required(pricing, "prompt"), required(pricing, "completion"), usd(pricing, "input_cache_read") or None
    )
    reasoning, request, image = (usd(pricing, field) for field in ("internal_reasoning", "request", "image"))
    if reasoning is not None and reasoning > prices.output:
        raise unusable("its reasoning tokens cost more than its other output (internal_reasoning)")
    if not request and not prices.input and not prices.output and not name.endswith(":free"):
        raise unusable("it is listed at 0 USD, which may mean that the price is not known")
    takes, parameters = about.get("input_modalities") or [], entry.get("supported_parameters") or []
    return ListedModel(
        (prices,),
        image=image if image is not None and image >= _LEAST_IMAGE else None,
        request=request,
        context_tokens=whole(entry.get("context_length")),
        tags=tags_of(
            [
                *(("vision", "image" in takes), ("audio", "audio" in takes), ("files", "file" in takes)),
                ("tools", "tools" in parameters),
                ("json", "response_format" in parameters or "structured_outputs" in parameters),
            ]
        ),
        provider="openai_compatible",
        api_name=name,
    )


def _entries(document: Any) -> list[Any]:
    found = document.get("data") if isinstance(document, dict) else document
    return found if isinstance(found, list) else []
