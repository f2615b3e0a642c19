"""Concatenates two label tables, whose models may differ."""

from __future__ import annotations

from typing import Any

import numpy as np

from routing_assets.datasets.labels import PER_MODEL_SUFFIXES, RESERVED_COLUMNS, LabelledInstructions


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


def _classes(values: np.ndarray | None) -> np.ndarray | None:
    if values is None or values.dtype == object:
        return values
    classes = values.astype(str).astype(object)
    classes[np.isnan(values)] = None
    return classes
