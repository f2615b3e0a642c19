"""Small batch files wait for each other and become one batch, in which every instruction names its file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field
from pydantic.dataclasses import dataclass as checked_dataclass

from routing_assets.datasets.file_layout import AS_OURS, FileLayout, batch_records
from routing_assets.datasets.openai_batch import is_openai_batch_file
from routing_assets.datasets.portions import BatchPortions, open_batch
from routing_assets.foundation.names import printable
from routing_assets.foundation.schema import FORM, Amount
from routing_assets.providers.lines import batch_line
from routing_assets.storage.blocks import in_blocks

SEPARATOR = "/"
"""Between the id of the file and the id that it gave the instruction; no batch id holds it."""


@checked_dataclass(frozen=True, config=FORM)
class Coalescing:
    """``coalesce`` in the policy file: small files wait for others and become one batch."""

    below: Annotated[float, Field(strict=True, allow_inf_nan=False, ge=1)] = Field(
        description="Files with fewer instructions wait, until they have so many together."
    )
    wait_minutes: Amount = Field(default=10.0, description="Minutes that a file waits at most.")


@dataclass(frozen=True)
class SmallFile:
    """A file that may wait; files of equal ``shape`` can be one batch."""

    path: Path
    instructions: int
    shape: tuple[str, ...]
    waited_minutes: float


def due(small: Iterable[SmallFile], settings: Coalescing) -> list[list[SmallFile]]:
    """The groups whose wait is over: together they reach the threshold, or one of them waited long enough."""
    by_shape: dict[tuple[str, ...], list[SmallFile]] = {}
    for file in small:
        by_shape.setdefault(file.shape, []).append(file)
    return [
        files
        for files in by_shape.values()
        if sum(file.instructions for file in files) >= settings.below
        or max(file.waited_minutes for file in files) >= settings.wait_minutes
    ]


def shape_of(path: Path, portions: BatchPortions, layout: FileLayout = AS_OURS) -> tuple[str, ...]:
    """What files must have in common to be one batch: all of requests, which stay whole, or of the same columns."""
    if is_openai_batch_file(path, layout):
        return ("requests",)
    return ("table", *next(iter(portions)).to_arrow().column_names)


def join_files(sources: Mapping[str, Path], stem: Path, layout: FileLayout = AS_OURS) -> Path:
    """Write the batch that files of one shape become together; returns its path, ``stem`` with an ending.

    An instruction's id is ``<id of the file>/<its own id>``, and ``source_file`` names the file. Requests of OpenAI
    Batch files stay whole.

    Args:
        sources: the files by the id that each would have as a batch of its own.
        layout: how files differ from ours that do not have our columns.

    Raises:
        InvalidInput: one of the files is not a usable batch.
    """
    layouts = {name: layout.fitting(path) for name, path in sources.items()}
    if all(is_openai_batch_file(path, layouts[name]) for name, path in sources.items()):
        target = stem.with_name(f"{stem.name}.jsonl")
        with target.open("w", encoding="utf-8") as file:
            for name, path in sources.items():
                file.writelines(json.dumps(record) + "\n" for record in _requests(name, path, layouts[name]))
    else:
        target = stem.with_name(f"{stem.name}.parquet")
        tables = in_blocks(chain.from_iterable(_tables(name, path, layouts[name]) for name, path in sources.items()))
        first = next(tables)
        with pq.ParquetWriter(target, first.schema) as file:
            for table in chain([first], tables):
                file.write_table(table)
    return target


def _tables(name: str, path: Path, layout: FileLayout) -> Iterator[pa.Table]:
    with open_batch(path, layout=layout) as portions:
        for batch in portions:
            ids = np.array([f"{name}{SEPARATOR}{own}" for own in batch.instruction_id], dtype=object)
            files = np.full(len(batch), printable(path.name), dtype=object)
            joined = replace(batch, instruction_id=ids, source_file=files, ignored_columns=(), set_aside={})
            yield joined.to_arrow()


def _requests(name: str, path: Path, layout: FileLayout) -> Iterator[dict[str, Any]]:
    for record in batch_records(path, layout):
        line = batch_line(record)
        yield {**record, line.id_field: f"{name}{SEPARATOR}{line.id}", "source_file": printable(path.name)}
