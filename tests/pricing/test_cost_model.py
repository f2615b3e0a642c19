import json
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from routing_assets.datasets.labels import LabelledInstructions
from routing_assets.datasets.tokens import proxy_tokens
from routing_assets.foundation.errors import InvalidInput
from routing_assets.pricing.catalog import ModelCatalog, ModelEntry
from routing_assets.pricing.cost_model import CostModel, fit_cost_model
from routing_assets.pricing.recorded_costs import ASSUMED_OUTPUT_TOKENS, recorded_costs
from routing_assets.pricing.spend import CostEstimate, SpendForecast

CATALOG = ModelCatalog(
    models=(
        ModelEntry(name="large", input_price=10.0, output_price=30.0),
        ModelEntry(name="small", input_price=1.0, output_price=2.0),
    )
)


def labelled(n=400, seed=0, **columns) -> LabelledInstructions:
    rng = np.random.default_rng(seed)
    text = np.array([f"{i:04d} " + "x" * size for i, size in enumerate(rng.integers(10, 2000, n))], dtype=object)
    return LabelledInstructions(
        name="toy",
        models=("large", "small"),
        instruction_id=np.arange(n).astype(str).astype(object),
        instruction=text,
        success=np.ones((n, 2)),
        **columns,
    )


def length_costs(labels: LabelledInstructions, noise=0.1, seed=1) -> np.ndarray:
    noise_factor = np.random.default_rng(seed).normal(1, noise, (len(labels), 2)).clip(0.1)
    return (1e-4 + 1e-5 * proxy_tokens(labels.instruction)[:, None] * [10.0, 1.0]) * noise_factor


def test_proxy_counts_bytes_in_fours_and_never_zero():
    assert_allclose(proxy_tokens(np.array(["a", "12345678", "é" * 8], dtype=object)), [1, 2, 4])


def test_costs_come_from_tokens_at_todays_prices_first():
    labels = labelled(
        3, cost=np.full((3, 2), 9.0), input_tokens=np.full((3, 2), 1e6), output_tokens=np.full((3, 2), 2e6)
    )
    recorded = recorded_costs(labels, CATALOG)
    assert_allclose(recorded.cost, [[70.0, 5.0]] * 3)
    assert recorded.measured


def test_costs_of_the_table_serve_without_token_counts():
    labels = labelled(3, cost=np.full((3, 2), 9.0))
    for catalog in (None, CATALOG):
        assert_allclose(recorded_costs(labels, catalog).cost, 9.0)


def test_prices_and_length_serve_when_nothing_was_measured():
    labels = labelled(3)
    recorded = recorded_costs(labels, CATALOG)
    expected = np.outer(proxy_tokens(labels.instruction), [10e-6, 1e-6]) + ASSUMED_OUTPUT_TOKENS * np.array(
        [30e-6, 2e-6]
    )
    assert_allclose(recorded.cost, expected)
    assert not recorded.measured


def test_no_costs_at_all_is_refused_with_a_remedy():
    with pytest.raises(InvalidInput, match=r"toy: .*no costs.*Give a catalog"):
        recorded_costs(labelled(3), None)
    with pytest.raises(InvalidInput, match="no cost is known for small"):
        recorded_costs(labelled(2, cost=np.array([[1.0, np.nan], [1.0, np.nan]])), None)


def test_mean_mode_prices_every_call_of_a_model_alike():
    labels = labelled(cost=length_costs(labelled()))
    estimate = fit_cost_model(labels, None, "mean").estimate(labels.instruction[:5])
    assert_allclose(estimate.mean, np.tile(labels.cost.mean(axis=0), (5, 1)))


def test_auto_tells_instructions_apart_where_that_predicts_held_out_calls():
    labels = labelled(cost=length_costs(labelled()))
    model = fit_cost_model(labels, None)
    fresh = labelled(seed=7)
    expected = length_costs(fresh, noise=0.0)
    error = np.abs(model.estimate(fresh.instruction).mean - expected).mean(axis=0) / expected.mean(axis=0)
    assert model.mode == "per_instruction"
    assert np.all(error < 0.03)
    assert model.held_out["per_instruction"].relative_mae < 0.5 * model.held_out["mean"].relative_mae
    assert abs(model.held_out["per_instruction"].total_bias) < 0.02


def test_auto_keeps_the_mean_where_length_says_nothing():
    noise = np.random.default_rng(0).uniform(0.5, 1.5, (400, 2))
    model = fit_cost_model(labelled(cost=noise), None)
    assert model.mode == "mean"
    assert "explain" in model.why


def test_auto_keeps_the_mean_without_measurements_and_asking_gives_lengths():
    labels = labelled()
    assert fit_cost_model(labels, CATALOG).mode == "mean"
    asked = fit_cost_model(labels, CATALOG, "per_instruction")
    fresh = labelled(seed=3)
    assert_allclose(asked.estimate(fresh.instruction).mean, recorded_costs(fresh, CATALOG).cost, rtol=0.02)


