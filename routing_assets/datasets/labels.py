"""The one table every label source becomes: which model succeeded on which instruction."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.names import printable

RESERVED_COLUMNS = ("instruction_id", "instruction", "task", "group")
PER_MODEL_SUFFIXES = ("cost", "input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens", "trials")
PARTS = {"cached_tokens": "input_tokens", "reasoning_tokens": "output_tokens"}
"""Counts of tokens that are part of another count."""
_METADATA_KEY = b"routing_assets.labelled_instructions"


@dataclass(frozen=True, eq=False)
class LabelledInstructions:
    """N instructions with the recorded success of K models on each of them.

    Attributes:
        name: Name of the dataset, shown wherever its numbers are shown.
        models: The K model names, unique, in column order.
        instruction_id: (N,) object array of str, unique.
        instruction: (N,) object array of str.
        success: (N, K) float32 in [0, 1]; NaN where the pair is unlabelled.
        cost: (N, K) float64, USD of that one call; NaN where unknown.
        input_tokens: (N, K) float64; NaN where unknown.
        output_tokens: (N, K) float64; NaN where unknown.
        cached_tokens: (N, K) float64, of the input tokens those that were read from a cache; NaN means none.
        reasoning_tokens: (N, K) float64, of the output tokens those of reasoning; NaN where unknown.
        trials: (N, K) float64, how many calls the success is the mean of; NaN means one.
        task: (N,) object array of str, the task each instruction belongs to.
        group: (N,) object array of str; instructions of one group never straddle two splits.
        simulated: True when the labels were drawn from a model of the world, not measured.
        signals: By name, what is known about each answer once it is there, such as ``agreement``: (N, K) float64 with
            NaN where unknown, or object arrays of str (classes) with None where unknown.

    Raises:
        InvalidInput: when shapes differ, names or ids repeat, or values leave their range.
    """

    name: str
    models: tuple[str, ...]
    instruction_id: np.ndarray
    instruction: np.ndarray
    success: np.ndarray
    cost: np.ndarray | None = None
    input_tokens: np.ndarray | None = None
    output_tokens: np.ndarray | None = None
    cached_tokens: np.ndarray | None = None
    reasoning_tokens: np.ndarray | None = None
    trials: np.ndarray | None = None
    task: np.ndarray | None = None
    group: np.ndarray | None = None
    simulated: bool = False
    signals: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "models", tuple(self.models))
        for column in RESERVED_COLUMNS:
            _coerce(self, column, object)
        _coerce(self, "success", np.float32)
        for suffix in PER_MODEL_SUFFIXES:
            _coerce(self, suffix, np.float64)
        object.__setattr__(self, "signals", {name: _signal(values) for name, values in sorted(self.signals.items())})
        self._check()

    def __len__(self) -> int:
        return len(self.instruction_id)

    def __repr__(self) -> str:
        kind = "simulated" if self.simulated else "measured"
        return f"LabelledInstructions({self.name!r}, {len(self)} instructions x {len(self.models)} models, {kind})"

    @property
    def calls(self) -> np.ndarray:
        """(N, K) float32, how many calls are behind each success; 0 where there is none."""
        labelled = ~np.isnan(self.success)
        trials = 1.0 if self.trials is None else np.nan_to_num(self.trials, nan=1.0)
        return np.where(labelled, trials, 0.0).astype(np.float32)

    def take(self, rows: np.ndarray | Sequence[int] | slice) -> LabelledInstructions:
        """The given rows (indices, boolean mask or slice) in the given order, with all K models."""
        index = rows if isinstance(rows, slice) else np.asarray(rows)
        arrays: dict[str, Any] = {
            name: values[index] for name, values in vars(self).items() if isinstance(values, np.ndarray)
        }
        return replace(self, **arrays, signals={name: values[index] for name, values in self.signals.items()})

    def of_models(self, models: Sequence[str]) -> LabelledInstructions:
        """The named models' columns, in the order of ``models``; all N rows."""
        columns = [self.models.index(model) for model in models]
        amounts: dict[str, Any] = {
            name: None if (values := getattr(self, name)) is None else values[:, columns]
            for name in ("success", *PER_MODEL_SUFFIXES)
        }
        signals = {name: values[:, columns] for name, values in self.signals.items()}
        return replace(self, models=tuple(models), signals=signals, **amounts)

    def without_signals(self) -> LabelledInstructions:
        """The same labels without what is known about the answers."""
        return replace(self, signals={})

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 (hex) of models, ids, texts and values; the dataset's name is not part of it."""
        digest = hashlib.sha256(json.dumps([self.models, self.simulated]).encode())
        arrays = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "signals"}
        arrays |= {f"signal {name}": values for name, values in self.signals.items()}
        for name, value in arrays.items():
            if isinstance(value, np.ndarray):
                digest.update(f"\0{name}{value.shape}".encode())
                for part in _canonical_bytes(value):
                    digest.update(part)
        return digest.hexdigest()

    def to_arrow(self) -> pa.Table:
        """The wide label table (one column per model, ``<model>|cost`` …), lossless.

        Name, models and ``simulated`` travel in the schema's metadata, so :meth:`from_arrow` restores the object;
        any other reader sees an ordinary wide table with nulls where a value is unknown.
        """
        columns: dict[str, pa.Array] = {}
        for column in RESERVED_COLUMNS:
            if (values := getattr(self, column)) is not None:
                columns[column] = pa.array(values, pa.string())
        for k, model in enumerate(self.models):
            columns[model] = pa.array(self.success[:, k], from_pandas=True)
        for suffix in PER_MODEL_SUFFIXES:
            if (values := getattr(self, suffix)) is not None:
                for k, model in enumerate(self.models):
                    columns[f"{model}|{suffix}"] = pa.array(values[:, k], from_pandas=True)
        for signal, values in self.signals.items():
            for k, model in enumerate(self.models):
                columns[f"{model}|{signal}"] = pa.array(values[:, k], _signal_type(values), from_pandas=True)
        about: dict[str, Any] = {"name": self.name, "models": self.models, "simulated": self.simulated}
        if self.signals:
            about["signals"] = list(self.signals)
        return pa.table(columns).replace_schema_metadata({_METADATA_KEY: json.dumps(about).encode()})

    @classmethod
    def from_arrow(cls, table: pa.Table) -> LabelledInstructions:
        """Restores what :meth:`to_arrow` wrote.

        Raises:
            InvalidInput: when the table was not written by :meth:`to_arrow`.
        """
        if not is_stored(table.schema):
            raise InvalidInput(
                "this table carries no description of a label dataset", remedy="Read foreign tables with load_labels()"
            )
        about = json.loads(table.schema.metadata[_METADATA_KEY])
        models = tuple(about["models"])

        def matrix(suffix: str | None) -> np.ndarray | None:
            names = [model if suffix is None else f"{model}|{suffix}" for model in models]
            if not set(names) <= set(table.column_names):
                return None
            columns = [table[name].to_numpy(zero_copy_only=False) for name in names]
            return np.column_stack(columns) if columns else np.empty((len(table), 0))

        texts: dict[str, Any] = {
            column: table[column].to_numpy(zero_copy_only=False)
            for column in RESERVED_COLUMNS
            if column in table.column_names
        }
        success = matrix(None)
        if success is None:
            raise InvalidInput("a model's success column is missing", remedy="Store the table again")
        optional: dict[str, Any] = {suffix: matrix(suffix) for suffix in PER_MODEL_SUFFIXES}
        signals = {name: values for name in about.get("signals", ()) if (values := matrix(name)) is not None}
        return cls(
            name=about["name"],
            models=models,
            success=success,
            signals=signals,
            simulated=about["simulated"],
            **texts,
            **optional,
        )

    def _check(self) -> None:
        n, k = len(self.instruction_id), len(self.models)
        if k == 0:
            raise InvalidInput("there are no models", source=self.name)
        if len(set(self.models)) != k:
            raise InvalidInput("a model name occurs twice", source=self.name)
        suffixes = tuple(f"|{suffix}" for suffix in PER_MODEL_SUFFIXES)
        for model in self.models:
            if model in RESERVED_COLUMNS or model.endswith(suffixes):
                raise InvalidInput(
                    f"a model cannot be called {model!r}, as the label table has columns of that kind",
                    source=self.name,
                    remedy="Rename the model",
                )
        arrays = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "signals"}
        for name, value in {**arrays, **self.signals}.items():
            if isinstance(value, np.ndarray):
                wanted = (n,) if name in RESERVED_COLUMNS else (n, k)
                if value.shape != wanted:
                    raise InvalidInput(f"{name} has shape {value.shape}, not {wanted}", source=self.name)
        if len(set(self.instruction_id.tolist())) != n:
            raise InvalidInput("instruction ids repeat", source=self.name, column="instruction_id")
        if np.any((self.success < 0) | (self.success > 1)):
            raise InvalidInput("success lies outside [0, 1]", source=self.name, column="success")
        for suffix in PER_MODEL_SUFFIXES:
            values = getattr(self, suffix)
            if values is not None and np.any((values < 0) | np.isinf(values)):
                raise InvalidInput(f"{suffix} is negative or infinite", source=self.name, column=suffix)
        for part, whole in PARTS.items():
            of_part, of_whole = getattr(self, part), getattr(self, whole)
            if of_part is not None and of_whole is not None and (more := of_part > of_whole).any():
                n, k = np.argwhere(more)[0]
                raise InvalidInput(
                    f"{self.models[k]!r} has {of_part[n, k]:g} {part} but {of_whole[n, k]:g} {whole}, of which they "
                    f"are a part, for the instruction {printable(str(self.instruction_id[n]))!r}",
                    source=self.name,
                    column=part,
                    remedy=f"Add them to {whole}: all such tokens count there",
                )


def is_stored(schema: pa.Schema) -> bool:
    """Whether a table says that :meth:`LabelledInstructions.to_arrow` wrote it."""
    return _METADATA_KEY in (schema.metadata or {})


def _signal(values: Any) -> np.ndarray:
    values = np.asarray(values)
    return values if values.dtype == object else values.astype(np.float64)


def _signal_type(values: np.ndarray) -> pa.DataType:
    return pa.string() if values.dtype == object else pa.float64()


def _coerce(labels: LabelledInstructions, attribute: str, dtype: Any) -> None:
    value = getattr(labels, attribute)
    if value is not None:
        object.__setattr__(labels, attribute, np.asarray(value, dtype=dtype))


def _canonical_bytes(values: np.ndarray) -> list[bytes]:
    if values.dtype == object:
        encoded = [str(value).encode() for value in values.ravel()]
        lengths = np.fromiter((len(text) for text in encoded), dtype="<i8", count=len(encoded))
        return [lengths.tobytes(), *encoded]
    little_endian = np.where(np.isnan(values), np.nan, values + 0.0)  # one NaN, one zero
    return [little_endian.astype(values.dtype.newbyteorder("<")).tobytes()]
