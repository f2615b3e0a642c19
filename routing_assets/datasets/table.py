"""Users' own label tables, wide or long, in Parquet, CSV or JSONL.

Wide: ``instruction_id, instruction, [task], [group]``, one column per model with its success in [0, 1], optionally
``<model>|cost`` (USD), ``<model>|input_tokens``, ``<model>|output_tokens``, ``<model>|cached_tokens``,
``<model>|reasoning_tokens``, ``<model>|trials``, and signals of the answers such as ``<model>|agreement`` (see
``signals.py``).
Long: ``instruction_id, instruction, model, success, [task], [group], [cost], [input_tokens], [output_tokens],
[cached_tokens], [reasoning_tokens], [trials]`` and signals; one row a call, or one row a pair with the mean success of
so many trials.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from shlex import quote
from typing import Any

import numpy as np

from routing_assets.datasets.column_mapping import MadeIds, map_columns
from routing_assets.datasets.column_names import LIKELY, missing_columns_remedy
from routing_assets.datasets.labels import (
    PER_MODEL_SUFFIXES,
    RESERVED_COLUMNS,
    LabelledInstructions,
    is_stored,
)
from routing_assets.datasets.reading import RawTable
from routing_assets.datasets.signals import KNOWN, is_signal, signal_columns, signal_matrices
from routing_assets.datasets.validation import (
    all_columns,
    amount_column,
    check_ignored,
    check_unique,
    default_name,
    has_values,
    optional_text_column,
    require_columns,
    success_column,
    text_column,
)
from routing_assets.foundation.errors import InvalidInput

_AMOUNTS = {
    "cost": "cost in USD",
    "input_tokens": "number of tokens",
    "output_tokens": "number of tokens",
    "cached_tokens": "number of tokens",
    "reasoning_tokens": "number of tokens",
    "trials": "number of trials",
}
_LONG = (*RESERVED_COLUMNS, "model", "success", *PER_MODEL_SUFFIXES)
_REQUIRED = ("instruction_id", "instruction")
_LONG_REQUIRED = (*_REQUIRED, "model", "success")
_INDEX = re.compile(r"|Unnamed: \d+|__index_level_\d+__")
"""What pandas calls an index that it writes as a column."""
_NO_SUCCESS = re.compile(r".*[^a-z0-9](cost|costs|price|tokens|latency|seconds|usd)", re.IGNORECASE)
_ALIASES = {"total_cost": "cost"}


def table_labels(
    raw: RawTable,
    *,
    name: str | None = None,
    ignore_columns: Sequence[str] = (),
    allow_missing: bool = False,
    columns: Mapping[str, str] | None = None,
    made_ids: MadeIds | None = None,
    success_scale: float = 1.0,
    signals: Sequence[str] = (),
) -> LabelledInstructions:
    """A wide or long label table as labelled instructions; one with columns ``model`` and ``success`` is long.

    A long table may have a pair of instruction and model more than once: repeated trials, whose mean success is kept
    with their number.

    Args:
        raw: The table as read.
        name: The dataset's name; the file's own by default.
        ignore_columns: Columns that are neither part of the layout nor a model.
        allow_missing: Read an empty success cell as "unlabelled" instead of refusing it. An (instruction, model) pair
            that a long table does not mention is unlabelled in any case.
        columns: By our name, the table's own. A long table may then have further columns, which are not read.
        made_ids: Make the ids, see :func:`map_columns`.
        success_scale: The greatest success that a cell can have.
        signals: Names of signals beside those that are known by their names.

    Raises:
        InvalidInput: naming file, row and column of the first fault found.
    """
    if is_stored(raw.columns.schema):
        return _restored(raw)
    check_ignored(raw, ignore_columns)
    raw = RawTable(raw.source, raw.columns.drop_columns(list(ignore_columns)), raw.first_row)
    raw = map_columns(raw, columns or {}, made_ids)
    names = raw.columns.column_names
    looks_long = not {name.lower() for name in names}.isdisjoint(("model", *LIKELY["model"]))
    require_columns(raw, _REQUIRED, remedy=missing_columns_remedy(names, _LONG_REQUIRED if looks_long else _REQUIRED))
    present = set(names)
    if "model" in present and "success" not in present:
        raise InvalidInput(
            "there is a column 'model' but no column 'success'",
            source=raw.source,
            remedy="Name the column that holds the success of a call (--success-column; long table); "
            "in a wide table, give the column 'model' the name of its LLM, or ignore it (--ignore-column model)",
        )
    name = default_name(raw.source, name)
    if "model" not in present:
        return _read_wide(raw, name, allow_missing, success_scale, signals)
    if columns:
        kept = [column for column in raw.columns.column_names if column in _LONG or is_signal(column, signals)]
        raw = RawTable(raw.source, raw.columns.select(kept), raw.first_row)
    return _read_long(raw, name, allow_missing, success_scale, signals)


def _restored(raw: RawTable) -> LabelledInstructions:
    try:
        return LabelledInstructions.from_arrow(raw.columns)
    except InvalidInput as error:
        raise error.of(raw.source) from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidInput(
            f"the description stored in the table does not fit it ({error})",
            source=raw.source,
            remedy="Write the table without its metadata, as an ordinary label table",
        ) from error


def _read_wide(
    raw: RawTable, name: str, allow_missing: bool, scale: float, signals: Sequence[str]
) -> LabelledInstructions:
    ids = text_column(raw, "instruction_id")
    check_unique(raw, "instruction_id", ids)
    models, per_model = _split_wide_columns(raw, signals)
    amount_columns = {key: column for key, column in per_model.items() if key[1] in PER_MODEL_SUFFIXES}
    of_signals = {key: column for key, column in per_model.items() if key not in amount_columns}

    def success_of(model: str) -> np.ndarray:
        return success_column(raw, model, allow_missing=allow_missing, remedy=_model_column_remedy(model), scale=scale)

    success = all_columns(success_of, models)
    for model, values in zip(models, success, strict=True):
        if np.isnan(values).all():
            raise InvalidInput(
                "the model has no success value at all",
                source=raw.source,
                column=model,
                remedy=_model_column_remedy(model),
            )
    amounts: dict[str, Any] = {}
    for (model, suffix), column in amount_columns.items():
        matrix = amounts.setdefault(suffix, np.full((len(raw), len(models)), np.nan))
        matrix[:, models.index(model)] = amount_column(raw, column, _AMOUNTS[suffix])
    return LabelledInstructions(
        name=name,
        models=tuple(models),
        instruction_id=ids,
        instruction=text_column(raw, "instruction"),
        success=np.column_stack(success),
        task=optional_text_column(raw, "task"),
        group=optional_text_column(raw, "group"),
        signals=signal_matrices(raw, of_signals, models),
        **amounts,
    )


def _split_wide_columns(raw: RawTable, signals: Sequence[str]) -> tuple[list[str], dict[tuple[str, str], str]]:
    """The models, and the column of each (model, kind of amount) and (model, signal)."""
    others = [name for name in raw.columns.column_names if name not in RESERVED_COLUMNS and not _INDEX.fullmatch(name)]
    per_model = [
        column
        for column in others
        if (suffix := _suffix(column)) and (suffix in PER_MODEL_SUFFIXES or is_signal(suffix, signals))
    ]
    models = [column for column in others if column not in per_model]
    if not models:
        raise InvalidInput(
            "there is no model column",
            source=raw.source,
            remedy="Add one column per model with its success (wide), or the columns 'model' and 'success' (long)",
        )
    if no_success := [column for column in models if _NO_SUCCESS.fullmatch(column)]:
        raise InvalidInput(
            "by its name, the column holds an amount, not the success of a model",
            source=raw.source,
            column=no_success[0],
            remedy="Call it by its model and what it holds, such as 'small|cost' or 'small|input_tokens', or leave it "
            f"out (--ignore-column {quote(no_success[0])})",
        )
    amounts: dict[tuple[str, str], str] = {}
    for column in per_model:
        model, suffix = column.rpartition("|")[0], _suffix(column)
        if model not in models:
            raise InvalidInput(
                f"there is no success column for the model {model!r}",
                source=raw.source,
                column=column,
                remedy=f"Add the column {model!r}, or pass ignore_columns=[{column!r}] (--ignore-column)",
            )
        if (model, suffix) in amounts:
            raise InvalidInput(
                f"the {suffix} of {model!r} is already given by {amounts[model, suffix]!r}",
                source=raw.source,
                column=column,
                remedy="Remove one of the two columns",
            )
        amounts[model, suffix] = column
    return models, amounts


def _suffix(column: str) -> str:
    suffix = column.rpartition("|")[2] if "|" in column else ""
    return _ALIASES.get(suffix, suffix)


def _model_column_remedy(column: str) -> str:
    return (
        f"A column of a wide table that is not {', '.join(RESERVED_COLUMNS)} holds a model's success in [0, 1]; "
        f"if it is not a model, pass ignore_columns=[{column!r}] (--ignore-column) or remove it"
    )


def _read_long(
    raw: RawTable, name: str, allow_missing: bool, scale: float, signals: Sequence[str]
) -> LabelledInstructions:
    of_signals = [column for column in raw.columns.column_names if is_signal(column, signals) and column not in _LONG]
    for column in raw.columns.column_names:
        if column not in _LONG and column not in of_signals:
            raise InvalidInput(
                "the column is not part of a long label table",
                source=raw.source,
                column=column,
                remedy=f"Pass ignore_columns=[{column!r}] (--ignore-column), name it as a signal of the answers "
                f"(--signal {column}) or remove it; known are {', '.join((*_LONG, *sorted(KNOWN)))}",
            )
    ids, row_model = text_column(raw, "instruction_id"), text_column(raw, "model")
    first, i = _codes(ids)
    first_of_model, k = _codes(row_model)
    texts: dict[str, Any] = {
        column: _constant_per_id(raw, column, first, i)
        for column in RESERVED_COLUMNS
        if column in _REQUIRED or (column in raw.columns.column_names and has_values(raw, column))
    }
    remedy = "Write 0 or 1, or a fraction in between"
    success = success_column(raw, "success", allow_missing=allow_missing, remedy=remedy, scale=scale)
    pair, shape = i * len(first_of_model) + k, (len(first), len(first_of_model))
    amounts: dict[str, Any] = {
        suffix: _means(amount_column(raw, suffix, _AMOUNTS[suffix]), pair, shape)
        for suffix in PER_MODEL_SUFFIXES
        if suffix in raw.columns.column_names
    }
    if "trials" not in amounts:
        trials = np.bincount(pair[np.isfinite(success)], minlength=shape[0] * shape[1]).reshape(shape)
        if trials.max(initial=0) > 1:
            amounts["trials"] = np.where(trials > 0, trials, np.nan)
    values = {column: signal_columns(raw, [column], column)[0] for column in of_signals}
    return LabelledInstructions(
        name=name,
        models=tuple(row_model[first_of_model]),
        success=_means(success, pair, shape),
        signals={
            column: _first(v, pair, shape) if v.dtype == object else _means(v, pair, shape)
            for column, v in values.items()
            if v is not None
        },
        **texts,
        **amounts,
    )


def _means(values: np.ndarray, pair: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """(N, K) mean of the known values of each pair; NaN where there is none."""
    known, cells = np.isfinite(values), shape[0] * shape[1]
    count = np.bincount(pair[known], minlength=cells)
    total = np.bincount(pair[known], weights=values[known], minlength=cells)
    return np.divide(total, count, out=np.full(cells, np.nan), where=count > 0).reshape(shape)


def _first(values: np.ndarray, pair: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """(N, K) the first class of each pair; None where there is none."""
    first = np.full(shape[0] * shape[1], None, dtype=object)
    known = np.flatnonzero([value is not None for value in values])[::-1]
    first[pair[known]] = values[known]
    return first.reshape(shape)


def _codes(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The row where each distinct value first appears, in order; and each row's place in that order."""
    numbers: dict[str, int] = {}
    codes = np.fromiter((numbers.setdefault(value, len(numbers)) for value in values), np.int64, len(values))
    return np.unique(codes, return_index=True)[1], codes


def _constant_per_id(raw: RawTable, column: str, first: np.ndarray, code: np.ndarray) -> np.ndarray:
    values = text_column(raw, column)
    differs = values != values[first][code]
    if differs.any():
        row = differs.argmax()
        raise InvalidInput(
            f"the same instruction_id has another {column} in row {raw.row(first[code[row]])}",
            source=raw.source,
            row=raw.row(row),
            column=column,
            remedy="Give different instructions different ids",
        )
    return values[first]
