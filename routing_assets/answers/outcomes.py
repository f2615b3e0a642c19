"""Outcomes of a batch, from answers or from a table of the user's: model names of the catalog, costs from tokens."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from routing_assets.answers.models import ModelNames
from routing_assets.datasets.outcomes import Outcomes
from routing_assets.pricing.token_prices import TokenPrices


def outcomes_of(answers: pa.Table, grades: pa.Table | None = None) -> Outcomes:
    """The outcomes of every instruction and model that has an answer or a failed call.

    Cost and tokens are sums over its calls, and unknown where an answer does not report them. A failed call says
    nothing about success.

    Args:
        answers: as ``collect`` makes it.
        grades: ``instruction_id, model, success``, null where an answer was not graded.
    """
    success = {} if grades is None else _by_pair(grades, "success")
    calls: dict[tuple[str, str], list[dict[str, object]]] = {}
    columns = ("instruction_id", "model", "newest", "input_tokens", "output_tokens", "latency_s", "cost", "error")
    for batch in answers.select(columns).to_batches(max_chunksize=10_000):
        for row in batch.to_pylist():
            calls.setdefault((row["instruction_id"], row["model"] or ""), []).append(row)
    n = len(calls)
    numbers: dict[str, Any] = {
        name: np.full(n, np.nan) for name in ("success", "cost", "input_tokens", "output_tokens", "latency_s")
    }
    for place, (pair, rows) in enumerate(calls.items()):
        for name in ("cost", "input_tokens", "output_tokens"):
            numbers[name][place] = _sum(rows, name)
        counts = next(row for row in rows if row["newest"])
        numbers["latency_s"][place] = _number(counts["latency_s"])
        numbers["success"][place] = _number(success.get(pair))
    ids, models = (np.array([pair[k] for pair in calls], object) for k in (0, 1))
    return Outcomes(ids, models, tokens=np.full(n, np.nan), contradicted=np.zeros(n, bool), **numbers)


def priced(
    outcomes: Outcomes, routed: Mapping[str, str], names: ModelNames, prices: Mapping[str, TokenPrices]
) -> Outcomes:
    """The outcomes with the catalog's model names, and with costs from tokens where no costs are given."""
    models, cost = outcomes.model.copy(), outcomes.cost.copy()
    for i, (name, model) in enumerate(zip(outcomes.instruction_id, outcomes.model, strict=True)):
        models[i] = names.model(model, routed.get(name)) or model
        if math.isnan(cost[i]) and models[i] in prices:
            cached = 0.0 if outcomes.cached_tokens is None else outcomes.cached_tokens[i]
            counts = (outcomes.input_tokens[i], outcomes.output_tokens[i], cached, outcomes.tokens[i])
            cost[i] = _cost(prices[models[i]], *counts)
    return replace(outcomes, model=models, cost=cost)


def unpriced(outcomes: Outcomes) -> list[str]:
    """Models with outcomes whose tokens are known, but not their cost."""
    tokens = ~np.isnan(outcomes.input_tokens) | ~np.isnan(outcomes.output_tokens) | ~np.isnan(outcomes.tokens)
    return sorted(set(outcomes.model[tokens & np.isnan(outcomes.cost)]))


def _cost(prices: TokenPrices, read: float, written: float, cached: float, every: float) -> float:
    """USD of the tokens; NaN where the known counts do not determine it."""
    if not math.isnan(read) and not math.isnan(written):
        return float(prices.usd(int(read), int(written), 0 if math.isnan(cached) else int(cached)))
    usd = None if math.isnan(every) else prices.usd_of_sum(int(every))
    return math.nan if usd is None else float(usd)


def _by_pair(grades: pa.Table, name: str) -> dict[tuple[str, str], object]:
    known = grades.filter(pc.is_valid(grades[name]))
    pairs = zip(known["instruction_id"].to_pylist(), known["model"].to_pylist(), strict=True)
    return dict(zip(pairs, known[name].to_pylist(), strict=True))


def _sum(rows: list[dict[str, object]], name: str) -> float:
    """The sum over the calls that report it; NaN where an answer does not report it, or no call does."""
    known = [_number(row[name]) for row in rows if row[name] is not None]
    return math.fsum(known) if known and all(row[name] is not None or row["error"] for row in rows) else math.nan


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else math.nan
