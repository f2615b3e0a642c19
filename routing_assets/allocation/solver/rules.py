"""A decision as a rule that gives every row its column, so that each part computes its own rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from routing_assets.allocation.solver.bracket import Bracket
from routing_assets.allocation.solver.scan import blocks, columns_at_high
from routing_assets.allocation.solver.source import Arrays


class Rule(Protocol):
    """Gives every row its column."""

    def of(self, first: int, rows: int) -> Rule:
        """Return the rule for ``rows`` rows from number ``first`` on: small enough to be sent with a part."""
        ...

    def choose(self, first: int, arrays: Arrays) -> np.ndarray:
        """Return the column, (M,) int16, of each of M rows; the first of them has the number ``first``."""
        ...

    def notes(self, arrays: Arrays) -> Mapping[str, int]:
        """Return counts for the certificate, which adds up those of all parts."""
        ...


@dataclass(frozen=True, eq=False)
class PriceRule:
    """Each row's best column at the high price of a bracket, except for ``rows`` (increasing): they get ``columns``."""

    bracket: Bracket
    rows: np.ndarray
    columns: np.ndarray

    def of(self, first: int, rows: int) -> PriceRule:
        """Return the rule for ``rows`` rows from number ``first`` on."""
        start, end = np.searchsorted(self.rows, (first, first + rows))
        return PriceRule(self.bracket, self.rows[start:end], self.columns[start:end])

    def choose(self, first: int, arrays: Arrays) -> np.ndarray:
        """Return the column, (M,) int16, of each of M rows; the first of them has the number ``first``."""
        choice = np.empty(len(arrays[0]), np.int16)
        for start, v, w in blocks(arrays):
            choice[start : start + len(v)] = columns_at_high(v, w, first + start, self.bracket)
        choice[self.rows - first] = self.columns
        return choice

    def notes(self, arrays: Arrays) -> Mapping[str, int]:
        """Return no counts: the certificate needs none."""
        return {}

    def changed(self, rows: np.ndarray, columns: np.ndarray) -> PriceRule:
        """Return the rule with other columns for some rows."""
        named, at = np.unique(np.concatenate([rows, self.rows]), return_index=True)
        return PriceRule(self.bracket, named, np.concatenate([columns, self.columns])[at].astype(np.int16))