def test_few_calls_fall_back_to_the_mean_and_say_so():
    labels = labelled(20, cost=length_costs(labelled(20)))
    assert "too few" in fit_cost_model(labels, None, "per_instruction").why


def test_task_sharpens_estimates_and_may_be_missing_or_new():
    rng = np.random.default_rng(5)
    task = rng.choice(["poem", "yes or no"], 400).astype(object)
    cost = np.where(task == "poem", 10.0, 1.0)[:, None] * rng.uniform(0.9, 1.1, (400, 2))
    labels = labelled(cost=cost, task=task)
    model = fit_cost_model(labels, None)
    poem = model.estimate(labels.instruction, np.full(400, "poem")).mean
    answer = model.estimate(labels.instruction, np.full(400, "yes or no")).mean
    assert_allclose(poem.mean(axis=0), 10, rtol=0.05)
    assert_allclose(answer.mean(axis=0), 1, rtol=0.1)
    text = labels.instruction[:2]
    mixed = model.estimate(text, np.array(["poem", "new task"])).mean
    assert_allclose(mixed, [poem[0], model.estimate(text).mean[1]])


def test_missing_costs_are_left_out_of_the_fit():
    full = length_costs(labelled(), noise=0.0)
    holes = full.copy()
    holes[np.random.default_rng(2).random(full.shape) < 0.4] = np.nan
    model = fit_cost_model(labelled(cost=holes), None, "per_instruction")
    assert_allclose(model.estimate(labelled().instruction).mean, full, atol=0.01 * full.max())


def test_estimates_never_fall_under_half_the_cheapest_call():
    labels = labelled(cost=length_costs(labelled()))
    tiny = fit_cost_model(labels, None).estimate(np.array(["x"], dtype=object)).mean
    assert np.all(tiny >= labels.cost.min(axis=0) / 2)


@pytest.mark.parametrize("mode", ["mean", "per_instruction"])
def test_stored_model_estimates_the_same(mode):
    labels = labelled(cost=length_costs(labelled()), task=np.array(["a", "b"] * 200, dtype=object))
    model = fit_cost_model(labels, None, mode)
    again = CostModel.from_dict(json.loads(json.dumps(model.to_dict())))
    assert_allclose(
        again.estimate(labels.instruction, labels.task).mean, model.estimate(labels.instruction, labels.task).mean
    )
    assert_allclose(again.assumed_error, model.assumed_error)
    assert again.held_out == model.held_out
    assert (again.mode, again.models, again.why) == (model.mode, model.models, model.why)


def test_forecast_by_hand():
    estimate = CostEstimate(
        mean=np.array([[3.0, 9.0], [5.0, 9.0]]),
        std=np.array([[0.3, 1.0], [0.4, 1.0]]),
        shared_error=np.array([0.0, 0.5]),
    )
    assert estimate.forecast(np.array([0, 0])) == SpendForecast(8.0, pytest.approx(0.5))
    assert estimate.forecast(np.array([0, 1])).std == pytest.approx(np.sqrt(0.3**2 + 1 + 4.5**2))
    assert SpendForecast(8.0, 0.5).overspend_probability(8.0) == pytest.approx(0.5)
    assert SpendForecast(8.0, 0.5).overspend_probability(9.0) == pytest.approx(0.0228, abs=1e-4)
    assert SpendForecast(8.0, 0.0).overspend_probability(8.0) == 0.0


@pytest.mark.parametrize("mode", ["mean", "per_instruction"])
def test_safe_share_holds_the_budget_at_least_as_often_as_promised(mode):
    kept, choice = [], np.zeros(100, dtype=int)
    for seed in range(25):
        train = labelled(200, seed=seed)
        train = labelled(200, seed=seed, cost=length_costs(train, noise=0.5, seed=seed))
        model = fit_cost_model(train, None, mode)
        for other in range(1000 * (seed + 1), 1000 * (seed + 1) + 8):
            batch = labelled(100, seed=other)
            true_cost = length_costs(batch, noise=0.5, seed=other)
            estimate = model.estimate(batch.instruction)
            budget = estimate.forecast(choice).mean / estimate.safe_share(choice, 0.9)
            kept.append(true_cost[:, 0].sum() <= budget)
    assert np.mean(kept) >= 0.9


def test_safe_share_refuses_certainty():
    estimate = CostEstimate(np.ones((1, 1)), np.ones((1, 1)), np.zeros(1))
    with pytest.raises(InvalidInput, match="certainty"):
        estimate.safe_share(np.array([0]), 1.0)


