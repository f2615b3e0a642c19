"""Two rounds of calls, evaluated on labels that say what is known about each answer."""

import json
from dataclasses import replace

import numpy as np
import pytest

from routing_assets.datasets.labels import LabelledInstructions
from routing_assets.evaluation.protocol import EvaluationConfig, evaluate
from routing_assets.foundation.errors import InvalidInput
from routing_assets.prediction.classifier.config import ClassifierConfig
from routing_assets.prediction.classifier.network import HeadConfig
from routing_assets.prediction.classifier.training import TrainingConfig
from routing_assets.prediction.encoder.encoder import EncoderConfig
from routing_assets.prediction.router import RouterConfig
from routing_assets.prediction.second_look import NOTHING_TOLD
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_check_that_tells_nothing_is_not_used():
    evaluation = evaluate(coins(0.0), CATALOG, seeds=(0,), config=CONFIG)
    assert not evaluation.second_look.budgets
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
