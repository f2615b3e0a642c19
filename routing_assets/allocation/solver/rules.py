"""What a decision says of each row, without a list of all rows: every part works out its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from routing_assets.allocation.solver.bracket import Bracket
from routing_assets.allocation.solver.scan import blocks, dear_columns
from routing_assets.allocation.solver.source import Arrays


class Rule(Protocol):
    """Gives every row its column."""

    def of(self, first: int, rows: int) -> Rule:
        """Return what concerns the rows from ``first`` on: small enough to send along with a part."""
        ...

    def choose(self, first: int, arrays: Arrays) -> np.ndarray:
        """Return the column, (M,) int16, of M rows, of which ``first`` is the first one's number."""
        ...

    def notes(self, arrays: Arrays) -> Mapping[str, int]:
        """Return counts that the certificate mentions; the parts' are added up."""
        ...


@dataclass(frozen=True, eq=False)
class PriceRule:
    """Each row's best column at the high end of a bracket, but for ``rows`` (increasing), which have ``columns``."""

    bracket: Bracket
    rows: np.ndarray
    columns: np.ndarray

    def of(self, first: int, rows: int) -> PriceRule:
        """Return what concerns the rows from ``first`` on."""
        start, end = np.searchsorted(self.rows, (first, first + rows))
        return PriceRule(self.bracket, self.rows[start:end], self.columns[start:end])

    def choose(self, first: int, arrays: Arrays) -> np.ndarray:
        """Return the column, (M,) int16, of M rows, of which ``first`` is the first one's number."""
        choice = np.empty(len(arrays[0]), np.int16)
        for start, v, w in blocks(arrays):
            choice[start : start + len(v)] = dear_columns(v, w, first + start, self.bracket)
        choice[self.rows - first] = self.columns
        return choice

    def notes(self, arrays: Arrays) -> Mapping[str, int]:
        """Return nothing: all is in the certificate."""
        return {}

    def changed(self, rows: np.ndarray, columns: np.ndarray) -> PriceRule:
        """Return the rule with other columns for some rows."""
        named, at = np.unique(np.concatenate([rows, self.rows]), return_index=True)
        return PriceRule(self.bracket, named, np.concatenate([columns, self.columns])[at].astype(np.int16))
