"""Before any label, a call costs its tokens by the catalog, with as many answered as assumed or bounded."""

from __future__ import annotations

import numpy as np
import pytest

from routing_assets.datasets import BatchInstructions
from routing_assets.datasets.tokens import TOKENS_OF_MESSAGE, request_tokens
from routing_assets.pricing.catalog import ModelCatalog, ModelEntry
from routing_assets.pricing.first_costs import first_costs

CATALOG = ModelCatalog((ModelEntry("small", 1.0, 2.0), ModelEntry("large", 10.0, 20.0, batch=0.5, image_price=0.01)))


def batch(**columns: object) -> BatchInstructions:
    texts = np.array(["What is 7 times 8?", "Why?"], object)
    return BatchInstructions(np.array(["a", "b"], object), texts, **columns)  # type: ignore[arg-type]


def test_a_text_costs_its_tokens_and_those_of_an_answer() -> None:
    read = np.ceil([request_tokens(text) + TOKENS_OF_MESSAGE for text in batch().instruction])
    assert first_costs(batch(), CATALOG, 100)[:, 0] == pytest.approx((read + 2 * 100) / 1e6)
    assert first_costs(batch(), CATALOG, 100)[:, 1] == pytest.approx((5 * read + 10 * 100) / 1e6)


def test_what_requests_say_of_tokens_bounds_answers_and_images_counts() -> None:
    asked = batch(
        input_tokens=np.array([1000.0, 500.0]),
        output_bound=np.array([10.0, np.nan]),
        answers=np.array([np.nan, 3.0]),
        images=np.array([0.0, 2.0]),
    )
    cost = first_costs(asked, CATALOG, 100)
    assert cost[:, 0] == pytest.approx([(1000 + 2 * 10) / 1e6, (500 + 2 * 300) / 1e6])
    assert cost[1, 1] == pytest.approx((5 * 500 + 10 * 300) / 1e6 + 2 * 0.005)
