"""Concatenates two label tables, whose models may differ."""

from __future__ import annotations

from typing import Any

import numpy as np

from routing_assets.datasets.labels import PER_MODEL_SUFFIXES, RESERVED_COLUMNS, LabelledInstructions


def append_labels(base: LabelledInstructions, more: LabelledInstructions) -> LabelledInstructions:
    """``base`` followed by the rows of ``more``, under the base's name; models new to it come after its own.

    Values that a table lacks are NaN in success, costs and tokens, and None in task and group.

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

    def amounts(name: str) -> np.ndarray | None:
        parts = [getattr(labels, name) for labels in (base, more)]
        if parts[0] is None and parts[1] is None:
            return None
        joined = np.full((len(base) + len(more), len(models)), np.nan)
        if parts[0] is not None:
            joined[: len(base), : len(base.models)] = parts[0]
        if parts[1] is not None:
            joined[len(base) :, [models.index(model) for model in more.models]] = parts[1]
        return joined

    columns: dict[str, Any] = {name: texts(name) for name in RESERVED_COLUMNS}
    columns |= {name: amounts(name) for name in ("success", *PER_MODEL_SUFFIXES)}
    return LabelledInstructions(name=base.name, models=models, simulated=base.simulated, **columns)
