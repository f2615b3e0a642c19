"""What each labelled call cost, from whatever the label table and the catalog know about it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from routing_assets.datasets.labels import LabelledInstructions
from routing_assets.datasets.tokens import proxy_tokens
from routing_assets.foundation.errors import InvalidInput
from routing_assets.pricing.catalog import ModelCatalog, ModelEntry
from routing_assets.pricing.token_prices import TokenPrices

# Output tokens per call if neither table nor catalog gives them; the cost model's source then names the assumption.
ASSUMED_OUTPUT_TOKENS = 128.0
MIN_CALLS = 50
"""Least labelled calls, and distinct texts, of each model for per-instruction estimates."""
_PER_MILLION = 1e-6
_ASSUMED = f"{ASSUMED_OUTPUT_TOKENS:.0f} output tokens per call assumed"
_BY_LENGTH = f"catalog prices x length of the text, {_ASSUMED}"


@dataclass(frozen=True, eq=False)
class RecordedCosts:
    """Costs of the labelled calls.

    Attributes:
        cost: (N, K) USD per call; NaN where unknown.
        recorded: (N, K) whether cost or token counts of that call were recorded; where not, a cost follows from prices
            and the length of the text.
        assumed: (K,) USD of a call that pay for ``ASSUMED_OUTPUT_TOKENS``; 0 where the model's own costs are known.
        source: where the numbers come from, in words.
        priced: the models whose costs are based on the catalog's prices.
    """

    cost: np.ndarray
    recorded: np.ndarray
    assumed: np.ndarray
    source: str
    priced: tuple[str, ...] = ()

    @property
    def measured(self) -> bool:
        """Whether the costs of any call were recorded."""
        return bool(self.recorded.any())

    @property
    def calls(self) -> np.ndarray:
        """(K,) recorded calls."""
        return np.asarray(self.recorded.sum(axis=0))

    @property
    def observed(self) -> np.ndarray:
        """(N, K) costs to measure errors by: those of recorded calls; all of a model that has none; else NaN."""
        return np.where(self.recorded | (self.calls == 0), self.cost, np.nan)


def recorded_costs(labels: LabelledInstructions, catalog: ModelCatalog | None) -> RecordedCosts:
    """Costs of the labelled calls from the best source there is.

    In this order: today's catalog prices x recorded token counts; the recorded cost of the call; catalog prices x
    proxy tokens of the text (plus ``ASSUMED_OUTPUT_TOKENS``). Where others have more, a model of the catalog with under
    ``MIN_CALLS`` costs takes the last of these for its other calls, at the level of those it has. Raises InvalidInput
    if a model has none of them.
    """
    if catalog is not None and (labels.input_tokens is not None or labels.output_tokens is not None):
        source = "catalog prices x recorded tokens" + ("" if labels.output_tokens is not None else f", {_ASSUMED}")
        cost = _priced_tokens(labels, catalog)
        result = RecordedCosts(cost, np.isfinite(cost), _assumed(labels, catalog), source, labels.models)
    elif labels.cost is not None:
        recorded, nothing = np.isfinite(labels.cost), np.zeros(len(labels.models))
        result = RecordedCosts(labels.cost, recorded, nothing, "costs recorded with the labels")
    elif catalog is not None:
        cost = _priced_tokens(labels, catalog)
        result = RecordedCosts(cost, np.zeros(cost.shape, bool), _assumed(labels, catalog), _BY_LENGTH, labels.models)
    else:
        raise InvalidInput(
            "the label table records no costs and there is no model catalog",
            source=labels.name,
            remedy="Give a catalog with prices, or a '<model>|cost' column in USD for each model.",
        )
    if catalog is not None:
        result = _filled(result, labels, catalog)
    unknown = [model for model, column in zip(labels.models, result.cost.T, strict=True) if np.isnan(column).all()]
    if unknown:
        raise InvalidInput(
            f"no cost is known for {', '.join(unknown)}",
            source=labels.name,
            remedy="Give a catalog with prices, or record at least one call's cost for each model.",
        )
    return result


def _filled(costs: RecordedCosts, labels: LabelledInstructions, catalog: ModelCatalog) -> RecordedCosts:
    """Unknown costs of models with few known ones, where some model has more, from price and length of the text."""
    known = np.isfinite(costs.cost)
    calls = known.sum(axis=0)
    cost, recorded, assumed = costs.cost.copy(), costs.recorded.copy(), costs.assumed.copy()
    few, priced_by_catalog = [], set(costs.priced)
    for k in np.flatnonzero((calls < MIN_CALLS) & (calls < calls.max(initial=0))):
        if labels.models[k] not in catalog.names:
            continue
        entry, column = catalog[labels.models[k]], known[:, k]
        own = cost[:, k] if labels.cost is None or column.any() else labels.cost[:, k]
        column = np.isfinite(own)
        priced = proxy_tokens(labels.instruction) * (entry.input_price * entry.share_paid) + _assumed_output(entry)
        level = own[column].mean() / priced[column].mean() if column.any() and priced[column].any() else _PER_MILLION
        cost[:, k], recorded[:, k] = np.where(column, own, level * priced), column
        few.append(labels.models[k])
        if not column.any():
            priced_by_catalog.add(labels.models[k])
            assumed[k] = _assumed_output(entry) * _PER_MILLION
        elif not known[:, k].any():  # its level is that of costs that were recorded
            priced_by_catalog.discard(labels.models[k])
            assumed[k] = 0.0
    how = f"; for most calls of {', '.join(few)}: {_BY_LENGTH}" if few else ""
    in_order = tuple(model for model in labels.models if model in priced_by_catalog)
    return RecordedCosts(cost, recorded, assumed, costs.source + how, in_order)


def _assumed(labels: LabelledInstructions, catalog: ModelCatalog) -> np.ndarray:
    """(K,) USD per call for output tokens that were assumed, not counted."""
    if labels.output_tokens is not None:
        return np.zeros(len(labels.models))
    return np.array([_assumed_output(entry) * _PER_MILLION for entry in catalog.select(labels.models).models])


def _assumed_output(entry: ModelEntry) -> float:
    """Millionths of a USD that the assumed output of a call costs."""
    return ASSUMED_OUTPUT_TOKENS * (entry.output_price * entry.share_paid)


def _priced_tokens(labels: LabelledInstructions, catalog: ModelCatalog) -> np.ndarray:
    entries = catalog.select(labels.models).models
    shape = labels.success.shape
    if labels.input_tokens is not None:
        input_tokens = labels.input_tokens
    else:
        input_tokens = np.broadcast_to(proxy_tokens(labels.instruction)[:, None], shape)
    output_tokens = np.full(shape, ASSUMED_OUTPUT_TOKENS) if labels.output_tokens is None else labels.output_tokens
    cost = np.empty_like(input_tokens + output_tokens)  # keeps their layout, on which the order of sums depends
    for k, entry in enumerate(entries):
        cached = None if labels.cached_tokens is None else labels.cached_tokens[:, k]
        cost[:, k] = TokenPrices.of(entry).usd_of_calls(input_tokens[:, k], output_tokens[:, k], cached)
    return cost
