"""One rule of prices for estimates and answers, checked against plain arithmetic in decimals."""

from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing_assets.datasets import BatchInstructions, LabelledInstructions
from routing_assets.foundation.errors import InvalidInput
from routing_assets.pricing.catalog import ModelCatalog, ModelEntry, PriceTier, as_row, load_catalog
from routing_assets.pricing.catalog_table import catalog_from_rows, catalog_from_table, catalog_table
from routing_assets.pricing.cost_model import CostModel, fit_cost_model
from routing_assets.pricing.recorded_costs import recorded_costs
from routing_assets.pricing.token_prices import TokenPrices
from routing_assets.pricing.units import refuse_doubtful_prices

LONG = ModelEntry(
    "long",
    1.25,
    10.0,
    cached_input_price=0.125,
    request_price=0.005,
    batch=0.5,
    tiers=(PriceTier(above_tokens=200_000, input_price=2.5, output_price=15.0, cached_input_price=0.25),),
)
CATALOG = """\
models:
  plain: {price: 1}
  long:
    input_price: 1.25
    output_price: 10
    cached_input_price: 0.125
    request_price: 0.005
    batch: 0.5
    tiers: [{above_tokens: 200000, input_price: 2.5, output_price: 15, cached_input_price: 0.25}]
"""

amounts = st.decimals(0, 100, places=3)
tier = st.tuples(st.integers(1, 1000), amounts, amounts, st.none() | amounts)


@given(
    base=st.tuples(amounts, amounts, st.none() | amounts),
    tiers=st.lists(tier, max_size=4, unique_by=lambda t: t[0]),
    batch=st.sampled_from([None, 0.5, 0.75, 1.0]),
    fee=st.none() | amounts,
    read=st.integers(0, 2000),
    written=st.integers(0, 2000),
    cached_share=st.floats(0, 1),
)
def test_a_call_costs_what_the_last_tier_below_its_length_says(
    base: tuple[Decimal, Decimal, Decimal | None],
    tiers: list[tuple[int, Decimal, Decimal, Decimal | None]],
    batch: float | None,
    fee: Decimal | None,
    read: int,
    written: int,
    cached_share: float,
) -> None:
    cached = int(read * cached_share)
    entry = ModelEntry(
        "m",
        float(base[0]),
        float(base[1]),
        cached_input_price=None if base[2] is None else float(base[2]),
        request_price=None if fee is None else float(fee),
        batch=batch,
        tiers=tuple(
            PriceTier(
                above_tokens=above,
                input_price=float(of_input),
                output_price=float(of_output),
                cached_input_price=None if of_cached is None else float(of_cached),
            )
            for above, of_input, of_output, of_cached in tiers
        ),
    )
    paid = base
    for above, *others in sorted(tiers, key=lambda t: t[0]):
        if read > above:
            paid = (others[0], others[1], others[2])
    of_cached = paid[0] if paid[2] is None else paid[2]
    usd = (read - cached) * paid[0] + cached * of_cached + written * paid[1]
    usd = usd * Decimal(str(batch or 1)) / 1_000_000 + (fee or 0)
    prices = TokenPrices.of(entry)
    assert prices.usd(read, written, cached) == Fraction(usd)
    of_calls = prices.usd_of_calls(np.array([read] * 2), np.array([written] * 2), np.array([cached] * 2))
    assert of_calls == pytest.approx([float(usd)] * 2, rel=1e-12, abs=1e-15)


def test_the_whole_call_is_paid_at_the_tiers_prices_and_the_boundary_is_not_above() -> None:
    prices = TokenPrices.of(LONG)
    assert prices.usd(200_000, 0) == Fraction("0.125") + Fraction("0.005")
    assert prices.usd(200_001, 100) == (200_001 * Fraction("2.5") + 100 * 15) / 2_000_000 + Fraction("0.005")
    assert prices.usd(300_000, 0, cached=150_000) == 150_000 * Fraction("2.75") / 2_000_000 + Fraction("0.005")


