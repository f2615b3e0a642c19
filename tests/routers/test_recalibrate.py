"""No outcome judges a recalibration that was fitted on it, or on its text."""

from __future__ import annotations

import numpy as np

from routing_assets.datasets import LabelledInstructions
from routing_assets.routers.recalibrate import halves
from routing_assets.routers.texts_learnt import learnt_table


def outcomes(texts: list[str]) -> LabelledInstructions:
    names = np.array([f"outcome-{row}" for row in range(len(texts))], dtype=object)
    return LabelledInstructions("t", ("m",), names, np.array(texts, dtype=object), np.ones((len(texts), 1)))


def test_a_text_is_fitted_on_or_judges_and_never_both() -> None:
    texts = [f"text {row}" for row in range(200)]
    known = {"train": np.arange(20), "recalibration": np.arange(20, 60), "test": np.arange(60, 80)}
    learnt = learnt_table(outcomes(texts), known)
    fit, held_out = (set(part.instruction) for part in halves(outcomes([*texts, *texts]), learnt))
    assert not fit & held_out
    assert not (fit | held_out) & set(texts[:20])  # the classifier is too sure of what it was trained on
    assert not held_out & set(texts[20:60])  # a recalibration before this one was fitted on these
    assert fit & set(texts[20:60])
    assert fit | held_out >= set(texts[60:])
    assert min(len(fit), len(held_out)) > 40
