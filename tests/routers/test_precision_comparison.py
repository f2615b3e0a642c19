"""Scoring in bf16 is accepted only where decisions stay what they were."""

from __future__ import annotations

import numpy as np

from routing_assets.routers.precision import compare_precisions


def matrices() -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    rng = np.random.default_rng(0)
    probability = rng.uniform(0.05, 0.95, (400, 3)).astype(np.float32)
    success = (rng.random((400, 3)) < probability).astype(np.float32)
    success[:20, 1] = np.nan
    return probability, success, [np.outer(rng.uniform(50, 500, 400), [1e-8, 1e-7, 1e-6])]


def test_the_same_probabilities_are_accepted() -> None:
    probability, success, costs = matrices()
    compared = compare_precisions(probability, probability.copy(), success, costs)
    assert compared.accepted
    assert (compared.equal_decisions, compared.log_loss_apart, compared.success_lost) == (1.0, 0.0, 0.0)


def test_changed_decisions_are_refused_with_the_figures() -> None:
    probability, success, costs = matrices()
    other = np.clip(probability + np.random.default_rng(1).normal(0, 0.05, probability.shape), 0, 1)
    compared = compare_precisions(probability, other.astype(np.float32), success, costs)
    assert not compared.accepted
    assert 0.5 < compared.equal_decisions < 0.999
    assert compared.success_lost > 1e-6
    assert "of the decisions are those of fp32 (99.9% needed)" in str(compared)


def test_probabilities_that_order_alike_but_say_otherwise_are_refused_by_log_loss() -> None:
    probability, success, costs = matrices()
    compared = compare_precisions(probability, probability / 2, success, costs)
    assert compared.equal_decisions > 0.99
    assert compared.log_loss_apart > 1e-3
    assert not compared.accepted
