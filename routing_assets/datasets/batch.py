"""A batch: the instructions to route, from Parquet, CSV, JSONL or an OpenAI Batch file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from routing_assets.datasets.batch_columns import TEXTS
from routing_assets.datasets.request_content import CAPABILITY
from routing_assets.datasets.set_aside import SetAside, count_set_aside
from routing_assets.datasets.tokens import proxy_tokens
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.long_table import HasSchema

OF_TABLES = ("instruction_id", "instruction", "task", "group", "input_tokens", "source_file", "reference")
_OF_REQUESTS = ("text_tokens", "output_bound", "answers", "images", "audio", "files", "needs")
COLUMNS = (*OF_TABLES, *_OF_REQUESTS)
_IGNORED_KEY = b"routing_assets.ignored_columns"
SET_ASIDE_KEY = b"routing_assets.set_aside"


@dataclass(frozen=True, eq=False)
class BatchInstructions:
    """N instructions that wait for a model.

    Attributes:
        instruction_id: (N,) object array of str, unique.
        instruction: (N,) object array of str.
        task: (N,) object array of str.
        group: (N,) object array of str, for example the tenant.
        input_tokens: (N,) float64, of everything that is sent; NaN where unknown.
        source_file: (N,) object array of str: in a batch joined from small files, the file of each.
        reference: (N,) object array of str: the right answer, for graders; None where there is none.
        text_tokens: (N,) float64, of the input tokens those of the text; None where they are counted by its length.
        output_bound: (N,) float64, most output tokens of an answer; NaN where there is no bound.
        answers: (N,) float64, how many answers are asked for; NaN means one.
        images: (N,) float64, how many images are sent; NaN means none. ``audio`` and ``files`` likewise.
        needs: (N,) object array of str, what a model must be able to do, such as "json vision"; None for nothing.
        ignored_columns: Columns of the file that routing does not use.
        set_aside: Records of the file that are not among the N, by the reason.
    """

    instruction_id: np.ndarray
    instruction: np.ndarray
    task: np.ndarray | None = None
    group: np.ndarray | None = None
    input_tokens: np.ndarray | None = None
    source_file: np.ndarray | None = None
    reference: np.ndarray | None = None
    text_tokens: np.ndarray | None = None
    output_bound: np.ndarray | None = None
    answers: np.ndarray | None = None
    images: np.ndarray | None = None
    audio: np.ndarray | None = None
    files: np.ndarray | None = None
    needs: np.ndarray | None = None
    ignored_columns: tuple[str, ...] = ()
    set_aside: SetAside = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.instruction_id)

    @property
    def tokens(self) -> np.ndarray:
        """(N,) float64 input tokens: as given, or by the length of the text where they are not."""
        by_length = proxy_tokens(self.instruction)
        given = self.input_tokens
        return by_length if given is None else np.where(np.isnan(given), by_length, given)

    @property
    def tokens_beside_text(self) -> np.ndarray:
        """(N,) float64 input tokens beyond those of the text that is routed by."""
        if self.input_tokens is None:
            return np.zeros(len(self))
        of_text = proxy_tokens(self.instruction) if self.text_tokens is None else self.text_tokens
        return np.maximum(self.tokens - of_text, 0.0)

    @cached_property
    def beyond_text(self) -> dict[str, float]:
        """Sums of what is sent and asked for beyond one answer to each text; empty where there is nothing more."""
        totals = {"input_tokens": float(self.tokens_beside_text.sum())}
        if self.answers is not None:
            totals["answers"] = float(np.nansum(self.answers - 1.0))
        if self.output_bound is not None:
            totals["output_bounds"] = float(np.isfinite(self.output_bound).sum())
        for kind in CAPABILITY:
            if (attached := getattr(self, kind)) is not None:
                totals[kind] = float(np.nansum(attached))
        return {name: total for name, total in totals.items() if total}

    def take(self, rows: np.ndarray | Sequence[int] | slice) -> BatchInstructions:
        """The given rows (indices, boolean mask or slice) in the given order."""
        index = rows if isinstance(rows, slice) else np.asarray(rows)
        arrays: dict[str, Any] = {name: values[index] for name, values in self._arrays().items()}
        return replace(self, **arrays)

    def texts_alone(self) -> BatchInstructions:
        """The batch as earlier versions read it: nothing but texts and input tokens."""
        others: dict[str, Any] = dict.fromkeys(_OF_REQUESTS)
        return replace(self, **others, set_aside={})

    def set_apart(self, reasons: Mapping[str, np.ndarray]) -> BatchInstructions:
        """The batch without some of its rows, which join those that are set aside.

        Args:
            reasons: by reason, the (N,) rows that it applies to; no row has two.
        """
        records = len(self) + count_set_aside(self.set_aside)
        aside = [place for places in self.set_aside.values() for place in places]
        place = np.delete(np.arange(records), aside)
        more = {reason: tuple(place[rows].tolist()) for reason, rows in reasons.items()}
        left = ~np.any(list(reasons.values()), axis=0)
        return replace(self.take(left), set_aside={**self.set_aside, **more})

    def to_arrow(self) -> pa.Table:
        """The batch as a table, lossless; unknown numbers are null."""
        columns = {
            name: pa.array(values, pa.string()) if name in TEXTS else pa.array(values, from_pandas=True)
            for name, values in self._arrays().items()
        }
        about = {_IGNORED_KEY: json.dumps(self.ignored_columns).encode()}
        if self.set_aside:
            about[SET_ASIDE_KEY] = json.dumps(self.set_aside).encode()
        return pa.table(columns).replace_schema_metadata(about)

    @classmethod
    def from_arrow(cls, table: pa.Table) -> BatchInstructions:
        """Restores what :meth:`to_arrow` wrote."""
        arrays = {name: table[name].to_numpy(zero_copy_only=False) for name in COLUMNS if name in table.column_names}
        about = table.schema.metadata or {}
        return cls(
            **arrays,
            ignored_columns=tuple(json.loads(about.get(_IGNORED_KEY, b"[]"))),
            set_aside=set_aside_of(table),
        )

    def _arrays(self) -> dict[str, np.ndarray]:
        return {name: values for name in COLUMNS if (values := getattr(self, name)) is not None}


def set_aside_of(table: HasSchema) -> SetAside:
    """The records set aside, from the metadata of a table of :meth:`BatchInstructions.to_arrow`."""
    stored = (table.schema.metadata or {}).get(SET_ASIDE_KEY, b"{}")
    return {reason: tuple(places) for reason, places in json.loads(stored).items()}


def write_batch(batch: BatchInstructions, path: str | Path) -> None:
    """Writes a batch as Parquet, CSV or JSONL, by the path's extension; ``load_batch`` reads it back.

    What only requests have is left out: their number of answers, bounds and attachments.

    Raises:
        InvalidInput: when the extension is another.
    """
    path, table = Path(path), batch.to_arrow().drop_columns([n for n in _OF_REQUESTS if getattr(batch, n) is not None])
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
