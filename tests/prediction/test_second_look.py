from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing_assets.prediction.panel_refit.networks import CorrectionConfig
from routing_assets.prediction.second_look import decide_after, fit_lookahead, fit_posterior, judge_first_models
from routing_assets.prediction.second_look.encoding import MOST_CLASSES, fit_encoding

MODELS = ("small", "large")
QUICK = CorrectionConfig(hidden=16, epochs=12, folds=3)


def world(n=1500, apart=2.0, seed=0):
    """Logits of a router that knows the difficulty, successes, and a check of each answer that is ``apart`` standard
    deviations higher for right ones.
    """
    rng = np.random.default_rng(seed)
    logits = (np.array([0.0, 1.5]) + rng.normal(0, 1, (n, 1))).astype(np.float32)
    success = (rng.random((n, 2)) < 1 / (1 + np.exp(-logits))).astype(np.float32)
    return logits, success, {"check": apart * success + rng.normal(size=(n, 2))}


@pytest.fixture(scope="module")
def telling():
    logits, success, signals = world()
    return fit_posterior(MODELS, logits, success, signals, np.arange(len(logits)), config=QUICK)


def test_a_check_that_tells_is_used_and_one_that_does_not_is_refused(telling):
    logits, success, _ = world()
    rows = np.arange(len(logits))
    assert all(first.tells for first in judge_first_models(telling, success, rows))
    _, _, noise = world(apart=0.0)
    blind = fit_posterior(MODELS, logits, success, noise, rows, config=QUICK)
    refused = judge_first_models(blind, success, rows)
    assert not any(first.tells for first in refused)
    assert "is not used" in str(refused[0])


def test_the_posterior_is_that_of_bayes(telling):
    """The check is normal around 0 or 2: log-odds move by 2 x check - 2."""
    logits, _, signals = world(seed=5)
    after = telling.posterior.after("small", logits, {"check": signals["check"][:, 0]})
    right = 1 / (1 + np.exp(-(logits[:, 0] + 2 * signals["check"][:, 0] - 2)))
    assert np.abs(after[:, 0] - right).mean() < 0.05
    other = 1 / (1 + np.exp(-logits[:, 1]))
    assert np.abs(after[:, 1] - other).mean() < 0.05  # given the difficulty, the models err independently


def test_related_rows_never_judge_a_network_that_saw_one_of_them():
    logits, success, signals = world(300)
    copies = np.repeat(np.arange(100), 3)
    spoilt = success.copy()
    spoilt[copies == 7] = 1 - spoilt[copies == 7]
    one, other = (fit_posterior(MODELS, logits, labels, signals, copies, config=QUICK) for labels in (success, spoilt))
    np.testing.assert_array_equal(one.after[:, copies == 7], other.after[:, copies == 7])
    assert (one.after != other.after).any()


def test_the_same_seed_gives_the_same_posterior(telling):
    logits, success, signals = world()
    again = fit_posterior(MODELS, logits, success, signals, np.arange(len(logits)), config=QUICK)
    np.testing.assert_array_equal(again.after, telling.after)


def test_unlabelled_pairs_teach_nothing(telling):
    logits, success, signals = world(300)
    partly = success.copy()
    partly[::2, 1] = np.nan
    fit = fit_posterior(MODELS, logits, partly, signals, np.arange(300), config=QUICK)
    assert np.isfinite(fit.after).all()


@settings(max_examples=50)
@given(st.integers(0, 10_000), st.floats(0, 3))
def test_the_decision_after_an_answer_is_the_best_of_all(seed, price):
    rng = np.random.default_rng(seed)
    after, cost, first = rng.random((2, 5, 3)), rng.random((5, 3)), np.array([2, 0])
    value, decided = decide_after(after, cost, first, price)
    for j, i in product(range(2), range(5)):
        worth = [after[j, i, k] - (0 if k == first[j] else price * cost[i, k]) for k in range(3)]
        assert worth[decided[j, i]] == pytest.approx(max(worth))
        assert value[j, i] == after[j, i, decided[j, i]]


def test_value_and_usage_of_a_look_are_those_of_carrying_it_out(telling):
    """On fresh instructions the regressions say what the decisions after fresh answers are worth."""
    logits, _, _ = world()
    cost = np.tile([0.1, 1.0], (len(logits), 1))
    lookahead = fit_lookahead(logits, telling.after[:1], cost, [0])
    fresh, truth, answers = world(4000, seed=9)
    price = 0.4
    value, usage = lookahead.columns(1 / (1 + np.exp(-fresh)), np.tile([0.1, 1.0], (4000, 1)), price)
    after = telling.posterior.after("small", fresh, {"check": answers["check"][:, 0]})
    _, decided = decide_after(after[None], np.tile([0.1, 1.0], (4000, 1)), np.array([0]), price)
    realised = truth[np.arange(4000), decided[0]]
    assert value.mean() == pytest.approx(realised.mean(), abs=0.03)
    assert usage.mean() == pytest.approx(0.1 + (decided[0] == 1).mean(), abs=0.03)
    hard = fresh[:, 0] < np.median(fresh[:, 0])
    assert usage[hard].mean() > usage[~hard].mean()  # what is hard is escalated more often
    assert usage[hard].mean() == pytest.approx(0.1 + (decided[0][hard] == 1).mean(), abs=0.05)


