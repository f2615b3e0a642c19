"""What is sent and asked for beyond a text is paid for, and nothing changes where there is nothing."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import ndtri

from routing_assets.datasets import BatchInstructions, LabelledInstructions
from routing_assets.pricing.call_parts import AnswerTokens
from routing_assets.pricing.catalog import ModelCatalog, ModelEntry
from routing_assets.pricing.cost_model import CostModel, fit_cost_model
from routing_assets.pricing.spend import CostEstimate

CATALOG = ModelCatalog(
    (ModelEntry("large", 10.0, 30.0, tags=("vision",), image_price=0.002), ModelEntry("small", 1.0, 2.0))
)
PRICE = np.array([[10.0, 1.0], [30.0, 2.0]]) * 1e-6
OUT = np.array([200.0, 100.0])


def labelled(n: int = 200, **columns: object) -> LabelledInstructions:
    return LabelledInstructions(
        name="toy",
        models=("large", "small"),
        instruction_id=np.arange(n).astype(str).astype(object),
        instruction=np.array(["x" * 400] * n, dtype=object),
        success=np.ones((n, 2)),
        **columns,  # type: ignore[arg-type]
    )


def counted(beside: float = 0.0) -> LabelledInstructions:
    """Labels that record tokens: 100 of the text and so many beside it, and on average ``OUT`` of the answer."""
    spread = np.random.default_rng(0).uniform(0.5, 1.5, (200, 2))
    spread /= spread.mean(axis=0)
    return labelled(input_tokens=np.full((200, 2), 100.0 + beside), output_tokens=OUT * spread)


def batch(n: int = 1, **columns: object) -> BatchInstructions:
    ids = np.arange(n).astype(str).astype(object)
    return BatchInstructions(ids, np.array(["y" * 400] * n, dtype=object), **columns)  # type: ignore[arg-type]


def means(model: CostModel, **columns: float) -> np.ndarray:
    arrays = {name: np.array([value]) for name, value in columns.items()}
    return model.estimate_requests(batch(**arrays)).mean[0]


def assert_equal(one: CostEstimate, other: CostEstimate) -> None:
    for name in ("mean", "std", "shared_error", "assumed_error"):
        assert_array_equal(getattr(one, name), getattr(other, name))


@pytest.mark.parametrize("labels", [counted(), labelled(), labelled(cost=np.full((200, 2), 0.01))])
def test_a_batch_of_texts_costs_the_same_to_the_last_bit(labels: LabelledInstructions) -> None:
    model = fit_cost_model(labels, CATALOG)
    texts = batch(3)
    assert_equal(model.estimate_requests(texts), model.estimate(texts.instruction))
    nothing = replace(texts, input_tokens=np.full(3, 50.0), answers=np.full(3, np.nan), images=np.full(3, np.nan))
    assert_equal(model.estimate_requests(nothing), model.estimate(texts.instruction))
    mixed = model.estimate_requests(replace(texts, answers=np.array([np.nan, 2.0, np.nan])))
    alone = model.estimate(texts.instruction)
    assert_array_equal(mixed.mean[[0, 2]], alone.mean[[0, 2]])
    assert_array_equal(mixed.std[[0, 2]], alone.std[[0, 2]])
    choice = np.zeros(2, int)
    calls = [replace(e, mean=e.mean[[0, 2]], std=e.std[[0, 2]]) for e in (mixed, alone)]
    calls[0] = replace(calls[0], assumed_error=mixed.assumed_error[[0, 2]])  # type: ignore[index]
    assert calls[0].forecast(choice).std == pytest.approx(calls[1].forecast(choice).std, rel=1e-12)


def test_tokens_beside_the_text_answers_and_images_are_paid_at_the_catalogs_prices() -> None:
    model = fit_cost_model(counted(), CATALOG)
    one = 100 * PRICE[0] + OUT * PRICE[1]
    assert_allclose(means(model), one)
    assert_allclose(means(model, input_tokens=26_600.0), one + 26_500 * PRICE[0])
    assert_allclose(means(model, answers=5.0), one + 4 * OUT * PRICE[1])
    assert_allclose(means(model, images=3.0)[0], one[0] + 3 * 0.002)


def test_costs_of_labelled_calls_include_what_they_sent_beside_their_texts() -> None:
    model = fit_cost_model(counted(beside=500.0), CATALOG)
    base = means(model)
    assert_allclose(means(model, input_tokens=600.0), base)
    assert_allclose(means(model, input_tokens=1100.0), base + 500 * PRICE[0])


def test_an_output_bound_caps_the_answer_its_spread_and_what_was_assumed() -> None:
    for labels in (counted(), labelled()):
        model = fit_cost_model(labels, CATALOG)
        free = model.estimate_requests(batch(answers=np.array([1.0])))
        bounded = model.estimate_requests(batch(output_bound=np.array([1.0]), answers=np.array([2.0])))
        assert_allclose(bounded.mean[0], 100 * PRICE[0] + 2 * 1 * PRICE[1])
        assert np.all(bounded.std < free.std)
        assert_allclose(bounded.assumed_error, 0.0, atol=1e-12)
        wide = model.estimate_requests(batch(output_bound=np.array([1e9])))
        assert_array_equal(wide.mean, free.mean)
        assert_array_equal(wide.std, free.std)


@given(bound=st.floats(0, 1e4), answers=st.integers(1, 8), tokens=st.floats(0, 1e5))
def test_an_answer_is_never_dearer_than_its_bound_and_never_spreads_wider_than_one_can(
    bound: float, answers: int, tokens: float
) -> None:
    model = fit_cost_model(counted(), CATALOG)
    said = {
        "output_bound": np.array([bound]),
        "answers": np.array([float(answers)]),
        "input_tokens": np.array([tokens]),
    }
    estimate = model.estimate_requests(batch(**said))
    sent = max(tokens, 100) * PRICE[0]
    assert np.all(estimate.mean[0] <= (sent + answers * bound * PRICE[1]) * (1 + 1e-9))
    mean = np.minimum(OUT, bound)
    widest = answers * PRICE[1] * np.sqrt(mean * (bound - mean))
    of_input = model.estimate(batch().instruction).std[0]
    assert np.all(estimate.std[0] <= np.hypot(of_input, widest) * (1 + 1e-9))


@pytest.mark.parametrize("catalog", [None, CATALOG])
def test_where_only_costs_are_recorded_nothing_is_free_and_no_bound_lowers_them(catalog: ModelCatalog | None) -> None:
    model = fit_cost_model(labelled(cost=np.tile([0.01, 0.001], (200, 1))), catalog)
    base = means(model)
    assert np.all(means(model, input_tokens=1100.0) >= base + 1000 * (PRICE[0] if catalog else 0.99 * base / 100))
    assert_allclose(means(model, answers=3.0), 3 * base)
    assert_array_equal(means(model, output_bound=1.0), base)
    doubt = model.doubt(100.0, {"input_tokens": 1000.0})
    assert doubt is None if catalog else doubt is not None and "no price of theirs is known" in doubt


def test_a_model_that_was_stored_before_prices_what_is_sent_all_the_same() -> None:
    stored = fit_cost_model(counted(), CATALOG).to_dict()
    again = CostModel.from_dict(json.loads(json.dumps(stored)))
    said = {"input_tokens": 1100.0, "answers": 3.0, "output_bound": 7.0, "images": 2.0}
    assert_array_equal(means(again, **said), means(fit_cost_model(counted(), CATALOG), **said))
    before = CostModel.from_dict({name: value for name, value in stored.items() if name != "parts"})
    assert np.all(means(before, input_tokens=1100.0) > means(before) + 1000 * PRICE[0])


def of_many_lengths() -> LabelledInstructions:
    """Counted calls of short and long texts, whose answers are as long as each other on average."""
    rng, n = np.random.default_rng(0), 400
    words = rng.integers(5, 2000, n)
    labels = labelled(n)
    return replace(
        labels,
        instruction=np.array(["word " * int(k) for k in words], object),
        input_tokens=np.repeat(words[:, None] * 1.0, 2, axis=1),
        output_tokens=rng.lognormal(np.log(OUT) - 0.5 * 0.6**2, 0.6, (n, 2)),
    )


def test_where_answers_were_counted_a_bound_leaves_short_and_long_texts_their_input() -> None:
    model = fit_cost_model(of_many_lengths(), CATALOG)
    assert model.output is not None
    model = CostModel.from_dict(json.loads(json.dumps(model.to_dict())))
    words = np.array([20, 1900])
    texts = np.array(["word " * int(k) for k in words], object)
    for known in ({}, {"input_tokens": words + 4.0, "text_tokens": words + 4.0}):
        asked = replace(batch(2), instruction=texts, **known)
        bounded = model.estimate_requests(replace(asked, output_bound=np.array([1.0, 1.0])))
        off = abs(bounded.mean - (words[:, None] * PRICE[0] + PRICE[1]))
        assert np.all(off <= (5 if known else 150) * PRICE[0])  # of up to 2,000 input tokens
        five = model.estimate_requests(replace(asked, answers=np.array([5.0, 5.0])))
        free = model.estimate_requests(asked)
        assert_allclose(five.mean - free.mean, np.tile(4 * OUT * PRICE[1], (2, 1)), rtol=0.15)


@given(
    mean=st.floats(1, 1e4),
    relative=st.floats(0.05, 3),
    bound=st.floats(0, 2e4),
)
def test_expected_tokens_of_a_cut_answer_are_those_of_random_ones(mean: float, relative: float, bound: float) -> None:
    spread = np.sqrt(np.log1p(relative**2))
    quantiles = np.exp(np.log(mean) - spread**2 / 2 + spread * ndtri((np.arange(20_000) + 0.5) / 20_000))
    answer = AnswerTokens(np.array([[mean]]), np.array([relative]))
    cut = answer.within(np.array([[bound]]))[0, 0]
    assert cut == pytest.approx(np.minimum(quantiles, bound).mean(), rel=0.02, abs=1e-9)
    assert answer.within(np.array([[np.inf]]))[0, 0] == mean
