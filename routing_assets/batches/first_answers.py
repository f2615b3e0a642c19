"""What came back of a first round: which calls were answered, what they cost, and what their answers tell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from routing_assets.answers.reading import is_answer_file
from routing_assets.batches.answers import Sent
from routing_assets.batches.grades import grading_of
from routing_assets.datasets.outcome_signals import signals_in

OF_ANSWER = ("instruction_id", "model", "text", "finish_reason", "output_tokens", "error")
LONGEST_CLASS = 40
"""Characters of an answer that may be one of a few classes."""
OF_JUDGE, OF_CHECK = ("judge", "judge_score"), ("check",)
"""The signals that the grade of an answer is, by the kind of its grader."""


@dataclass(frozen=True, eq=False)
class FirstAnswers:
    """The answers to the N first calls of a batch, in its order.

    Attributes:
        answered: (N,) bool, whether an answer, or word of one, came back.
        success: (N,) in [0, 1], NaN where it is not known.
        billed: (N,) USD of all attempts, NaN where no bill came.
        signals: by name, (N,) float64 with NaN where unknown, or object with None.
    """

    answered: np.ndarray
    success: np.ndarray
    billed: np.ndarray
    signals: Mapping[str, np.ndarray]

    def known(self, names: Iterable[str]) -> np.ndarray:
        """(N,) bool, whether any of these signals is known."""
        found = np.zeros(len(self.answered), dtype=bool)
        for name in names:
            found |= _known(self.signals[name])
        return found


def first_answers(
    sent: Sent,
    matched: pa.Table,
    answers: pa.Table,
    grades: pa.Table | None,
    files: Sequence[Path],
    wanted: Mapping[str, bool],
) -> FirstAnswers:
    """Gather what is known of the first calls.

    Args:
        sent: by the decision.
        matched: its routed rows with ``success`` and ``billed_usd``.
        answers: as ``collect`` makes it.
        grades: of the answers.
        files: outcome files, earliest first; a later value of a signal counts.
        wanted: names of the signals, and whether each is a class.
    """
    pairs = zip(matched["instruction_id"].to_pylist(), matched["model"].cast(pa.string()).to_pylist(), strict=True)
    place = {pair: row for row, pair in enumerate(pairs)}
    signals = {
        name: np.full(len(place), None, dtype=object) if is_class else np.full(len(place), np.nan)
        for name, is_class in wanted.items()
    }
    replied = np.zeros(len(place), dtype=bool)
    for answer in answers.filter(answers["newest"]).select(OF_ANSWER).to_pylist():
        row = place.get((answer["instruction_id"], answer["model"]))
        if row is None or answer["error"] is not None:
            continue
        replied[row] = True
        for name, value in _told_by(answer).items():
            if name in signals and value is not None:
                signals[name][row] = value
    if grades is not None:
        of_grade = OF_JUDGE if (grading_of(grades) or {}).get("grader") == "judge" else OF_CHECK
        for grade in grades.select(["instruction_id", "model", "success"]).to_pylist():
            row = place.get((grade["instruction_id"], grade["model"]))
            for name in of_grade:
                if row is not None and grade["success"] is not None and name in signals:
                    signals[name][row] = grade["success"]
    for path in files:
        if is_answer_file(path):
            continue
        for instruction, said, name, value in signals_in(path, wanted):
            row = place.get((instruction, sent.names.model(said, sent.model.get(instruction)) or said))
            if row is not None:
                replied[row] = True
                if name in signals:
                    signals[name][row] = value
    success, billed = (
        matched[name].to_numpy(zero_copy_only=False).astype(np.float64) for name in ("success", "billed_usd")
    )
    return FirstAnswers(replied | np.isfinite(success), success, billed, signals)


def _told_by(answer: Mapping[str, Any]) -> dict[str, Any]:
    """What an answer tells by itself."""
    text = (answer["text"] or "").strip()
    word = text if 0 < len(text) <= LONGEST_CLASS else None
    return {
        "finish_reason": answer["finish_reason"],
        "response_chars": float(len(answer["text"] or "")),
        "response_tokens": None if answer["output_tokens"] is None else float(answer["output_tokens"]),
        "answer": word,
        "answer_class": word,
    }


def _known(values: np.ndarray) -> np.ndarray:
    return np.array([value is not None for value in values]) if values.dtype == object else np.isfinite(values)
