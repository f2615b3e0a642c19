"""Prices in another unit than USD per 1M tokens, and costs in another than USD per call, are refused.

Catalogs are copied from lists in USD per token or per 1K tokens, label tables from meters that count in other units.
Such a price is wrong by a factor of a thousand or a million, and so is the spend that is checked against a budget.
"""

from __future__ import annotations

import numpy as np

from routing_assets.datasets.labels import LabelledInstructions
from routing_assets.datasets.tokens import proxy_tokens
from routing_assets.foundation.errors import InvalidInput
from routing_assets.pricing.catalog import ModelCatalog, ModelEntry

LEAST_PRICE, GREATEST_PRICE = 0.0005, 2_000.0
"""USD per 1M tokens: no model is published for less, unless it is free, or for more."""
LEAST_DEAREST = 0.02
"""USD per 1M tokens: a catalog whose dearest price is below it looks like one in USD per 1K tokens."""
SUSPECT_FACTOR = 200.0
"""Prices change by far less, a wrong unit by 1,000 or more: about half way between on a logarithmic scale."""
USUAL_OUTPUT_TOKENS = 128.0
FIELDS = ("input_price", "output_price")
REMEDY = (
    "Write prices in USD per 1M tokens (a price per token times 1,000,000, per 1K tokens times 1,000). If they are "
    "right as they are, confirm them: --confirm-prices, or confirm_prices in the asset's configuration."
)
COST_REMEDY = (
    "Record costs in USD per call. If they are right as they are, confirm them: --confirm-prices, or confirm_prices "
    "in the asset's configuration."
)


def refuse_doubtful_prices(catalog: ModelCatalog, in_force: ModelCatalog | None) -> None:
    """Raise InvalidInput for prices that look like USD per token, per 1K tokens or the like.

    A price that moved by a factor of 200 or more against the list in force is refused, and so is one that no model was
    ever published for. Free models, and prices near those in force, are never refused.

    Args:
        catalog: the new prices.
        in_force: the prices that batches are routed by; None where there are none.
    """
    before = {entry.name: entry for entry in in_force.models} if in_force else {}
    known = [(entry, before[entry.name]) for entry in catalog.models if entry.name in before]
    if moved := [(entry, old) for entry, old in known if any(_apart(*both) for both in _pairs(entry, old))]:
        named = _joined([f"'{e.name}' from {_prices(old)} to {_prices(e)}{_unit(e, old)}" for e, old in moved])
        raise InvalidInput(
            f"prices in USD per 1M tokens move by a factor of {SUSPECT_FACTOR:.0f} or more: {named}",
            source=catalog.source,
            remedy=REMEDY,
        )
    new = [entry for entry in catalog.models if not any(_both(*both) for both in _pairs(entry, before.get(entry.name)))]
    odd = [entry for entry in new if any(not LEAST_PRICE <= price <= GREATEST_PRICE for price in _paid(entry))]
    dearest = max((price for entry in new for price in _paid(entry)), default=LEAST_DEAREST)
    if not before and dearest < LEAST_DEAREST:
        odd = new
    odd += [entry for entry in new if entry not in odd and _apart(entry.input_price, entry.output_price)]
    if odd:
        named = _joined([f"'{entry.name}' at {_prices(entry)}" for entry in odd])
        raise InvalidInput(
            f"no model is known to be sold at such prices in USD per 1M tokens: {named}",
            source=catalog.source,
            remedy=REMEDY,
        )
    changed = [entry for entry in catalog.models if entry != before.get(entry.name)]
    if apart := [f"'{entry.name}'" for entry in changed if any(_apart(*prices) for prices in _further(entry))]:
        raise InvalidInput(
            f"the price of cached input, or of a tier, is {SUSPECT_FACTOR:.0f} times the usual price or more, or as "
            f"many times less: {_joined(apart)}",
            source=catalog.source,
            remedy=REMEDY,
        )


