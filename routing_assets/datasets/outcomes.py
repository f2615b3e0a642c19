"""Outcomes of routed instructions, as reported by the LLM runners: read, merged and matched with the routed rows.

Files may be partial, late and repeated. A later file's fields of an (instruction, model) pair replace those of an
earlier one, field by field, so that a bill may follow a verdict; contradicting verdicts are counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from routing_assets.datasets.column_mapping import map_columns
from routing_assets.datasets.labels import PARTS
from routing_assets.datasets.reading import read_raw_table
from routing_assets.datasets.signals import KNOWN
from routing_assets.datasets.validation import (
    amount_column,
    require_columns,
    require_part,
    success_column,
    text_column,
)
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.names import printable

_AMOUNTS = {
    "cost": "cost in USD",
    "input_tokens": "number of tokens",
    "output_tokens": "number of tokens",
    "tokens": "number of tokens",
    "latency_s": "latency in seconds",
}
_FIELDS = ("success", *_AMOUNTS)
ANSWERS = ("answer", "error", "finish_reason", "cached_tokens", "reasoning_tokens")
"""Further columns of a table that holds the answers themselves."""
_NAMES = ("instruction_id", "model")
_NOWHERE = np.empty(0, np.int64)
_ROWS_AT_ONCE = 10_000
_SHOWN = 3
"""Number of unmatched outcomes that a message names."""


@dataclass(frozen=True, eq=False)
class Outcomes:
    """The known outcomes of M (instruction, model) pairs; every array has shape (M,), NaN where a field is unknown.

    Attributes:
        instruction_id, model: object arrays of str; no pair occurs twice.
        success: in [0, 1]; NaN where the answer was not judged yet.
        cost: USD that the call was billed.
        input_tokens, output_tokens, tokens: of the call; ``tokens`` is the sum where only that is reported.
        latency_s: seconds.
        contradicted: of which pairs different verdicts were reported; the latest stands.
        unused: columns of the file that are none of these.
        cached_tokens: those of the input that were read from a cache; None where it is not reported.
    """

    instruction_id: np.ndarray
    model: np.ndarray
    success: np.ndarray
    cost: np.ndarray
    input_tokens: np.ndarray
    output_tokens: np.ndarray
    tokens: np.ndarray
    latency_s: np.ndarray
    contradicted: np.ndarray
    unused: tuple[str, ...] = ()
    cached_tokens: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.instruction_id)

    @property
    def conflicts(self) -> int:
        """Pairs of which different verdicts were reported."""
        return int(self.contradicted.sum())

    def to_arrow(self) -> pa.Table:
        """The outcomes as a table; unknown fields are null."""
        names = {name: pa.array(getattr(self, name), pa.string()) for name in _NAMES}
        return pa.table(names | {name: pa.array(getattr(self, name), from_pandas=True) for name in _FIELDS})


def load_outcomes(path: str | Path, columns: Mapping[str, str] | None = None) -> Outcomes:
    """Reads outcomes from Parquet, CSV or JSONL, by the extension; rows further down are taken for later ones.

    Columns are ``instruction_id, model, [success], [cost], [input_tokens], [output_tokens], [tokens], [latency_s]``, of
    which ``success``, ``cost`` or tokens at least, or a signal of the answer such as ``check``. Others are not used,
    and named in ``unused``. Those of ``ANSWERS`` are read as answers, and signals by ``outcome_signals``.
    ``cached_tokens`` are part of the input tokens, ``reasoning_tokens`` of the output tokens.

    Args:
        columns: by our name of a column, the file's own.

    Raises:
        InvalidInput: naming file, row and column of the first fault found.
    """
    raw = map_columns(read_raw_table(path), columns or {})
    present = raw.columns.column_names
    require_columns(raw, _NAMES)
    if not {"success", "cost", "input_tokens", "output_tokens", "tokens", "answer", *KNOWN} & set(present):
        remedy = "Add success in [0, 1], or cost in USD or input_tokens and output_tokens for a file of bills"
        require_columns(raw, ("success",), remedy=remedy)
    fields = {name: np.full(len(raw), np.nan) for name in _FIELDS}
    if "success" in present:
        fields["success"] = success_column(
            raw, "success", allow_missing=True, remedy="Write 0 or 1, or a fraction in between"
        )
    fields |= {name: amount_column(raw, name, what) for name, what in _AMOUNTS.items() if name in present}
    for part, whole in PARTS.items():
        if {part, whole} <= set(present):
            require_part(raw, part, whole)
    if "cached_tokens" in present:
        fields["cached_tokens"] = amount_column(raw, "cached_tokens", "number of tokens")
    unused = tuple(name for name in present if name not in (*_NAMES, *_FIELDS, *ANSWERS, *KNOWN))
    ids, models = text_column(raw, "instruction_id"), text_column(raw, "model")
    return _latest(ids, models, fields, contradicted=np.zeros(len(raw), bool), unused=unused)


def merge_outcomes(*files: Outcomes) -> Outcomes:
    """Outcomes of several files, earliest first; later fields win, pairs stay in order of first mention."""
    join = lambda name: np.concatenate([getattr(file, name) for file in files])  # noqa: E731
    return _latest(
        join("instruction_id"),
        join("model"),
        {name: join(name) for name in _FIELDS},
        contradicted=join("contradicted"),
    )


def match_outcomes(routed: pa.Table, outcomes: Outcomes) -> tuple[pa.Table, int]:
    """The routed rows with their outcomes, in routed order, and the number of outcomes that match no routed row.

    Takes ``instruction_id, model, expected_success, cost``; adds ``success``, ``billed_usd`` and ``latency_s``, null
    where unknown.
    """
    known = {"success": outcomes.success, "billed_usd": outcomes.cost, "latency_s": outcomes.latency_s}
    at = np.concatenate([_NOWHERE, *_places(routed, outcomes)])
    table = routed.select([*_NAMES, "expected_success", "cost"])
    for name, values in known.items():
        table = table.append_column(name, pa.array(np.append(values, np.nan)[at], from_pandas=True))
    return table, len(outcomes) - int((at >= 0).sum())


def strays(routed: pa.Table, outcomes: Outcomes) -> list[tuple[str, str]]:
    """The (instruction, model) pairs of outcomes that match no routed row."""
    stray = np.ones(len(outcomes) + 1, bool)
    stray[-1] = False
    for at in _places(routed, outcomes):
        stray[at] = False
    return list(zip(outcomes.instruction_id[stray[:-1]], outcomes.model[stray[:-1]], strict=True))


def _places(routed: pa.Table, outcomes: Outcomes) -> Iterator[np.ndarray]:
    """The place of each routed row's outcome, -1 where none is known; few of the rows are Python objects at a time."""
    place = {pair: i for i, pair in enumerate(zip(outcomes.instruction_id, outcomes.model, strict=True))}
    for rows in routed.select(_NAMES).to_batches(max_chunksize=_ROWS_AT_ONCE):
        pairs = zip(*(column.to_pylist() for column in rows.columns), strict=True)
        yield np.fromiter((place.get(pair, -1) for pair in pairs), np.int64, rows.num_rows)


