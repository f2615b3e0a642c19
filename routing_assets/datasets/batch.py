"""A batch: the instructions to route, from Parquet, CSV, JSONL or an OpenAI Batch file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from routing_assets.datasets.openai_batch import is_openai_batch, openai_requests
from routing_assets.datasets.reading import RawTable, read_json_lines, read_raw_table, records_to_table
from routing_assets.datasets.tokens import proxy_tokens
from routing_assets.datasets.validation import (
    amount_column,
    check_unique,
    optional_text_column,
    require_columns,
    text_column,
)
from routing_assets.errors import InvalidInput

_COLUMNS = ("instruction_id", "instruction", "task", "group", "input_tokens", "source_file")
_IGNORED_KEY = b"routing_assets.ignored_columns"


@dataclass(frozen=True, eq=False)
class BatchInstructions:
    """N instructions that wait for a model.

    Attributes:
        instruction_id: (N,) object array of str, unique.
        instruction: (N,) object array of str.
        task: (N,) object array of str.
        group: (N,) object array of str, for example the tenant.
        input_tokens: (N,) float64; NaN where unknown.
        source_file: (N,) object array of str: of a batch that small files became together, the file of each.
        ignored_columns: Columns of the file that play no part in routing.
    """

    instruction_id: np.ndarray
    instruction: np.ndarray
    task: np.ndarray | None = None
    group: np.ndarray | None = None
    input_tokens: np.ndarray | None = None
    source_file: np.ndarray | None = None
    ignored_columns: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.instruction_id)

    @property
    def tokens(self) -> np.ndarray:
        """(N,) float64 input tokens: as given, or by the length of the text where they are not."""
        by_length = proxy_tokens(self.instruction)
        given = self.input_tokens
        return by_length if given is None else np.where(np.isnan(given), by_length, given)

    def take(self, rows: np.ndarray | Sequence[int] | slice) -> BatchInstructions:
        """The given rows (indices, boolean mask or slice) in the given order."""
        index = rows if isinstance(rows, slice) else np.asarray(rows)
        arrays: dict[str, Any] = {name: values[index] for name, values in self._arrays().items()}
        return replace(self, **arrays)

    def to_arrow(self) -> pa.Table:
        """The batch as a table, lossless; unknown token counts are null."""
        columns = {
            name: pa.array(values, from_pandas=True) if name == "input_tokens" else pa.array(values, pa.string())
            for name, values in self._arrays().items()
        }
        return pa.table(columns).replace_schema_metadata({_IGNORED_KEY: json.dumps(self.ignored_columns).encode()})

    @classmethod
    def from_arrow(cls, table: pa.Table) -> BatchInstructions:
        """Restores what :meth:`to_arrow` wrote."""
        arrays = {name: table[name].to_numpy(zero_copy_only=False) for name in _COLUMNS if name in table.column_names}
        ignored = json.loads((table.schema.metadata or {}).get(_IGNORED_KEY, b"[]"))
        return cls(**arrays, ignored_columns=tuple(ignored))

    def _arrays(self) -> dict[str, np.ndarray]:
        return {name: values for name in _COLUMNS if (values := getattr(self, name)) is not None}


def load_batch(path: str | Path) -> BatchInstructions:
    """Reads a batch file by its extension; a JSONL file whose first line has ``custom_id`` and ``body`` is OpenAI's.

    Columns beyond ``instruction_id, instruction, [task], [group], [input_tokens]`` are not used; their names are
    kept in ``ignored_columns``.

    Raises:
        InvalidInput: naming file, row and column of the first fault found.
    """
    if Path(path).suffix.lower() in (".jsonl", ".ndjson"):
        records = read_json_lines(path)
        if is_openai_batch(records):
            records = openai_requests(records, source=str(path))
        raw = records_to_table(records, source=str(path))
    else:
        raw = read_raw_table(path)
    return _from_raw(raw)


def write_batch(batch: BatchInstructions, path: str | Path) -> None:
    """Writes a batch as Parquet, CSV or JSONL, by the path's extension; :func:`load_batch` reads it back.

    Raises:
        InvalidInput: when the extension is another.
    """
    path, table = Path(path), batch.to_arrow()
    match path.suffix.lower():
        case ".parquet" | ".pq":
            pq.write_table(table, path)
        case ".csv":
            pacsv.write_csv(table, path)
        case ".jsonl" | ".ndjson":
            with path.open("w", encoding="utf-8") as file:
                file.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in table.to_pylist())
        case other:
            raise InvalidInput(
                f"cannot write the file type '{other}'", source=str(path), remedy="Use .parquet, .csv or .jsonl"
            )


def _from_raw(raw: RawTable) -> BatchInstructions:
    require_columns(raw, ("instruction_id", "instruction"))
    names = raw.columns.column_names
    ids = text_column(raw, "instruction_id")
    check_unique(raw, "instruction_id", ids)
    return BatchInstructions(
        instruction_id=ids,
        instruction=text_column(raw, "instruction"),
        task=optional_text_column(raw, "task"),
        group=optional_text_column(raw, "group"),
        input_tokens=amount_column(raw, "input_tokens", "number of tokens") if "input_tokens" in names else None,
        source_file=optional_text_column(raw, "source_file"),
        ignored_columns=tuple(name for name in names if name not in _COLUMNS),
    )