def refuse_doubtful_costs(labels: LabelledInstructions, catalog: ModelCatalog | None) -> None:
    """Raise InvalidInput for recorded costs per call that are off by a factor of ``SUSPECT_FACTOR`` or more.

    They are compared with the catalog's price of the call's tokens. Token counts that were not recorded are taken from
    the length of the text and 128 tokens of output. Without a catalog, only costs that no plausible price explains are
    refused. The median call of each model decides.
    """
    if labels.cost is None:
        return
    entries = {entry.name: entry for entry in catalog.models} if catalog else {}
    tokens = _tokens(labels)
    odd = []
    for k, model in enumerate(labels.models):
        cost = labels.cost[:, k]
        least, most = (1e-6 * value for value in _range(entries.get(model), *(of_call[:, k] for of_call in tokens)))
        known = (cost > 0) & (least > 0)
        if not known.any():
            continue
        if np.median(cost[known] / most[known]) >= SUSPECT_FACTOR:
            odd.append(f"'{model}' {np.median(cost[known]):.6g}, expected at most {np.median(most[known]):.2g}")
        elif np.median(least[known] / cost[known]) >= SUSPECT_FACTOR:
            odd.append(f"'{model}' {np.median(cost[known]):.6g}, expected at least {np.median(least[known]):.2g}")
    if odd:
        raise InvalidInput(
            f"recorded costs per call do not look like USD, given prices and text lengths: {_joined(odd)}",
            source=labels.name,
            remedy=COST_REMEDY,
        )


def _tokens(labels: LabelledInstructions) -> tuple[np.ndarray, np.ndarray]:
    """Input and output tokens (N, K) of each call: recorded ones, else by the length of the text, and 128."""
    by_length = np.broadcast_to(proxy_tokens(labels.instruction)[:, None], labels.success.shape)
    usual = np.full(labels.success.shape, USUAL_OUTPUT_TOKENS)
    recorded = ((labels.input_tokens, by_length), (labels.output_tokens, usual))
    read, written = (other if own is None else np.where(np.isfinite(own), own, other) for own, other in recorded)
    return read, written


def _range(entry: ModelEntry | None, read: np.ndarray, written: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least and greatest cost of each call, in millionths of a USD: equal where the catalog has the model."""
    if entry is None:
        return (read + written) * LEAST_PRICE, (read + written) * GREATEST_PRICE
    expected = read * entry.input_price + written * entry.output_price
    return expected, expected


def _pairs(entry: ModelEntry, old: ModelEntry | None) -> tuple[tuple[float, float], ...]:
    """New and old price, of input and of output."""
    return () if old is None else tuple((getattr(entry, field), getattr(old, field)) for field in FIELDS)


def _both(a: float, b: float) -> bool:
    return a > 0 and b > 0


def _apart(a: float, b: float) -> bool:
    return _both(a, b) and max(a, b) >= SUSPECT_FACTOR * min(a, b)


def _further(entry: ModelEntry) -> list[tuple[float, float]]:
    """Each further price of tokens, and the usual price that it is like if both are in the same unit."""
    pairs = [(entry.cached_input_price or 0.0, entry.input_price)]
    for tier in entry.tiers:
        pairs += [(getattr(tier, field), getattr(entry, field)) for field in FIELDS]
        pairs.append((tier.cached_input_price or 0.0, tier.input_price))
    return pairs


def _paid(entry: ModelEntry) -> list[float]:
    return [price for price in (entry.input_price, entry.output_price) if price > 0]


def _prices(entry: ModelEntry) -> str:
    same = entry.input_price == entry.output_price
    return f"{entry.input_price:.6g}" + ("" if same else f" / {entry.output_price:.6g}")


def _unit(entry: ModelEntry, old: ModelEntry) -> str:
    """The unit that new prices seem to be in, from how far they fell."""
    fall = min(new / before for new, before in _pairs(entry, old) if _both(new, before))
    return ", as if per token" if fall < 1 / 50_000 else ", as if per 1K tokens" if fall < 1 else ""


def _joined(names: list[str]) -> str:
    """The first five, and how many more."""
    return "; ".join(names[:5]) + (f"; and {len(names) - 5} more" if len(names) > 5 else "")