def test_a_sum_of_tokens_is_priced_only_where_all_cost_the_same() -> None:
    assert TokenPrices.of(ModelEntry("m", 2.0, 2.0)).usd_of_sum(100) == Fraction(200, 1_000_000)
    for entry in (ModelEntry("m", 2.0, 3.0), ModelEntry("m", 2.0, 2.0, cached_input_price=1.0), LONG):
        assert TokenPrices.of(entry).usd_of_sum(100) is None


def test_every_further_price_is_read_and_survives_tables_rows_and_json(tmp_path: Path) -> None:
    path = tmp_path / "catalog.yaml"
    path.write_text(CATALOG)
    catalog = load_catalog(path)
    assert catalog["long"] == LONG
    rows = json.loads(json.dumps([as_row(entry) for entry in catalog.models]))
    assert "tiers" not in rows[0]
    for again in (catalog_from_table(catalog_table(catalog)), catalog_from_rows(rows)):
        assert again is not None
        assert again.models == catalog.models
        assert again.version == catalog.version


FAULTS = {
    "batch_discount: 0.5": "'batch_discount' is unknown in models.m. Write batch: 0.5",
    "input_price_above_200k: 0.3": "Write tiers: .{above_tokens: 200000",
    "input_cost_per_token: 1.0e-6": "Write input_price in USD per 1M tokens: a price per token times 1,000,000",
    "output_price_per_1k: 0.002": "Write output_price in USD per 1M tokens: a price per 1K tokens times 1,000",
    "cache_read_price: 0.1": "Write cached_input_price in USD per 1M tokens",
    "reasoning_price: 10": "reasoning tokens are output tokens",
    "cost_per_image: 0.001": "Write image_price",
    "request_fee: 0.001": "Write request_price",
    "context_window: 128000": "Write context_tokens",
    "batch: 50": "models.m.batch is 50. It must be at most 1",
    "batch: 0": "models.m.batch is 0. It must be",
    "tiers: [{above_tokens: 5, input_price: 1}]": "models.m.tiers.0.output_price is missing",
    "tiers: [{above_tokens: 0, input_price: 1, output_price: 1}]": "models.m.tiers.0.above_tokens is 0",
    "tiers: [{above_tokens: 5, price: 1}]": "'price' is unknown in models.m.tiers.0",
    "tiers: [{above_tokens: 5, input_price: 1, output_price: 1}, {above_tokens: 5, input_price: 2, output_price: 2}]": (
        "two tiers have the same above_tokens"
    ),
}


@pytest.mark.parametrize("written", FAULTS)
def test_other_spellings_and_wrong_values_are_refused_with_what_to_write(tmp_path: Path, written: str) -> None:
    path = tmp_path / "catalog.yaml"
    path.write_text(f"models:\n  ok: {{price: 1}}\n  m:\n    price: 1\n    {written}\n")
    with pytest.raises(InvalidInput, match=FAULTS[written]) as caught:
        load_catalog(path)
    assert str(path) in str(caught.value)


def test_a_tier_or_a_cached_price_in_another_unit_is_refused() -> None:
    wrong = (
        ModelEntry("m", 1.0, 2.0, cached_input_price=1e-7),
        ModelEntry("m", 1.0, 2.0, tiers=(PriceTier(above_tokens=9, input_price=2e-6, output_price=4e-6),)),
    )
    for entry in wrong:
        for in_force in (None, ModelCatalog((ModelEntry("m", 1.0, 2.0),))):
            with pytest.raises(InvalidInput, match="200 times the usual price"):
                refuse_doubtful_prices(ModelCatalog((entry,)), in_force)
    refuse_doubtful_prices(ModelCatalog((LONG,)), None)


def labelled(entries: tuple[ModelEntry, ...], n: int = 100, **columns: np.ndarray) -> LabelledInstructions:
    rng = np.random.default_rng(0)
    shape = (n, len(entries))
    written = rng.uniform(50, 150, shape)
    tokens = {"input_tokens": np.full(shape, 100.0), "output_tokens": written * (100 / written.mean(axis=0))}
    return LabelledInstructions(
        name="toy",
        models=tuple(entry.name for entry in entries),
        instruction_id=np.arange(n).astype(str).astype(object),
        instruction=np.array(["word " * 80] * n, dtype=object),
        success=np.ones(shape),
        **tokens | columns,
    )


