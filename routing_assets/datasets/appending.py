"""Two label tables, whose models may differ, as one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from routing_assets.datasets.labels import PER_MODEL_SUFFIXES, RESERVED_COLUMNS, LabelledInstructions
from routing_assets.foundation.errors import InvalidInput


def append_labels(base: LabelledInstructions, more: LabelledInstructions) -> LabelledInstructions:
    """``base`` followed by the rows of ``more``, under the base's name; models new to it come after its own.

    Values that a table lacks are NaN in success, costs, tokens and numeric signals, and None in task, group and
    signals that are classes. A signal that is a class in one of the tables is one in both.

    Raises:
        InvalidInput: both tables have the same instruction_id.
    """
    models = base.models + tuple(model for model in more.models if model not in base.models)

    def texts(name: str) -> np.ndarray | None:
        parts = [getattr(labels, name) for labels in (base, more)]
        if parts[0] is None and parts[1] is None:
            return None
        nothing = [np.full(len(labels), None, dtype=object) for labels in (base, more)]
        return np.concatenate([none if part is None else part for part, none in zip(parts, nothing, strict=True)])

    def pairs(first: np.ndarray | None, second: np.ndarray | None, unknown: float | None) -> np.ndarray:
        joined = np.full((len(base) + len(more), len(models)), unknown, dtype=object if unknown is None else np.float64)
        if first is not None:
            joined[: len(base), : len(base.models)] = first
        if second is not None:
            joined[len(base) :, [models.index(model) for model in more.models]] = second
        return joined

    def amounts(name: str) -> np.ndarray | None:
        parts = [getattr(labels, name) for labels in (base, more)]
        return None if parts[0] is None and parts[1] is None else pairs(parts[0], parts[1], np.nan)

    def signal(name: str) -> np.ndarray:
        first, second = base.signals.get(name), more.signals.get(name)
        if any(part is not None and part.dtype == object for part in (first, second)):
            return pairs(_classes(first), _classes(second), None)
        return pairs(first, second, np.nan)

    columns: dict[str, Any] = {name: texts(name) for name in RESERVED_COLUMNS}
    columns |= {name: amounts(name) for name in ("success", *PER_MODEL_SUFFIXES)}
    columns["signals"] = {name: signal(name) for name in {**base.signals, **more.signals}}
    return LabelledInstructions(name=base.name, models=models, simulated=base.simulated, **columns)


def merge_labels(base: LabelledInstructions, more: LabelledInstructions) -> LabelledInstructions:
    """Both tables as one. An instruction of both is one row, where the labels of ``more`` count.

    Raises:
        InvalidInput: an id has another text in each table.
    """
    place = {name: row for row, name in enumerate(base.instruction_id)}
    shared = np.array([name in place for name in more.instruction_id], bool)
    again = more.take(shared)
    rows = np.array([place[name] for name in again.instruction_id], np.int64)
    if (differ := base.instruction[rows] != again.instruction).any():
        raise InvalidInput(
            f"{again.instruction_id[differ.argmax()]!r} has another text in {base.name!r}",
            source=more.name,
            column="instruction",
            remedy="Give different instructions different ids",
        )
    table = append_labels(base, more.take(~shared))
    columns = np.array([table.models.index(model) for model in again.models])
    cells = np.ix_(rows, columns)
    amounts: dict[str, Any] = {}
    for name in ("success", *PER_MODEL_SUFFIXES):
        if (new := getattr(again, name)) is not None:
            amounts[name] = getattr(table, name).copy()
            amounts[name][cells] = np.where(np.isfinite(again.success), new, amounts[name][cells])
    return replace(table, **amounts)


def _classes(values: np.ndarray | None) -> np.ndarray | None:
    if values is None or values.dtype == object:
        return values
    classes = values.astype(str).astype(object)
    classes[np.isnan(values)] = None
    return classes
