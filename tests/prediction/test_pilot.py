"""The pilot that decides whether a small table is worth tuning the encoder for."""

from __future__ import annotations

import numpy as np
import pytest

from routing_assets.datasets import LabelledInstructions
from routing_assets.prediction.classifier.pilot import run_pilot


def table(texts: int = 600, copies: int = 2, seed: int = 0) -> LabelledInstructions:
    """Texts that say how hard they are, each ``copies`` times; the copies succeed together."""
    rng = np.random.default_rng(seed)
    easy = rng.integers(0, 2, texts)
    success = (rng.random((texts, 3)) < np.where(easy, 0.8, 0.2)[:, None]).astype(np.float32)
    text = [f"{'easy' if e else 'hard'} {i}" for i, e in enumerate(easy)]
    return LabelledInstructions(
        name="table",
        models=("a", "b", "c"),
        instruction_id=np.array([str(i) for i in range(texts * copies)], dtype=object),
        instruction=np.array(text * copies, dtype=object),
        success=np.tile(success, (copies, 1)),
    )


class Reader:
    """Predicts from the first word, with a given sharpness."""

    def __init__(self, sharpness: float) -> None:
        self.sharpness = sharpness

    def logits(self, instruction: np.ndarray, task: np.ndarray | None = None) -> np.ndarray:
        sign = np.array([1.0 if text.startswith("easy") else -1.0 for text in instruction], dtype=np.float32)
        return np.repeat(self.sharpness * sign[:, None], 3, axis=1)


@pytest.mark.parametrize(("sharpness", "pays"), [(1.4, True), (0.0, False), (-1.4, False)])
def test_tuning_pays_where_it_predicts_unseen_texts_better(sharpness: float, pays: bool) -> None:
    labels = table()
    rows = np.arange(len(labels))
    pilot = run_pilot(labels, rows, 0, frozen=lambda _: Reader(0.0), tuned=lambda _: Reader(sharpness))
    assert pilot.pays is pays
    assert np.sign(pilot.saved) == np.sign(sharpness)


def test_pilot_learns_from_few_training_rows_and_is_judged_by_unrelated_ones() -> None:
    labels, train = table(), np.arange(100, 1_100)
    seen: list[np.ndarray] = []
    judged: list[str] = []

    class Recorder(Reader):
        def logits(self, instruction: np.ndarray, task: np.ndarray | None = None) -> np.ndarray:
            judged.extend(instruction)
            return super().logits(instruction, task)

    def fit(rows: np.ndarray) -> Recorder:
        seen.append(rows)
        return Recorder(0.0)

    pilot = run_pilot(labels, train, 0, fit, fit)
    assert np.array_equal(*seen)
    assert set(seen[0]) < set(train)
    assert len(set(labels.instruction[seen[0]])) == pilot.trained
    assert 250 <= pilot.trained <= len(set(labels.instruction[train])) / 2
    assert not set(judged) & set(labels.instruction[seen[0]])


def test_copies_of_a_text_are_one_observation() -> None:
    errors = []
    for copies in (1, 4):
        labels = table(copies=copies)
        rows = np.concatenate([np.arange(300) + 600 * copy for copy in range(copies)])
        errors.append(run_pilot(labels, rows, 0, lambda _: Reader(0.0), lambda _: Reader(1.0)).standard_error)
    assert errors[1] == pytest.approx(errors[0], rel=0.2)


def test_pairs_without_a_label_do_not_count() -> None:
    labels = table()
    labels.success[:, 1] = np.nan
    rows = np.arange(len(labels))
    pilot = run_pilot(labels, rows, 0, frozen=lambda _: Reader(0.0), tuned=lambda _: Reader(1.4))
    assert np.isfinite(pilot.saved)
    assert pilot.pays


@pytest.mark.parametrize("groups", [1, 2, 3, 20])
def test_too_few_groups_are_no_reason_to_tune_and_nothing_is_trained(groups: int) -> None:
    labels = table(texts=400, copies=1)
    names = np.array([f"group {i % groups}" for i in range(400)], dtype=object)
    grouped = LabelledInstructions(**{**vars(labels), "group": names})

    def fit(rows: np.ndarray) -> Reader:
        raise AssertionError("trained for nothing")

    pilot = run_pilot(grouped, np.arange(400), 0, frozen=fit, tuned=fit)
    assert not pilot.pays
    assert "too few unrelated groups" in str(pilot)
