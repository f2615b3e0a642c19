import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from routing_assets.datasets.labels import LabelledInstructions
from routing_assets.datasets.splits import leaks, split_instructions
from routing_assets.evaluation import protocol, writing
from routing_assets.evaluation.protocol import EvaluationConfig, evaluate
from routing_assets.evaluation.summary import two_model_rows
from routing_assets.evaluation.writing import write_evaluation
from routing_assets.foundation.errors import InvalidInput
from routing_assets.prediction.classifier.config import ClassifierConfig
from routing_assets.prediction.classifier.network import HeadConfig
from routing_assets.prediction.classifier.training import TrainingConfig
from routing_assets.prediction.encoder.embedding_cache import EmbeddingCache
from routing_assets.prediction.encoder.encoder import EncoderConfig, SentenceEncoder
from routing_assets.prediction.router import RouterConfig
from routing_assets.pricing.catalog import ModelCatalog, ModelEntry

CATALOG = ModelCatalog((ModelEntry("large", 1.0, 1.0), ModelEntry("small", 0.2, 0.2)))
CLASSIFIER = ClassifierConfig(
    method="frozen",
    encoder=EncoderConfig(max_tokens=32),
    head=HeadConfig(hidden=16, dropout=0.1),
    training=TrainingConfig(epochs=8),
    members=2,
)
CONFIG = EvaluationConfig(
    router=RouterConfig(classifier=CLASSIFIER), budget_fractions=(0.1, 0.4, 0.7, 1.0), replicates=50
)


def arithmetic(n=160, seed=0, **columns) -> LabelledInstructions:
    """The small model adds, but cannot tell a story; which of the two is asked can be read in the text."""
    rng = np.random.default_rng(seed)
    story = rng.random(n) < 0.5
    text = [
        f"Tell a long sad story about animal number {i}" if tale else f"What is {i} plus {3 * i}?"
        for i, tale in enumerate(story)
    ]
    small = np.where(story, rng.random(n) < 0.05, rng.random(n) < 0.95)
    success = np.column_stack([rng.random(n) < 0.95, small]).astype(np.float32)
    ids = np.array([str(i) for i in range(n)], dtype=object)
    return LabelledInstructions("arithmetic", ("large", "small"), ids, np.array(text, object), success, **columns)


@pytest.fixture(scope="module")
def cache():
    """Embeddings of the few hundred texts, computed once for all tests."""
    return EmbeddingCache(SentenceEncoder(CLASSIFIER.encoder))


@pytest.fixture(scope="module")
def evaluation(cache):
    return evaluate(arithmetic(), CATALOG, seeds=(0, 1), config=CONFIG, embeddings_cache=cache)


def test_routing_gains_where_the_text_tells_the_better_model(evaluation):
    at_60 = {name: rows["curve"] for name, rows in evaluation.policies.items()}
    relative = {name: {c["budget_fraction"]: c["relative_success"] for c in curve} for name, curve in at_60.items()}
    assert relative["mip"][0.7] > relative["zero_router"][0.7] + 0.1
    assert relative["mip"][0.7] > 0.9
    assert 0.1 not in relative["mip"]  # the small model costs 20 % of the large one


def test_flat_prices_are_the_articles_protocol(evaluation):
    seed = evaluation.seeds[0]
    assert np.ptp(seed.cost, axis=0).max() == 0.0
    np.testing.assert_allclose(seed.cost[0, 1] / seed.cost[0, 0], 0.2)
    assert "mip_token_aware" not in seed.outcomes


def test_the_figures_do_not_depend_on_how_many_processes_made_them(evaluation, cache):
    side_by_side = evaluate(arithmetic(), CATALOG, seeds=(0, 1), config=CONFIG, embeddings_cache=cache, workers=2)
    pd.testing.assert_frame_equal(side_by_side.curves.to_pandas(), evaluation.curves.to_pandas(), check_exact=True)


def test_two_models_get_apgr_and_cpt(evaluation):
    rows = evaluation.summary["two_models"]
    assert rows["oracle"]["apgr"] > rows["mip"]["apgr"] > 0.55
    assert rows["random"]["apgr"] == pytest.approx(0.5, abs=0.01)


def test_two_models_whose_order_differs_between_splits_have_no_gap(evaluation):
    first, second = evaluation.seeds
    rows = two_model_rows([first, replace(second, success=second.success[:, ::-1])])
    assert rows["mip"] == {"apgr": None, "cpt50": None, "cpt80": None}


