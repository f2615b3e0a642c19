"""Agreement of a grader with people."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from routing_assets.answers.graders.agreement import agreement


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_accuracy_and_kappa_are_those_of_scikit_learn(pairs: list[tuple[bool, bool]]) -> None:
    grades, people = np.array(pairs, float).T
    found = agreement(grades, people)
    assert found is not None
    assert found.accuracy == pytest.approx(float(np.mean(grades == people)))
    if found.kappa is None:
        assert len(set(grades)) == 1 or len(set(people)) == 1
        return
    assert found.kappa == pytest.approx(cohen_kappa_score(grades, people))
    assert found.kappa_lower is not None
    assert found.kappa_upper is not None
    assert -1 <= found.kappa_lower < found.kappa_upper <= 1


def test_the_interval_holds_the_true_kappa_as_often_as_it_says() -> None:
    """Two judges who both flip a fair coin's truth in 15 % of cases: kappa is (1 - 2 * 0.15) ** 2 = 0.49."""
    random, held = np.random.default_rng(0), 0
    for _ in range(200):
        truth = random.random(80) < 0.5
        one, two = (truth ^ (random.random(80) < 0.15) for _ in range(2))
        found = agreement(one.astype(float), two.astype(float))
        assert found is not None
        held += bool(found.kappa_lower < 0.49 < found.kappa_upper)  # type: ignore[operator]  # both judges differ
    assert held >= 180


def test_full_agreement_on_five_answers_proves_little() -> None:
    few, many = (agreement(values, values) for values in (np.array([0.0, 1, 1, 0, 1]), np.arange(500) % 2.0))
    assert few is not None
    assert many is not None
    assert few.kappa == many.kappa == 1.0
    assert (few.kappa_lower or 1) < 0.6 < 0.95 < (many.kappa_lower or 0)


def test_without_answers_there_is_none() -> None:
    assert agreement(np.array([]), np.array([])) is None