def test_a_model_without_recorded_costs_takes_prices_and_length():
    labels = labelled(60, cost=np.column_stack([np.full(60, 9.0), np.full(60, np.nan)]))
    recorded = recorded_costs(labels, CATALOG)
    tokens = proxy_tokens(labels.instruction)
    assert_allclose(recorded.cost[:, 0], 9.0)
    assert_allclose(recorded.cost[:, 1], (tokens * 1.0 + ASSUMED_OUTPUT_TOKENS * 2.0) * 1e-6)
    assert recorded.source.endswith(
        "for most calls of small: catalog prices x length of the text, 128 output tokens per call assumed"
    )
    with pytest.raises(InvalidInput, match="no cost is known for small"):
        recorded_costs(labels, None)


def test_a_few_recorded_costs_set_the_level_and_the_others_are_still_told_apart():
    labels = labelled(400)
    cost = length_costs(labels, noise=0.0)
    few = cost.copy()
    few[20:, 1] = np.nan
    recorded = recorded_costs(replace(labels, cost=few), CATALOG)
    assert_allclose(recorded.cost[:20], cost[:20])
    assert_allclose(recorded.cost[:, 1].mean(), cost[:, 1].mean(), rtol=0.2)
    assert fit_cost_model(replace(labels, cost=few), CATALOG).mode == "per_instruction"


def test_recorded_costs_come_before_length_where_others_recorded_tokens():
    tokens, cost = np.column_stack([np.full(60, 1e6), np.full(60, np.nan)]), np.full((60, 2), 7.0)
    recorded = recorded_costs(labelled(60, cost=cost, input_tokens=tokens, output_tokens=tokens), CATALOG)
    assert_allclose(recorded.cost, [[40.0, 7.0]] * 60)


def test_free_calls_need_no_margin():
    estimate = CostEstimate(np.zeros((2, 1)), np.zeros((2, 1)), np.zeros(1))
    assert estimate.safe_share(np.array([0, 0]), 0.95) == 1.0


def test_assumed_output_tokens_are_said_to_be() -> None:
    tokens = np.full((3, 2), 10.0)
    assumed = "128 output tokens per call assumed"
    assert assumed in recorded_costs(labelled(3), CATALOG).source
    assert assumed in recorded_costs(labelled(3, input_tokens=tokens), CATALOG).source
    assert assumed not in recorded_costs(labelled(3, input_tokens=tokens, output_tokens=tokens), CATALOG).source
    assert assumed not in recorded_costs(labelled(3, cost=tokens), CATALOG).source


def test_prices_move_no_estimate_where_the_labels_record_costs_and_no_tokens() -> None:
    cost, tokens = length_costs(labelled()), np.full((400, 2), 10.0)
    gap = np.column_stack([cost[:, 0], np.full(400, np.nan)])

    def unmoved(**columns: np.ndarray) -> tuple[str, ...]:
        return fit_cost_model(labelled(**columns), CATALOG).unmoved_by_prices

    assert unmoved(cost=cost) == ("large", "small")
    assert unmoved(cost=gap) == ("large",)
    few = cost.copy()
    few[10:, 1] = np.nan
    assert unmoved(cost=few) == ("large", "small")  # its level is that of the ten it has
    assert unmoved(cost=cost, input_tokens=tokens, output_tokens=tokens) == unmoved() == ()


def test_a_mean_cost_is_doubted_for_texts_of_another_length() -> None:
    labels = labelled()
    tokens = proxy_tokens(labels.instruction)
    model = stored_and_restored(fit_cost_model(labels, CATALOG))
    assert "100.0 times as long" in (model.doubt(100 * tokens.mean()) or "")
    assert "4.0 times as short" in (model.doubt(tokens.mean() / 4) or "")
    assert "costs or tokens" in (model.doubt(tokens.mean() / 4) or "")
    assert "as short" in (model.doubt(0.0) or "")
    assert model.doubt(1.9 * tokens.mean()) is model.doubt(0.6 * tokens.mean()) is None
    by_length = fit_cost_model(replace(labels, cost=length_costs(labels)), None)
    assert by_length.mode == "per_instruction"
    assert by_length.doubt(100 * tokens.mean()) is None


def test_cost_models_of_the_past_still_load_and_doubt_nothing() -> None:
    stored = fit_cost_model(labelled(), CATALOG).to_dict()
    del stored["priced"], stored["mean_tokens"], stored["assumed_error"]
    model = CostModel.from_dict(stored)
    assert_allclose(model.assumed_error, 0.0)
    assert model.doubt(1e9) is None
    assert model.unmoved_by_prices == ()


def noisy_costs(recorded: int = 400) -> np.ndarray:
    """Costs that the length of the text says nothing about; of the small model the first ``recorded`` calls only."""
    cost = np.random.default_rng(0).lognormal(-9.0, 1.0, (400, 2))
    cost[recorded:, 1] = np.nan
    return cost