def after_exact_checks(n, models, seed):
    """P(success) before any answer, after a normal check of each model's answer by Bayes, (models, n, models), and
    the successes, where the models err independently.
    """
    rng = np.random.default_rng(seed)
    logits = np.linspace(-0.5, 1.0, models) + rng.normal(0, 1, (n, 1)) + rng.normal(0, 1, (n, models))
    success = rng.random((n, models)) < 1 / (1 + np.exp(-logits))
    told = logits + 2 * (2 * success + rng.normal(size=(n, models))) - 2
    moved = np.where(np.eye(models, dtype=bool)[:, None], told, logits)
    return 1 / (1 + np.exp(-logits)), 1 / (1 + np.exp(-moved)), success


@pytest.mark.parametrize("price", [0.0, 0.1, 0.3])
def test_the_best_of_many_columns_keeps_what_it_promises(price):
    """Of as many looks as models, the one that promises most is taken: errors upward would add up."""
    prices = np.array([0.1, 0.2, 0.4, 0.6, 0.8, 1.0])
    known, after, _ = after_exact_checks(2000, 6, seed=1)
    lookahead = fit_lookahead(np.log(known / (1 - known)), after, np.tile(prices, (2000, 1)), range(6))
    alone, after, success = after_exact_checks(20_000, 6, seed=2)
    rows, cost = np.arange(20_000), np.tile(prices, (20_000, 1))
    value, usage = lookahead.columns(alone, cost, price)
    first = (value - price * usage).argmax(axis=1)
    decided = decide_after(after, cost, np.arange(6), price)[1][first, rows]
    spent = prices[first] + np.where(decided == first, 0.0, prices[decided])
    assert value[rows, first].mean() == pytest.approx(success[rows, decided].mean(), abs=0.01)
    assert usage[rows, first].mean() == pytest.approx(spent.mean(), abs=0.01)
    calls = lookahead.calls(alone, cost, price)[rows, first]
    np.testing.assert_allclose(prices[first] + calls @ prices, usage[rows, first], rtol=1e-4)


def test_what_noisy_estimates_promise_too_much_is_measured_on_rows_with_labels():
    prices = np.array([0.1, 0.2, 0.4, 0.6, 0.8, 1.0])

    def noisy(seed):
        alone, after, success = after_exact_checks(5000, 6, seed)
        noise = np.random.default_rng(seed).normal(0, 0.7, after.shape)
        return alone, 1 / (1 + (1 / after - 1) * np.exp(noise)), success, np.tile(prices, (5000, 1))

    alone, after, success, cost = noisy(1)
    lookahead = fit_lookahead(np.log(alone / (1 - alone)), after, cost, range(6), success=success)
    alone, after, success, cost = noisy(2)
    value, usage = lookahead.columns(alone, cost, 0.1)
    rows, first = np.arange(5000), (value - 0.1 * usage).argmax(axis=1)
    decided = decide_after(after, cost, np.arange(6), 0.1)[1][first, rows]
    too_much = value[rows, first].mean() - success[rows, decided].mean()
    assert too_much > 0.02
    assert lookahead.optimism(0.1) == pytest.approx(too_much, abs=0.015)


def test_signals_become_numbers_and_say_what_is_unknown():
    answers = {
        "agreement": np.array([[0.0], [1.0], [np.nan]]),
        "answer": np.array([["A"], [None], ["B"]], dtype=object),
    }
    encoding = fit_encoding(answers)
    assert encoding.names == ("agreement", "answer")
    encoded = encoding.encode(answers)
    np.testing.assert_allclose(encoded[:, 0, :2], [[-1, 0], [1, 0], [0, 1]])
    np.testing.assert_array_equal(encoded[:, 0, 2:], [[1, 0, 0], [0, 0, 0], [0, 1, 0]])
    other = encoding.encode({"agreement": np.array([0.5]), "answer": np.array(["Z"], dtype=object)})
    np.testing.assert_array_equal(other, [[0, 0, 0, 0, 1]])


def test_only_frequent_classes_are_told_apart():
    answers = np.array([[f"c{i % 30}"] for i in range(45)], dtype=object)
    encoding = fit_encoding({"answer": answers})
    assert encoding.width == MOST_CLASSES + 1
    assert encoding.encode({"answer": answers}).sum(axis=-1).min() == 1
