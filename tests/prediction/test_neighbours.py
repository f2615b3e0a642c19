"""Votes of the nearest neighbours, as a member of the router and as a control."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from routing_assets.prediction.classifier.neighbours import (
    NeighbourVotes,
    TunedNeighbours,
    train_neighbours,
    tune_neighbours,
)
from routing_assets.prediction.classifier.training_texts import TrainingTexts

PLAIN = TunedNeighbours(2, None, 1.0, 0.0)


def unit(degrees: list[float]) -> torch.Tensor:
    """Unit vectors in the plane."""
    angle = torch.deg2rad(torch.tensor(degrees))
    return torch.stack([angle.cos(), angle.sin()], dim=1)


def test_rates_by_hand() -> None:
    success = torch.tensor([[1.0], [0.0], [0.0], [0.0]])
    votes = NeighbourVotes.tuned(unit([0, 10, 170, 180]), success, torch.ones(4, 1), PLAIN)
    # two neighbours with one success, and one vote of the mean rate 1/4
    assert votes.rates(unit([3])).item() == pytest.approx((1 + 0.25) / 3)
    assert votes(unit([3])).item() == pytest.approx(np.log(1.25 / 1.75), abs=1e-5)


def test_a_low_temperature_counts_only_the_nearest() -> None:
    success = torch.tensor([[1.0], [0.0]])
    cold = TunedNeighbours(2, 1e-4, 1e-6, 0.0)
    votes = NeighbourVotes.tuned(unit([0, 30]), success, torch.ones(2, 1), cold)
    assert votes.rates(unit([5])).item() == pytest.approx(1.0, abs=1e-4)


def test_unlabelled_references_do_not_vote() -> None:
    success, weight = torch.tensor([[1.0], [0.0]]), torch.tensor([[0.0], [1.0]])
    votes = NeighbourVotes.tuned(unit([0, 10]), success, weight, PLAIN)
    assert votes.rates(unit([0])).item() == 0.0


def test_settings_are_the_best_on_the_queries_by_brute_force() -> None:
    rng = np.random.default_rng(0)
    vectors = torch.nn.functional.normalize(torch.from_numpy(rng.normal(size=(60, 3)).astype(np.float32)), dim=1)
    success = (vectors[:, :1] > 0).float()
    reference, query = slice(0, 40), slice(40, 60)
    weight = torch.ones_like(success)
    tuned = tune_neighbours(
        vectors[reference], success[reference], weight[reference], vectors[query], success[query], weight[query]
    )
    worse = 0
    for neighbours in (1, 4, 32):
        for temperature in (None, 0.05):
            other = TunedNeighbours(neighbours, temperature, 0.5, 0.0)
            rate = NeighbourVotes.tuned(vectors[reference], success[reference], weight[reference], other).rates(
                vectors[query]
            )
            loss = torch.nn.functional.binary_cross_entropy(rate.clamp(1e-6, 1 - 1e-6), success[query]).item()
            assert loss >= tuned.log_loss - 1e-6
            worse += loss > tuned.log_loss + 1e-6
    assert worse >= 5


def test_left_out_logits_do_not_know_their_own_labels() -> None:
    rng = np.random.default_rng(1)
    vectors = torch.nn.functional.normalize(torch.from_numpy(rng.normal(size=(120, 4)).astype(np.float32)), dim=1)
    success = (rng.random((120, 2)) < 0.5).astype(np.float32)
    rows = np.arange(120)
    fold = np.where(rows < 100, rows % 60, -1)
    known = TrainingTexts(success, np.ones_like(success), rows[:100], rows[100:], fold)
    votes, left_out = train_neighbours(vectors, known, seed=0)
    part = rows[:100][fold[:100] % 5 == 2]
    others = np.setdiff1d(rows[:100], part)
    again = NeighbourVotes(
        vectors[others], *(torch.from_numpy(a[others]) for a in (success, known.weight)), votes.settings
    )
    np.testing.assert_allclose(left_out[part], again(vectors[part]).numpy(), atol=1e-5)
    assert np.isnan(left_out[100:]).all()


@pytest.mark.slow
@pytest.mark.parametrize("models", [1, 20, 33, 150])
def test_memory_does_not_grow_with_the_models(models: int) -> None:
    random = torch.Generator().manual_seed(0)
    reference, query = (torch.nn.functional.normalize(torch.randn(n, 8, generator=random), dim=1) for n in (600, 520))
    success, weight = (torch.rand(600, models, generator=random) < 0.5).float(), torch.ones(600, models)
    truth = torch.ones(520, models)
    votes = NeighbourVotes.tuned(reference, success, weight, TunedNeighbours(512, 0.1, 1.0, 0.0))
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profiled:
        rates = votes.rates(query)
        tune_neighbours(reference, success, weight, query[:60], truth[:60], truth[:60])
    largest = max(event.self_cpu_memory_usage for event in profiled.events())
    assert 0 < largest <= 512 * 512 * 20 * 4  # bytes of one array of floats
    one_by_one = torch.cat([votes.rates(text[None]) for text in query[:60]])
    torch.testing.assert_close(rates[:60], one_by_one, rtol=0, atol=1e-5)