def named(pairs: list[tuple[str, str]]) -> str:
    """Some of the (instruction, model) pairs, in words."""
    some = ", ".join(f"'{printable(name)}' by '{printable(model)}'" for name, model in pairs[:_SHOWN])
    return f"{some}, ..." if len(pairs) > _SHOWN else some


def require_usable(routed: pa.Table, outcomes: Outcomes, *, also: str = "") -> None:
    """Raises InvalidInput where the outcomes tell success or cost of no routed row; ``also``: what else is wrong."""
    matched, _ = match_outcomes(routed, outcomes)
    if pc.any(pc.or_(matched["success"].is_valid(), matched["billed_usd"].is_valid())).as_py():
        return
    unknown = strays(routed, outcomes)
    if len(unknown) == len(outcomes):
        raise InvalidInput(
            f"no row is of an instruction and the model that it was routed to; the file has {named(unknown)}",
            remedy="Give instruction_id and model as the routed batch in the outbox has them",
        )
    raise InvalidInput(
        "no row of a routed instruction has a success or a cost" + (f"; {also}" if also else ""),
        remedy="Fill success with 0 or 1, or a fraction in between, or cost in USD",
    )


def _latest(
    instruction_id: np.ndarray,
    model: np.ndarray,
    fields: dict[str, np.ndarray],
    contradicted: np.ndarray,
    unused: tuple[str, ...] = (),
) -> Outcomes:
    numbers: dict[tuple[str, str], int] = {}
    pairs = zip(instruction_id, model, strict=True)
    code = np.fromiter((numbers.setdefault(pair, len(numbers)) for pair in pairs), np.int64, len(instruction_id))
    first = np.unique(code, return_index=True)[1]
    latest = {}
    for name, values in fields.items():
        known = ~np.isnan(values)
        latest[name] = np.full(len(first), np.nan)
        latest[name][code[known]] = values[known]  # numpy assigns in order: the last mention stands
    low, high = np.full(len(first), np.inf), np.full(len(first), -np.inf)
    np.fmin.at(low, code, fields["success"])
    np.fmax.at(high, code, fields["success"])
    differing = low < high
    differing[code[contradicted]] = True
    return Outcomes(instruction_id[first], model[first], **latest, contradicted=differing, unused=unused)