def requests(*tokens: float, **columns: np.ndarray) -> BatchInstructions:
    ids = np.arange(len(tokens)).astype(str).astype(object)
    return BatchInstructions(
        ids, np.array(["word " * 80] * len(tokens), object), input_tokens=np.array(tokens), **columns
    )


@pytest.mark.parametrize("entry", [LONG, ModelEntry("plain", 2.0, 8.0, batch=0.5, request_price=0.01)])
def test_an_estimate_is_what_the_answers_tokens_will_cost(entry: ModelEntry) -> None:
    model = fit_cost_model(labelled((entry,)), ModelCatalog((entry,)))
    model = CostModel.from_dict(json.loads(json.dumps(model.to_dict())))
    sent = (100.0, 40_000.0, 600_000.0)
    estimate = model.estimate_requests(requests(*sent, answers=np.array([1.0, 1.0, 2.0])))
    prices = TokenPrices.of(entry)
    billed = [float(prices.usd(int(read), written)) for read, written in zip(sent, (100, 100, 200), strict=True)]
    assert estimate.mean[:, 0] == pytest.approx(billed, rel=0.01)


def test_near_a_tier_the_expected_cost_lies_between_its_sides_and_its_error_covers_both() -> None:
    model = fit_cost_model(labelled((LONG,)), ModelCatalog((LONG,)))
    estimate = model.estimate_requests(requests(200_000.0))
    prices = TokenPrices.of(LONG)
    below, above = float(prices.usd(200_000, 100)), float(prices.usd(200_001, 100))
    mean, error = float(estimate.mean[0, 0]), float(np.asarray(estimate.assumed_error)[0, 0])
    assert mean == pytest.approx((below + above) / 2, rel=0.01)
    assert mean - error <= below < above <= mean + error


def test_texts_alone_pay_for_their_call_and_their_length() -> None:
    model = fit_cost_model(labelled((LONG,)), ModelCatalog((LONG,)), "mean")
    short, long = model.estimate(np.array(["word " * 80, "word " * 1_000_000], object)).mean[:, 0]
    assert short == pytest.approx(float(TokenPrices.of(LONG).usd(100, 100)), rel=1e-9)
    assert long - short == pytest.approx(0.5 * (1_250_000 * 1.25 + 100 * 5) / 1e6, rel=1e-3)


def test_costs_that_labels_record_are_neither_halved_nor_charged_twice() -> None:
    labels = labelled((LONG,), cost=np.full((100, 1), 0.03), input_tokens=None, output_tokens=None)
    model = fit_cost_model(labels, ModelCatalog((LONG,)))
    assert model.estimate_requests(requests(100.0)).mean[0, 0] == pytest.approx(0.03)
    beside = model.estimate_requests(requests(1_000_100.0)).mean[0, 0]
    assert beside - 0.03 == pytest.approx(1_000_000 * 2.5e-6 * 0.5, rel=0.01)


def test_labelled_calls_that_read_from_a_cache_cost_what_they_did() -> None:
    catalog, half = ModelCatalog((LONG,)), np.full((100, 1), 50.0)
    labels = labelled((LONG,), output_tokens=np.full((100, 1), 10.0), cached_tokens=half)
    assert recorded_costs(labels, catalog).cost == pytest.approx((50 * 1.25 + 50 * 0.125 + 100) / 2e6 + 0.005)


@pytest.mark.parametrize(("part", "whole"), [("cached_tokens", "input_tokens"), ("reasoning_tokens", "output_tokens")])
def test_labels_that_count_a_part_beside_its_whole_are_refused(part: str, whole: str) -> None:
    with pytest.raises(InvalidInput, match=rf"'long' has 900 {part} but .* {whole}, of which they are a part"):
        labelled((LONG,), **{part: np.full((100, 1), 900.0)})
