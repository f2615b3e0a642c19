"""Two rounds of calls, evaluated on labels that say what is known about each answer."""

import json
from dataclasses import replace

import numpy as np
import pytest

from routing_assets.datasets.labels import LabelledInstructions
from routing_assets.evaluation.protocol import EvaluationConfig, evaluate
from routing_assets.evaluation.results import PolicyOutcome, TestedPolicies
from routing_assets.evaluation.second_look_verdict import LEAST_UNRELATED, NOTHING_TOLD, judge_second_looks
from routing_assets.foundation.errors import InvalidInput
from routing_assets.prediction.classifier.config import ClassifierConfig
from routing_assets.prediction.classifier.network import HeadConfig
from routing_assets.prediction.classifier.training import TrainingConfig
from routing_assets.prediction.encoder.encoder import EncoderConfig
from routing_assets.prediction.router import RouterConfig
from routing_assets.pricing.catalog import ModelCatalog, ModelEntry

CATALOG = ModelCatalog((ModelEntry("large", 1.0, 1.0), ModelEntry("small", 0.2, 0.2)))
CLASSIFIER = ClassifierConfig(
    method="frozen",
    encoder=EncoderConfig(max_tokens=32),
    head=HeadConfig(hidden=16, dropout=0.1),
    training=TrainingConfig(epochs=4),
    members=2,
    companions=(),
)
CONFIG = EvaluationConfig(
    router=RouterConfig(classifier=CLASSIFIER),
    budget_fractions=(0.1, 0.5, 0.8, 1.0),
    replicates=100,
    second_look=True,
)


def coins(apart, n=1100, seed=0) -> LabelledInstructions:
    """No text tells who is right; a check of the answer does, by so many standard deviations."""
    rng = np.random.default_rng(seed)
    success = (rng.random((n, 2)) < [0.9, 0.6]).astype(np.float32)
    text = np.array([f"Guess coin number {i}" for i in range(n)], dtype=object)
    check = apart * success + rng.normal(size=(n, 2))
    ids = np.array([str(i) for i in range(n)], dtype=object)
    return LabelledInstructions("coins", ("large", "small"), ids, text, success, signals={"check": check})


@pytest.fixture(scope="module")
def telling():
    return evaluate(coins(4.0), CATALOG, seeds=(0,), config=CONFIG)


def test_a_check_that_tells_buys_success_that_no_text_can(telling):
    success = {name: telling.seeds[0].outcomes[name].success.mean(axis=1) for name in telling.policies}
    at_80 = list(CONFIG.budget_fractions).index(0.8)
    assert success["mip_second_look"][at_80] > success["mip"][at_80] + 0.05
    assert success["second_look_random"][at_80] < success["mip_second_look"][at_80] - 0.02
    assert success["second_look_perfect"][at_80] >= success["mip_second_look"][at_80] - 0.04
    assert 0.8 in telling.second_look.budgets
    assert "Second looks pay" in telling.table()


def test_both_rounds_together_keep_the_budget(telling):
    seed = telling.seeds[0]
    for name in ("mip_second_look", "second_look_perfect", "cascade_cheap_first"):
        spent = seed.outcomes[name].cost.sum(axis=1)
        known = np.isfinite(spent)
        assert known[1:].all()
        assert not known[0]  # 10 % pays for no model
        assert (spent[known] <= seed.budget[known] * (1 + 1e-9)).all()


def test_the_summary_says_what_each_first_answer_tells(telling):
    said = json.loads(json.dumps(telling.summary))["second_look"]
    assert said["pays"]
    assert {first["first"] for first in said["first_models"][0]} == {"large", "small"}
    assert all(first["tells"] for first in said["first_models"][0])
    assert "for 2 of 2 first models" in said["text"]


def test_a_check_that_tells_nothing_is_not_used():
    evaluation = evaluate(coins(0.0), CATALOG, seeds=(0,), config=CONFIG)
    assert not evaluation.second_look.pays
    assert "Do not look twice" in evaluation.table()
    assert NOTHING_TOLD in evaluation.table()
    seed = evaluation.seeds[0]
    assert not any(first.tells for first in seed.second_look)
    spent = seed.outcomes["mip_second_look"].cost
    assert spent[np.isfinite(spent)].max() <= seed.cost.max()  # nobody is asked twice


