"""The instructions of a batch file that can be routed, as a table: in memory, or in parts where there are many."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa

from routing_assets.batches.policy import RoutingSettings
from routing_assets.batches.route import reason_of, rows_without_model, set_barred_aside
from routing_assets.datasets.batch import SET_ASIDE_KEY, BatchInstructions
from routing_assets.datasets.portions import BatchPortions, open_batch
from routing_assets.datasets.set_aside import SetAside
from routing_assets.pricing.catalog import ModelCatalog
from routing_assets.storage import partitioned
from routing_assets.storage.draft import Draft, cut, with_metadata
from routing_assets.storage.partitioned import PartitionedTable


@dataclass(frozen=True, eq=False)
class KeptInstructions:
    """The instructions of a file that are routed, and what is known of them all."""

    table: pa.Table | PartitionedTable
    set_aside: SetAside
    """The other records of the file."""
    beyond_text: Mapping[str, float]
    """See ``BatchInstructions.beyond_text``."""


def keep_instructions(
    path: Path,
    file_sha256: str,
    models: tuple[str, ...],
    catalog: ModelCatalog | None,
    settings: RoutingSettings,
    draft: Callable[[pa.Schema], Draft],
    *,
    part_rows: int | None = None,
    by_length: bool = False,
) -> KeptInstructions:
    """Read a batch file, and set its records aside that cannot be routed or that no model may get.

    Args:
        models: of the router.
        draft: where a table of this schema is written that has more rows than a part.
        part_rows: of a part; by default those of any table in parts.
        by_length: how tokens of requests are counted, see ``read_request``.

    Raises:
        InvalidInput: the file cannot be used, or nothing of it can be routed.
    """
    part_rows = part_rows or partitioned.PART_ROWS
    with open_batch(path, strict=settings.strict, layout=settings.layout, by_length=by_length) as portions:
        if portions.instructions > part_rows:
            return _KeepInParts(portions, models, catalog, settings).write(file_sha256, draft, part_rows)
        batch = set_barred_aside(portions.read(), models, catalog, settings)
    table = batch.to_arrow()
    table = table.cast(with_metadata(table.schema, {"file_sha256": file_sha256}))
    return KeptInstructions(table, batch.set_aside, batch.beyond_text)


class _KeepInParts:
    """One pass over the portions of a file; what is set aside is known at its end."""

    def __init__(
        self, portions: BatchPortions, models: tuple[str, ...], catalog: ModelCatalog | None, settings: RoutingSettings
    ) -> None:
        self._portions, self._rules = portions, (models, catalog, settings)
        self._aside: dict[str, list[int]] = {reason: list(places) for reason, places in portions.set_aside.items()}
        self._beyond: Counter[str] = Counter()

    def write(self, file_sha256: str, draft: Callable[[pa.Schema], Draft], part_rows: int) -> KeptInstructions:
        """Write the instructions that are kept."""
        tables = self._tables()
        first = next(tables)
        writing = draft(with_metadata(first.schema, {"file_sha256": file_sha256}))
        parts = cut(chain([first], tables), part_rows)
        files = [writing.write_part(number, part) for number, part in enumerate(parts)]
        about = {SET_ASIDE_KEY.decode(): json.dumps(self._aside)} if self._aside else {}
        set_aside = {reason: tuple(places) for reason, places in self._aside.items()}
        return KeptInstructions(writing.finish(files, about), set_aside, dict(self._beyond))

    def _tables(self) -> Iterator[pa.Table]:
        kept = 0
        for portion, place in self._placed():
            left = self._left(portion, place)
            kept += len(left)
            if len(left):
                self._beyond.update(left.beyond_text)
                yield left.to_arrow()
        if not kept:
            set_barred_aside(portion, *self._rules)

    def _placed(self) -> Iterator[tuple[BatchInstructions, np.ndarray]]:
        """Each portion, with the places of its rows among the records of the file."""
        aside = np.sort(np.array([place for places in self._portions.set_aside.values() for place in places], np.int64))
        first = 0
        for portion in self._portions:
            yield replace(portion, set_aside={}), _places(aside, first, len(portion))
            first += len(portion)

    def _left(self, portion: BatchInstructions, place: np.ndarray) -> BatchInstructions:
        of_rules = rows_without_model(portion, *self._rules)
        if not of_rules:
            return portion
        if self._rules[2].strict:
            set_barred_aside(portion, *self._rules)
        for rules, rows in of_rules.items():
            self._aside.setdefault(reason_of(rules), []).extend(place[rows].tolist())
        return portion.take(np.delete(np.arange(len(portion)), [row for rows in of_rules.values() for row in rows]))


def _places(aside: np.ndarray, first: int, rows: int) -> np.ndarray:
    """The places of the records number ``first``, ``first`` + 1, ... of those that are not ``aside`` (rising)."""
    kept_before = aside - np.arange(len(aside))  # records in front of each one that are not aside
    number = np.arange(first, first + rows)
    return number + np.searchsorted(kept_before, number, side="right")
