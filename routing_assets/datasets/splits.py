"""Seeded train / validation / calibration / test splits that never separate equal texts or members of one group."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np

from routing_assets.datasets.related import related_rows
from routing_assets.foundation.errors import InvalidInput


@dataclass(frozen=True)
class SplitFractions:
    """Wanted share of the rows in each part; the article's 70 / 5 / 5 / 20 by default."""

    train: float = 0.70
    validation: float = 0.05
    calibration: float = 0.05
    test: float = 0.20

    def __post_init__(self) -> None:
        shares = self.as_array()
        if not (np.all(shares > 0) and np.isclose(shares.sum(), 1.0)):
            raise InvalidInput(
                f"split fractions {shares.tolist()} are not positive numbers that sum to 1",
                remedy="Give train, validation, calibration and test a positive share each.",
            )

    def as_array(self) -> np.ndarray:
        """The four shares in the order train, validation, calibration, test."""
        return np.array([getattr(self, field.name) for field in fields(self)], dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Split:
    """Sorted row indices of the four parts; together they hold every row exactly once."""

    train: np.ndarray
    validation: np.ndarray
    calibration: np.ndarray
    test: np.ndarray

    def parts(self) -> Iterator[tuple[str, np.ndarray]]:
        """(name, rows) of each part, in the order train, validation, calibration, test."""
        return ((field.name, getattr(self, field.name)) for field in fields(self))

    def names(self) -> np.ndarray:
        """(N,) the part each row belongs to, as str."""
        names = np.empty(sum(len(rows) for _, rows in self.parts()), dtype=object)
        for name, rows in self.parts():
            names[rows] = name
        return names


def split_instructions(
    instruction: np.ndarray,
    group: np.ndarray | None = None,
    *,
    seed: int,
    fractions: SplitFractions | None = None,
) -> Split:
    """Split N instructions into four parts of about the wanted sizes, keeping related rows together.

    Components of related rows (by ``related_rows``) are dealt in random order, each to a part drawn with
    probability proportional to the rows that the part still lacks. Large components are dealt
    first. Raises InvalidInput when there are too few components for four non-empty parts.
    """
    component = related_rows(instruction, group)
    sizes = np.bincount(component)
    if len(sizes) < len(fields(Split)):
        raise InvalidInput(
            f"{len(instruction)} instructions hold only {len(sizes)} unrelated texts: at least one of train, "
            "validation, calibration and test would be empty",
            remedy="Label more distinct instructions, or use a finer group column.",
        )
    part_of_component = _deal(sizes, (fractions or SplitFractions()).as_array(), np.random.default_rng(seed))
    part = part_of_component[component]
    return Split(*(np.flatnonzero(part == index) for index in range(len(fields(Split)))))


def leaks(split: Split, instruction: np.ndarray, group: np.ndarray | None = None) -> np.ndarray:
    """Sorted rows that have a relative (equal text or group, transitively) in another part; empty when none leaks."""
    rows = np.concatenate([rows for _, rows in split.parts()])
    part = np.repeat(np.arange(len(fields(Split))), [len(rows) for _, rows in split.parts()])
    component = related_rows(instruction, group)
    lowest = np.full(component.max(initial=-1) + 1, len(fields(Split)))
    highest = np.full_like(lowest, -1)
    np.minimum.at(lowest, component[rows], part)
    np.maximum.at(highest, component[rows], part)
    return np.unique(rows[(lowest != highest)[component[rows]]])


def _deal(sizes: np.ndarray, shares: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(C,) index of the part that each component goes to."""
    wanted = shares * sizes.sum()
    lacking = wanted.copy()
    order = rng.permutation(len(sizes))
    large = sizes[order] > wanted.min() / 4
    order = np.concatenate([order[large][np.argsort(-sizes[order[large]], kind="stable")], order[~large]])
    part = np.empty(len(sizes), dtype=np.int64)
    draw = rng.random(len(sizes))
    for component in order:
        fits = np.where(lacking >= sizes[component], lacking, 0.0)
        cumulative = np.cumsum(fits)
        if cumulative[-1] > 0:
            chosen = int(np.searchsorted(cumulative, draw[component] * cumulative[-1], side="right"))
        else:
            chosen = int(np.argmax(lacking))
        part[component] = chosen
        lacking[chosen] -= sizes[component]
    return _fill_empty_parts(part, sizes, len(shares))


def _fill_empty_parts(part: np.ndarray, sizes: np.ndarray, n_parts: int) -> np.ndarray:
    """Give each empty part the smallest component of the part that holds the most components."""
    for empty in np.flatnonzero(np.bincount(part, minlength=n_parts) == 0):
        donor = np.flatnonzero(part == np.argmax(np.bincount(part, minlength=n_parts)))
        part[donor[np.argmin(sizes[donor])]] = empty
    return part
