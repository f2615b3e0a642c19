"""What each call of a batch would cost, as a wide table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from routing_assets.datasets import BatchInstructions
from routing_assets.datasets.tokens import proxy_tokens
from routing_assets.foundation.content_version import content_version
from routing_assets.foundation.long_table import about, matrix_of
from routing_assets.foundation.wide_matrix import wide_table
from routing_assets.pricing.cost_model import CostModel
from routing_assets.pricing.spend import CostEstimate

ASSUMED_OF_CALL = "cost_assumed_error"
"""Column of the cost matrix; if it is absent, all calls of a model have the error stored in the table's metadata."""
BEYOND_TEXT = "beyond_text"
"""Key for what the requests send and ask for beyond one answer to each text, all of it priced. It is in the metadata
of a cost matrix and in the summary of a decision. Decisions without the key priced the texts alone.
"""
REQUESTS_COUNTED = "requests_counted"
"""Key for how tokens of requests were counted, in both. Decisions without it counted them by length alone."""
BY_KIND = "kinds of bytes"


def cost_model_table(model: CostModel, catalog: pa.Table) -> pa.Table:
    """The single row that :func:`price_batch` reads: the model as JSON, and its version with the catalog's."""
    fitted = pa.table({"cost_model": [json.dumps(model.to_dict())]})
    return fitted.append_column("price_version", pa.array([content_version(fitted, catalog)]))


@dataclass(frozen=True)
class RequestTotals:
    """What the requests of a batch, or of a part of it, send and ask for in all."""

    instructions: int
    text_tokens: float
    """Estimated from the length of the texts."""
    beyond_text: Mapping[str, float]
    """See ``BatchInstructions.beyond_text``."""

    @classmethod
    def of(cls, batch: BatchInstructions) -> RequestTotals:
        """The totals of these instructions."""
        return cls(len(batch), float(proxy_tokens(batch.instruction).sum()), batch.beyond_text)

    def __add__(self, other: RequestTotals) -> RequestTotals:
        names = (*self.beyond_text, *(name for name in other.beyond_text if name not in self.beyond_text))
        both = {name: self.beyond_text.get(name, 0.0) + other.beyond_text.get(name, 0.0) for name in names}
        return RequestTotals(self.instructions + other.instructions, self.text_tokens + other.text_tokens, both)


def price_batch(
    batch: BatchInstructions,
    cost_model: pa.Table,
    *,
    texts_alone: bool = False,
    totals: RequestTotals | None = None,
) -> pa.Table:
    """The table of ``cost_matrix``: estimated USD of every call, by the single row of a ``cost_model`` table.

    Args:
        texts_alone: leave out what is sent and asked for beyond the texts, as decisions of earlier versions did.
        totals: totals of the whole batch, if ``batch`` is a part of it.
    """
    totals = totals or RequestTotals.of(batch)
    model = CostModel.from_dict(json.loads(cost_model["cost_model"][0].as_py()))
    estimate = model.estimate(batch.instruction, batch.task) if texts_alone else model.estimate_requests(batch)
    assumed = np.asarray(estimate.assumed_error)
    differs = assumed.ndim == 2 or (totals.beyond_text and not texts_alone)  # in one part of the batch, so in all
    of_calls = {ASSUMED_OF_CALL: np.broadcast_to(assumed, estimate.mean.shape)} if differs else {}
    return wide_table(
        model.models,
        {"cost": estimate.mean, "cost_std": estimate.std, **of_calls},
        others={"instruction_id": pa.array(batch.instruction_id, pa.string())},
        about={
            "price_version": cost_model["price_version"][0].as_py(),
            "shared_error": json.dumps(model.shared_error.tolist()),
            "assumed_error": json.dumps(model.assumed_error.tolist()),
            **({} if texts_alone or not totals.beyond_text else {BEYOND_TEXT: json.dumps(totals.beyond_text)}),
            **({} if texts_alone or batch.text_tokens is None else {REQUESTS_COUNTED: BY_KIND}),
            "doubt": model.doubt(totals.text_tokens / totals.instructions, totals.beyond_text) or "",
        },
    )


def cost_estimate(costs: pa.Table, models: Sequence[str]) -> CostEstimate:
    """The estimate in a table of :func:`price_batch`, for the given models."""
    said = about(costs)
    column = [json.loads(said["models"]).index(model) for model in models]
    nothing = json.dumps([0.0] * len(json.loads(said["models"])))  # matrices of earlier versions lack the field
    assumed = np.array(json.loads(said.get("assumed_error", nothing)))[column]
    if ASSUMED_OF_CALL in costs.column_names:
        assumed = matrix_of(costs, ASSUMED_OF_CALL, models)
    return CostEstimate(
        matrix_of(costs, "cost", models),
        matrix_of(costs, "cost_std", models),
        np.array(json.loads(said["shared_error"]))[column],
        assumed,
    )