def test_test_labels_change_nothing_but_the_score(evaluation, cache):
    labels = arithmetic()
    test = split_instructions(labels.instruction, seed=0).test
    success = labels.success.copy()
    success[test] = np.random.default_rng(1).permutation(success[test])
    shuffled = evaluate(
        replace(labels, success=success), CATALOG, seeds=(0,), config=CONFIG, embeddings_cache=cache
    ).seeds[0]
    original = evaluation.seeds[0]
    for name in ("threshold", "ndch", "ndch_p", "mip", "mip_bucket", "knn_mip"):
        np.testing.assert_array_equal(shuffled.outcomes[name].traffic, original.outcomes[name].traffic)
    np.testing.assert_array_equal(shuffled.probabilities["decision"], original.probabilities["decision"])
    assert not np.array_equal(shuffled.success, original.success)


def test_a_planted_duplicate_is_never_tested_after_training_on_it():
    labels = arithmetic()
    text = labels.instruction.copy()
    text[1::2] = text[0::2]
    for seed in range(5):
        split = split_instructions(text, seed=seed)
        assert leaks(split, text).size == 0
        assert not set(text[split.test]) & set(text[split.train])


def test_rows_without_every_label_are_left_out_of_the_score(cache):
    labels = arithmetic()
    success = labels.success.copy()
    success[::3, 1] = np.nan
    partly = evaluate(replace(labels, success=success), CATALOG, seeds=(0,), config=CONFIG, embeddings_cache=cache)
    (seed,) = partly.seeds
    assert np.isfinite(seed.success).all()
    assert not np.any(seed.rows % 3 == 0)
    assert f"{len(seed.rows)} test instructions each of 32, as the others lack a label" in partly.table()


def test_a_model_with_hardly_any_label_is_named_before_anything_is_trained(cache, monkeypatch):
    monkeypatch.setattr(protocol, "fit_router", lambda *_, **__: pytest.fail("a router was trained"))
    labels = arithmetic(n=400)
    success = labels.success.copy()
    success[5:, 1] = np.nan
    with pytest.raises(InvalidInput, match="'small' has 5, other models up to 400"):
        evaluate(replace(labels, success=success), CATALOG, seeds=(0,), config=CONFIG, embeddings_cache=cache)
    success = labels.success.copy()
    success[split_instructions(labels.instruction, seed=1).test, 1] = np.nan
    with pytest.raises(InvalidInput, match=r"of seed 1 .*; 'small' has fewest, 320 of 400"):
        evaluate(replace(labels, success=success), CATALOG, seeds=(0, 1), config=CONFIG, embeddings_cache=cache)


@pytest.mark.parametrize("catalog", [None, CATALOG])
def test_calls_without_a_recorded_cost_are_reported_as_estimated(catalog, cache):
    """So are calls whose cost follows from the prices of a catalog."""
    labels = arithmetic()
    size = np.array([len(text) for text in labels.instruction])[:, None]
    cost = 1e-5 * size * np.random.default_rng(0).normal(1, 0.3, (len(labels), 2)).clip(0.2) * np.array([1.0, 0.2])
    cost[10 if catalog else 80 :, 0] = np.nan
    partly = evaluate(replace(labels, cost=cost), catalog, seeds=(0,), config=CONFIG, embeddings_cache=cache)
    (seed,) = partly.seeds
    assert seed.costs_recorded == pytest.approx(np.isfinite(cost[seed.rows]).mean())
    assert (
        f"{1 - seed.costs_recorded:.0%} have no recorded cost; they are taken to cost what was"
        in partly.verdict.fine_print
    )


def test_recorded_costs_are_the_truth_and_are_predicted(cache):
    labels = arithmetic()
    size = np.array([len(text) for text in labels.instruction])[:, None]
    measured = replace(labels, cost=1e-5 * size * np.array([1.0, 0.2]))
    seed = evaluate(measured, None, seeds=(0,), config=CONFIG, embeddings_cache=cache).seeds[0]
    np.testing.assert_allclose(seed.cost, measured.cost[seed.rows])
    assert seed.cost_model["mode"] == "per_instruction"
    np.testing.assert_allclose(
        seed.outcomes["mip_token_aware"].cost.sum(axis=1)[1:],
        seed.outcomes["mip_token_aware"].predicted_cost[1:],
        rtol=0.02,
    )


