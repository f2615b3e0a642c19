"""Signals of answers as numbers that a network can read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Signals = Mapping[str, NDArray[Any]]
"""By name, one value per answer: numbers with NaN where unknown, or classes with None where unknown."""

MOST_CLASSES = 20
"""A signal's most frequent classes are told apart, at most so many; the others are one class."""


@dataclass(frozen=True)
class NumberSignal:
    """A signal that is a number, standardised; an unknown value is the mean, with a column that says so."""

    name: str
    mean: float
    scale: float

    width = 2

    def encode(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """(..., 2) of values (...)."""
        known = np.isfinite(values)
        standard = np.where(known, (np.where(known, values, self.mean) - self.mean) / self.scale, 0.0)
        return np.stack([np.clip(standard, -5, 5), ~known], axis=-1).astype(np.float32)


@dataclass(frozen=True)
class ClassSignal:
    """A signal that is a class: one column for each frequent class, one for the others; all 0 where it is unknown."""

    name: str
    classes: tuple[str, ...]

    @property
    def width(self) -> int:
        """Columns."""
        return len(self.classes) + 1

    def encode(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """(..., width) of classes (...)."""
        place = {name: index for index, name in enumerate(self.classes)}
        codes = np.array([-1 if v is None else place.get(str(v), len(place)) for v in values.ravel()], dtype=np.int64)
        return np.eye(self.width + 1, dtype=np.float32)[codes][:, : self.width].reshape(*values.shape, self.width)


@dataclass(frozen=True)
class SignalEncoding:
    """How the signals of an answer become one vector."""

    signals: tuple[NumberSignal | ClassSignal, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The signals that are read."""
        return tuple(signal.name for signal in self.signals)

    @property
    def width(self) -> int:
        """Numbers per answer."""
        return sum(signal.width for signal in self.signals)

    def encode(self, values: Signals) -> NDArray[np.float32]:
        """(..., width) of signals whose values have the shape (...)."""
        return np.concatenate([signal.encode(values[signal.name]) for signal in self.signals], axis=-1)


def fit_encoding(values: Signals, names: Sequence[str] | None = None) -> SignalEncoding:
    """Means, scales and frequent classes of the named signals, all by default, over the answers of all models."""
    return SignalEncoding(tuple(_fit(name, values[name]) for name in names or sorted(values)))


def _fit(name: str, values: NDArray[Any]) -> NumberSignal | ClassSignal:
    if values.dtype == object:
        known = np.array([str(value) for value in values.ravel() if value is not None], dtype=object)
        classes, counts = np.unique(known, return_counts=True)
        frequent = classes[np.argsort(-counts, kind="stable")[:MOST_CLASSES]]
        return ClassSignal(name, tuple(sorted(str(value) for value in frequent)))
    known = values[np.isfinite(values)]
    mean, scale = (float(known.mean()), float(known.std())) if known.size else (0.0, 1.0)
    return NumberSignal(name, mean, scale or 1.0)
