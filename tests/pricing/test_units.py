"""Catalogs and costs in another unit are refused; ordinary changes of price never are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing_assets.datasets.simulated import PUBLISHED, simulate
from routing_assets.foundation.errors import InvalidInput
from routing_assets.pricing.catalog import ModelCatalog, ModelEntry, twin_catalog
from routing_assets.pricing.units import refuse_doubtful_costs, refuse_doubtful_prices

price = st.floats(0.001, 1_000)
entry = st.tuples(price, st.floats(0.1, 20)).map(lambda drawn: (drawn[0], drawn[0] * drawn[1]))
factors = st.floats(1 / 50, 50)


def catalog(prices: list[tuple[float, float]]) -> ModelCatalog:
    return ModelCatalog(tuple(ModelEntry(f"m{k}", a, b) for k, (a, b) in enumerate(prices)))


def times(prices: list[tuple[float, float]], factor: list[float]) -> ModelCatalog:
    return catalog([(a * f, b * f) for (a, b), f in zip(prices, factor, strict=True)])


@given(st.lists(st.tuples(entry, factors), min_size=1, max_size=6))
def test_changes_by_a_factor_of_fifty_are_never_refused(drawn: list[tuple[tuple[float, float], float]]) -> None:
    prices, factor = [p for p, _ in drawn], [f for _, f in drawn]
    refuse_doubtful_prices(times(prices, factor), catalog(prices))


@given(
    st.lists(st.tuples(entry, st.floats(1 / 4, 4)), min_size=1, max_size=6),
    st.sampled_from([1e-6, 1e-3, 1e3, 1e6]),
    st.data(),
)
def test_a_thousand_or_a_million_is_always_refused_of_one_model_or_all(
    drawn: list[tuple[tuple[float, float], float]], unit: float, data: st.DataObject
) -> None:
    prices, factor = [p for p, _ in drawn], [f for _, f in drawn]
    wrong = data.draw(st.lists(st.sampled_from(range(len(prices))), min_size=1, unique=True))
    mixed = [f * (unit if k in wrong else 1.0) for k, f in enumerate(factor)]
    with pytest.raises(InvalidInput) as refused:
        refuse_doubtful_prices(times(prices, mixed), catalog(prices))
    assert all(f"'m{k}'" in str(refused.value) for k in sorted(wrong)[:5])


@pytest.mark.parametrize(
    ("prices", "said"),
    [
        ([(2.5e-6, 1e-5), (1.5e-7, 6e-7)], "'m0' at 2.5e-06 / 1e-05; 'm1' at 1.5e-07 / 6e-07"),
        ([(2.5, 10), (1.5e-7, 1.5e-7)], ": 'm1' at 1.5e-07[.]"),
        ([(2.5e6, 1e7)], "'m0' at 2.5e.06 / 1e.07"),
        ([(0.0025, 0.01), (0.00015, 0.0006)], "'m0' at 0.0025 / 0.01"),
        ([(2.5, 0.01)], "'m0' at 2.5 / 0.01"),
    ],
)
def test_a_first_catalog_is_held_against_what_models_are_sold_at(prices: list[tuple[float, float]], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        refuse_doubtful_prices(catalog(prices), None)


@pytest.mark.parametrize("twin", PUBLISHED)
def test_published_prices_and_free_models_are_taken(twin: str) -> None:
    published = twin_catalog(twin)
    refuse_doubtful_prices(published, None)
    free = ModelCatalog(tuple(replace(e, input_price=0.0, output_price=0.0) for e in published.models))
    refuse_doubtful_prices(free, published)
    refuse_doubtful_prices(published, free)
    refuse_doubtful_prices(catalog([(0.01, 0.02)]), None)
    refuse_doubtful_prices(catalog([(150, 600)]), None)


def test_a_price_that_was_confirmed_once_is_not_asked_about_again() -> None:
    local = catalog([(1e-5, 1e-5)])
    with pytest.raises(InvalidInput, match="--confirm-prices"):
        refuse_doubtful_prices(local, None)
    refuse_doubtful_prices(local, local)


@pytest.mark.parametrize("with_catalog", [True, False])
@pytest.mark.parametrize(("unit", "refused"), [(1e-6, True), (1e-3, None), (0.1, False), (1, False), (1e3, None)])
def test_costs_of_calls_in_another_unit_are_refused(unit: float, refused: bool | None, with_catalog: bool) -> None:
    """Without prices a thousandth of a call's cost is another model's cost."""
    labels = simulate("r1_math", size=50, seed=0)
    prices = twin_catalog("r1_math")
    rng = np.random.default_rng(0)
    per_token = np.array([prices[m].input_price for m in labels.models]) * 1e-6
    cost = unit * per_token * rng.lognormal(np.log(300), 0.7, labels.success.shape)
    cost[rng.random(cost.shape) < 0.3] = np.nan
    priced = replace(labels, cost=cost, input_tokens=None, output_tokens=None)
    if refused or (refused is None and with_catalog):
        with pytest.raises(InvalidInput, match=r"recorded costs per call do not look like USD.*confirm-prices"):
            refuse_doubtful_costs(priced, prices if with_catalog else None)
    else:
        refuse_doubtful_costs(priced, prices if with_catalog else None)
