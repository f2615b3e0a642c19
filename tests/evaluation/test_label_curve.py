"""What more labels would buy is extrapolated from a power law, and the rule to stop goes by the interval."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from routing_assets.datasets.labels import LabelledInstructions
from routing_assets.evaluation import label_curve as module
from routing_assets.evaluation.label_curve import LITTLE, Gain, LabelCurve, label_curve, power_law_gain
from routing_assets.foundation.errors import InvalidInput

N = np.array([100.0, 200.0, 300.0, 400.0])


@pytest.mark.parametrize("exponent", [0.2, 0.5, 1.0])
def test_a_power_law_is_continued_exactly(exponent: float) -> None:
    def law(n: np.ndarray | float) -> np.ndarray | float:
        return 0.8 - 1.5 * n**-exponent

    assert power_law_gain(N, law(N), 900.0, exponent) == pytest.approx(law(900.0) - law(400.0))


def test_a_falling_curve_promises_no_gain() -> None:
    assert power_law_gain(N, np.array([0.8, 0.7, 0.7, 0.6]), 900.0, 0.5) == 0.0


def test_labels_gain_little_only_if_the_upper_end_of_the_interval_says_so() -> None:
    curve = LabelCurve(400, 8.0, (), None, Gain(400, 8.0, 0.001, 0.0, LITTLE * 0.9))
    assert curve.little
    assert curve.to_dict()["more_labels_gain_little"]
    assert not replace(curve, doubled=replace(curve.doubled, upper=LITTLE * 1.1)).little


def labels(n: int = 200) -> LabelledInstructions:
    """Two models at 1 and 2 cents a call."""
    return LabelledInstructions(
        name="planted",
        models=("small", "large"),
        instruction_id=np.array([f"q{i}" for i in range(n)], object),
        instruction=np.array([f"text {i}" for i in range(n)], object),
        success=np.column_stack([np.arange(n) % 2, np.ones(n)]),
        cost=np.tile([0.01, 0.02], (n, 1)),
    )


def test_what_money_buys_is_counted_in_instructions_with_all_models(monkeypatch: pytest.MonkeyPatch) -> None:
    trained = []

    def measure(_, split, test, *__) -> tuple[float, float]:  # type: ignore[no-untyped-def]
        trained.append(len(split.train))
        assert not set(split.train) & set(split.test)
        return 0.9 - 2.0 / len(split.train), 0.3

    monkeypatch.setattr(module, "_measure", measure)
    curve = label_curve(labels(), more_usd=1.51, seeds=(0, 1))
    assert curve.usd == pytest.approx(6.0)
    assert [point["instructions"] for point in curve.points] == [50, 100, 150, 200]
    assert trained[:4] == pytest.approx([35, 70, 105, 140], abs=2)
    assert (curve.more.instructions, curve.doubled.instructions) == (50, 200)
    assert 0 < curve.more.lower <= curve.more.gain <= curve.more.upper < curve.doubled.upper
    assert curve.doubled.usd == pytest.approx(6.0)


def test_labels_without_costs_need_a_catalog() -> None:
    with pytest.raises(InvalidInput):
        label_curve(replace(labels(), cost=None))