def test_no_fully_labelled_test_row_is_refused(cache):
    labels = arithmetic()
    success = labels.success.copy()
    success[::2, 0] = np.nan
    success[1::2, 1] = np.nan
    with pytest.raises(InvalidInput, match="no test instruction of seed 0 has a label for every model"):
        evaluate(replace(labels, success=success), CATALOG, seeds=(0,), config=CONFIG, embeddings_cache=cache)


def test_budgets_that_pay_for_nothing_are_refused(cache):
    poor = replace(CONFIG, budget_fractions=(0.05, 0.1))
    with pytest.raises(InvalidInput, match=r"largest budget fraction, 0.1, cannot pay.*larger fractions"):
        evaluate(arithmetic(), CATALOG, seeds=(0,), config=poor, embeddings_cache=cache)


@pytest.mark.parametrize("fractions", [(), (0.5, 0.1), (0.0, 0.5), (0.5, 0.5)])
def test_budget_fractions_must_be_positive_and_increasing(fractions):
    with pytest.raises(InvalidInput, match="positive and increasing"):
        EvaluationConfig(budget_fractions=fractions)


def test_calls_that_are_all_free_are_refused(cache):
    with pytest.raises(InvalidInput, match=r"no call costs anything.*catalog with prices"):
        evaluate(arithmetic(cost=np.zeros((160, 2))), config=CONFIG, embeddings_cache=cache)


def few(**changes) -> LabelledInstructions:
    return replace(arithmetic(48), **changes)


def prices(large: float, small: float) -> ModelCatalog:
    return ModelCatalog((ModelEntry("large", large, large), ModelEntry("small", small, small)))


RIGHT, WRONG = np.ones((48, 2)), np.zeros((48, 2))
FREE_ONE_IS_RIGHT = np.column_stack([arithmetic(48).success[:, 0], np.ones(48)])


@pytest.mark.parametrize(
    ("labels", "catalog", "said"),
    [
        pytest.param(few(success=FREE_ONE_IS_RIGHT), prices(1, 0), "Do not route", id="a free model is always right"),
        pytest.param(few(success=RIGHT), CATALOG, "Do not route", id="every model always succeeds"),
        pytest.param(few(), prices(1, 1), "Do not route", id="all prices are equal"),
        pytest.param(few().of_models(["large"]), CATALOG, "Do not route", id="there is one model"),
        pytest.param(few(success=WRONG), CATALOG, "Cannot be judged: no model succeeded", id="no model ever succeeds"),
    ],
)
def test_tables_without_a_choice_are_judged_in_words(labels, catalog, said, cache, tmp_path, monkeypatch):
    evaluation = evaluate(labels, catalog, seeds=(0,), config=CONFIG, embeddings_cache=cache)
    assert evaluation.verdict.text.startswith(said)
    assert not evaluation.verdict.route
    monkeypatch.setattr(writing, "script", lambda _: "draw()")
    written = write_evaluation(evaluation, tmp_path, tmp_path)
    json.loads(written["summary.json"].read_text(), parse_constant=pytest.fail)
    assert "nan" not in written["summary.txt"].read_text()


def test_figures_relative_to_a_success_of_zero_are_missing(cache):
    evaluation = evaluate(few(success=WRONG), CATALOG, seeds=(0,), config=CONFIG, embeddings_cache=cache)
    cell = evaluation.summary["policies"]["mip"]["curve"][0]
    assert cell["success"] == 0.0
    assert cell["relative_success"] is None
    assert cell["relative_success_interval"] == [None, None]
    assert np.isnan(evaluation.curves["relative_success"].to_numpy()).all()


def test_a_test_split_of_free_calls_is_refused_before_anything_is_trained(cache, monkeypatch):
    labels = arithmetic(160)
    cost = np.zeros((160, 2))
    cost[split_instructions(labels.instruction, seed=0).train] = 1e-4
    monkeypatch.setattr(protocol, "fit_router", lambda *_, **__: pytest.fail("a router was trained"))
    with pytest.raises(InvalidInput, match=r"no test call of seed 0 costs anything.*catalog with prices"):
        evaluate(replace(labels, cost=cost), seeds=(0,), config=CONFIG, embeddings_cache=cache)