@pytest.mark.parametrize("catalog", [CATALOG, None])
@pytest.mark.parametrize("mode", ["auto", "mean", "per_instruction"])
def test_a_single_recorded_call_is_no_certainty(mode: str, catalog: ModelCatalog | None) -> None:
    labels = labelled(cost=noisy_costs(recorded=1))
    model = fit_cost_model(labels, catalog, mode)
    estimate = model.estimate(labels.instruction)
    large, small = np.zeros(400, dtype=int), np.ones(400, dtype=int)
    assert model.shared_error[0] < 0.1 < 1.0 < model.shared_error[1] + 1e-9
    assert estimate.safe_share(small, 0.95) < 0.2 < 0.7 < estimate.safe_share(large, 0.95)
    twice = 2 * estimate.forecast(small).mean
    assert estimate.forecast(small).overspend_probability(twice) > 0.1


def test_equal_calls_make_a_level_known_as_they_become_many() -> None:
    errors = [fit_cost_model(labelled(n, cost=np.ones((n, 2))), None).shared_error[0] for n in (1, 2, 20, 400)]
    assert_allclose(errors, [2.0, 1.0, 0.1, 0.005])


def test_costs_filled_in_by_length_are_no_evidence_that_length_tells_costs() -> None:
    whole, few = (fit_cost_model(labelled(cost=noisy_costs(n)), CATALOG) for n in (400, 1))
    assert whole.mode == few.mode == "mean"
    assert abs(few.held_out["per_instruction"].explained) < 0.05


def test_an_assumed_number_of_output_tokens_is_uncertain_by_as_many_for_all_models_at_once() -> None:
    labels = labelled()
    for mode in ("auto", "per_instruction"):
        model = fit_cost_model(labels, CATALOG, mode)
        estimate = stored_and_restored(model).estimate(labels.instruction)
        output = ASSUMED_OUTPUT_TOKENS * np.array([30e-6, 2e-6])
        assert_allclose(model.assumed_error, output)
        assert model.held_out == {}
        for choice in (np.zeros(400, dtype=int), np.arange(400) % 2):
            forecast = estimate.forecast(choice)
            longer = output[choice].sum()  # by which the spend grows where answers are twice as long as assumed
            assert longer <= forecast.std < 1.1 * longer
            assert forecast.overspend_probability(forecast.mean + longer) == pytest.approx(0.16, abs=0.03)


def test_recorded_costs_and_counted_output_tokens_assume_nothing() -> None:
    cost, tokens = length_costs(labelled()), np.full((400, 2), 10.0)
    gap = np.column_stack([cost[:, 0], np.full(400, np.nan)])

    def assumed(**columns: np.ndarray) -> list[bool]:
        return (fit_cost_model(labelled(**columns), CATALOG).assumed_error > 0).tolist()

    assert assumed(cost=cost) == assumed(input_tokens=tokens, output_tokens=tokens) == [False, False]
    assert assumed(cost=gap) == [False, True]
    assert assumed(input_tokens=tokens) == [True, True]
    assert assumed(cost=cost, input_tokens=np.where(np.isnan(gap), np.nan, tokens)) == [True, False]


@pytest.mark.parametrize("recorded", [1, 3, 10])
def test_a_budget_is_kept_as_often_as_promised_from_few_recorded_calls(recorded: int) -> None:
    kept = []
    for seed in range(400):
        rng = np.random.default_rng(seed)
        train = labelled(recorded, cost=rng.gamma(2.0, 1e-4, (recorded, 2)))
        estimate = fit_cost_model(train, None).estimate(labelled(200).instruction)
        choice = np.zeros(200, dtype=int)
        budget = estimate.forecast(choice).mean / estimate.safe_share(choice, 0.95)
        kept.append(rng.gamma(2.0, 1e-4, 200).sum() <= budget)
    assert np.mean(kept) > 0.92


@pytest.mark.parametrize("mode", ["auto", "per_instruction"])
def test_calls_of_one_text_tell_no_instructions_apart(mode: str) -> None:
    cost = noisy_costs()
    text = labelled().instruction.copy()
    text[:60] = "Hello"
    cost[60:, 0] = np.nan
    one_model = fit_cost_model(replace(labelled(cost=cost), instruction=text), None, mode)
    everywhere = fit_cost_model(replace(labelled(cost=noisy_costs()), instruction=np.full(400, "Hello")), None, mode)
    for model in (one_model, everywhere):
        assert model.mode == "mean"
        assert "too few labelled texts to tell instructions apart: 1" in model.why


def stored_and_restored(model: CostModel) -> CostModel:
    return CostModel.from_dict(json.loads(json.dumps(model.to_dict())))
