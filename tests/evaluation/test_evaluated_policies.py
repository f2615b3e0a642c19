from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose
from planted import FRACTIONS, PRICES, budgets_for, planted_split

from routing_assets.evaluation.policies import ROUTED, follow, follow_all, mixed, zero_router_traffic
from routing_assets.pricing.spend import CostEstimate

POLICY = {policy.name: policy for policy in ROUTED}


@pytest.fixture(scope="module")
def split():
    return planted_split()


@pytest.fixture(scope="module")
def budget(split):
    return budgets_for(split)


@pytest.fixture(scope="module")
def outcomes(split, budget):
    return follow_all(split, budget)


def success(outcome):
    return outcome.success.mean(axis=1)


def test_knowing_more_is_never_worse(outcomes):
    feasible = slice(1, None)
    order = ["random", "mip", "oracle"]
    for less, more in pairwise(order):
        assert np.all(success(outcomes[less])[feasible] <= success(outcomes[more])[feasible] + 0.01)
    assert success(outcomes["mip"])[2] > success(outcomes["random"])[2] + 0.05
    assert np.all(success(outcomes["ndch"])[feasible] <= success(outcomes["ndch_p"])[feasible] + 0.02)


def test_mip_realises_what_true_probabilities_promise(outcomes):
    mip = outcomes["mip"]
    assert_allclose(success(mip)[1:], mip.predicted_success[1:], atol=0.05)


def test_a_budget_under_the_cheapest_model_is_absent(outcomes):
    assert FRACTIONS[0] < PRICES[2]
    for name in ("threshold", "ndch", "ndch_p", "mip", "oracle", "zero_router", "random"):
        assert np.isnan(outcomes[name].success[0]).all(), name
        assert np.isfinite(outcomes[name].success[1:]).all(), name


def test_known_costs_are_never_overspent(outcomes, budget):
    for name in POLICY:
        if name in outcomes:
            assert np.all(outcomes[name].cost.sum(axis=1)[1:] <= budget[1:]), name


def test_random_spends_what_mip_spends_on_the_same_models(outcomes):
    assert_allclose(outcomes["random"].traffic, outcomes["mip"].traffic)
    assert_allclose(outcomes["random"].cost.sum(axis=1), outcomes["mip"].cost.sum(axis=1))


def test_zero_router_spends_the_budget_and_mixes_single_models(split, budget, outcomes):
    assert_allclose(outcomes["zero_router"].cost.sum(axis=1)[1:], np.minimum(budget, split.cost[:, 0].sum())[1:])
    assert np.all((zero_router_traffic(split, budget)[1:] > 0).sum(axis=1) <= 2)


def test_the_mixture_for_the_same_money_may_spend_what_the_judged_policy_really_spent():
    split = planted_split(n=300, token_costs=True)
    cheap = CostEstimate(0.6 * split.costs["token_aware"].mean, np.zeros_like(split.cost), np.zeros(3))
    budget = 0.4 * split.cost[:, :1].sum(axis=0)
    outcomes = follow_all(replace(split, costs={**split.costs, "token_aware": cheap}), budget)
    spent = outcomes["mip_token_aware"].cost.sum()
    assert spent > 1.3 * budget[0]
    assert_allclose(outcomes["zero_router_same_spend"].cost.sum(), spent)
    assert_allclose(outcomes["zero_router"].cost.sum(), budget[0])


def test_best_single_does_not_depend_on_the_budget(split, outcomes):
    assert_allclose(success(outcomes["best_single"]), split.success.mean(axis=0).max(), rtol=1e-6)


def test_shuffling_test_labels_changes_nothing_but_the_score(split, budget):
    shuffled = replace(split, success=np.random.default_rng(9).permutation(split.success))
    for name in ("threshold", "ndch", "ndch_p", "mip", "mip_bucket", "knn_mip"):
        before, after = follow(POLICY[name], split, budget), follow(POLICY[name], shuffled, budget)
        assert_allclose(after.traffic, before.traffic)
        assert_allclose(after.cost, before.cost)
        assert not np.array_equal(after.success, before.success, equal_nan=True)


def test_uninformed_estimates_gain_nothing_over_random():
    blind = planted_split(informed=False)
    outcomes = follow_all(blind, budgets_for(blind)[:4])
    assert_allclose(success(outcomes["mip"])[1:], success(outcomes["random"])[1:], atol=0.05)


def test_token_aware_policies_appear_only_where_calls_can_be_told_apart(outcomes):
    assert not {"mip_token_aware", "mip_safe", "mip_known_costs"} & set(outcomes)
    assert {"mip_token_aware", "mip_safe", "mip_known_costs", "oracle_predicted_costs"} <= set(
        follow_all(planted_split(n=200, token_costs=True), np.array([50.0]))
    )


def test_safety_margin_keeps_realised_spend_within_the_budget_as_often_as_promised():
    plain, safe, forecast = [], [], []
    for seed in range(30):
        split = replace(planted_split(seed, n=300, token_costs=True), safe_probability=0.9)
        budget = 0.4 * split.cost[:, :1].sum(axis=0)
        aware = follow(POLICY["mip_token_aware"], split, budget)
        plain.append(aware.cost.sum() > budget[0])
        forecast.append(aware.overspend_probability[0])
        safe.append(follow(POLICY["mip_safe"], split, budget).cost.sum() > budget[0])
    assert np.mean(plain) == pytest.approx(np.mean(forecast), abs=0.2)
    assert np.mean(safe) <= 0.2
    assert np.mean(plain) > np.mean(safe)


def test_mixing_is_an_expectation(split):
    outcome = mixed(split, np.array([[0.5, 0.0, 0.5]]))
    assert_allclose(outcome.success[0], (split.success[:, 0] + split.success[:, 2]) / 2)
    assert_allclose(outcome.cost[0], (1.0 + 0.1) / 2)