def test_labels_without_signals_are_refused():
    with pytest.raises(InvalidInput, match="no signals"):
        evaluate(coins(1.0).without_signals(), CATALOG, seeds=(0,), config=CONFIG)


def test_labels_with_signals_are_evaluated_as_before_without_second_looks(telling):
    plain = evaluate(coins(4.0).without_signals(), CATALOG, seeds=(0,), config=replace(CONFIG, second_look=False))
    assert plain.second_look is None
    np.testing.assert_array_equal(plain.seeds[0].outcomes["mip"].success, telling.seeds[0].outcomes["mip"].success)


FRACTIONS = np.linspace(0.1, 1.0, 14)


def split_of(gain, n, seed) -> TestedPolicies:
    """One split of n rows on which two rounds succeed ``gain`` (F,) more often than either kind of one call."""
    rng = np.random.default_rng(seed)
    rates = [0.6 + np.asarray(gain), np.full(len(FRACTIONS), 0.6), np.full(len(FRACTIONS), 0.6)]
    nothing = np.zeros(len(FRACTIONS))
    return TestedPolicies(
        component=np.arange(n),
        budget=FRACTIONS,
        success=np.ones((n, 2), dtype=np.float32),
        cost=np.ones((n, 2)),
        outcomes={
            name: PolicyOutcome(
                success=(rng.random((len(FRACTIONS), n)) < rate[:, None]).astype(np.float32),
                cost=np.ones((len(FRACTIONS), n)),
                traffic=np.zeros((len(FRACTIONS), 2)),
                predicted_success=nothing,
                predicted_cost=nothing,
                overspend_probability=nothing,
            )
            for name, rate in zip(("mip_second_look", "mip", "mip_panel_refit"), rates, strict=True)
        },
    )


def test_few_rows_decide_nothing_however_large_the_gain():
    verdict = judge_second_looks(FRACTIONS, [split_of(np.full(14, 0.3), LEAST_UNRELATED - 1, 0)], replicates=200)
    assert not verdict.pays
    assert {gain.answer for gain in verdict.gains} == {"too few rows to tell"}
    assert "Too few rows to tell" in verdict.text
    assert judge_second_looks(FRACTIONS, [split_of(np.full(14, 0.3), LEAST_UNRELATED, 0)], replicates=200).pays


def test_of_many_budgets_none_pays_by_luck():
    claims = sum(
        judge_second_looks(FRACTIONS, [split_of(np.zeros(14), 400, seed)], replicates=200).pays for seed in range(30)
    )
    assert claims <= 2  # one in forty is wrong by promise; pointwise intervals claim in every fourth


def test_it_pays_where_it_gains_and_only_there():
    verdict = judge_second_looks(FRACTIONS, [split_of(np.where(FRACTIONS > 0.5, 0.1, 0.0), 3000, 1)], replicates=200)
    np.testing.assert_allclose(verdict.budgets, FRACTIONS[FRACTIONS > 0.5])
    assert verdict.pays_at(0.8)
    assert verdict.pays_at(1.5)
    assert not verdict.pays_at(0.3)
    assert not verdict.pays_at(0.5)  # it pays on one side alone
    assert not verdict.pays_at(0.01)


def test_a_gain_of_nothing_is_told_from_a_lack_of_rows():
    split = split_of(np.zeros(14), 400, 2)
    same = replace(split, outcomes=dict.fromkeys(split.outcomes, split.outcomes["mip"]))
    verdict = judge_second_looks(FRACTIONS, [same], replicates=200)
    assert {gain.answer for gain in verdict.gains} == {"does not pay"}
    assert "at every budget it gains less than half a point" in verdict.text
    assert "Too few rows to tell" in judge_second_looks(FRACTIONS, [split], replicates=200).text
