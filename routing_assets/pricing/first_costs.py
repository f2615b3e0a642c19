"""What calls will cost before any call was labelled: by the catalog's prices and an assumed length of the answers."""

from __future__ import annotations

import math

import numpy as np

from routing_assets.datasets.batch import BatchInstructions
from routing_assets.datasets.request_content import CAPABILITY
from routing_assets.datasets.tokens import TOKENS_OF_MESSAGE, request_tokens
from routing_assets.pricing.catalog import ModelCatalog
from routing_assets.pricing.recorded_costs import ASSUMED_OUTPUT_TOKENS
from routing_assets.pricing.token_prices import TokenPrices


def first_costs(
    batch: BatchInstructions, catalog: ModelCatalog, output_tokens: float = ASSUMED_OUTPUT_TOKENS
) -> np.ndarray:
    """(N, K) estimated USD of each instruction with each model of the catalog; attachments without a price are free.

    Args:
        output_tokens: of an answer; a request that bounds its answer to fewer gets no more than these.
    """
    n = len(batch)
    of_text = np.array([request_tokens(text) + TOKENS_OF_MESSAGE for text in batch.instruction])
    read = of_text if batch.input_tokens is None else np.where(np.isnan(batch.input_tokens), of_text, batch.tokens)
    bound = np.full(n, np.inf) if batch.output_bound is None else np.nan_to_num(batch.output_bound, nan=np.inf)
    answers = np.ones(n) if batch.answers is None else np.nan_to_num(batch.answers, nan=1.0)
    written = np.ceil(answers * np.minimum(bound, output_tokens))
    prices = [TokenPrices.of(entry) for entry in catalog.models]
    cost = np.array(
        [[float(p.usd(math.ceil(r), int(w))) for p in prices] for r, w in zip(read, written, strict=True)], np.float64
    )
    for kind in CAPABILITY:
        if (attached := getattr(batch, kind)) is not None:
            each = np.array([entry.attachment_price(kind) or 0.0 for entry in catalog.models])
            cost += np.nan_to_num(attached)[:, None] * each
    return cost
