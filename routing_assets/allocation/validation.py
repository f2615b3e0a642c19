"""Checks of a problem's inputs; messages name the invalid row and model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from routing_assets.foundation.errors import InvalidInput


def success_matrix(success: Any) -> np.ndarray:
    """Return ``success`` as a float (N, K) array with every entry in [0, 1]."""
    matrix = as_floats(success, "success")
    if matrix.ndim != 2:
        raise InvalidInput(f"success must have shape (instructions, models), not {matrix.shape}")
    if matrix.shape[0] == 0:
        raise InvalidInput("the batch is empty", remedy="Allocate at least one instruction")
    if matrix.shape[1] == 0:
        raise InvalidInput("there are no models", remedy="Give success at least one column")
    in_range(matrix, "success", None, low=0.0, high=1.0)
    return matrix


def model_names(models: Sequence[str] | None, count: int) -> tuple[str, ...]:
    """Return ``count`` distinct model names."""
    if models is None:
        return tuple(f"model_{k}" for k in range(count))
    names = tuple(str(name) for name in models)
    if len(names) != count:
        raise InvalidInput(f"{len(names)} model names for {count} columns of success")
    if len(set(names)) != count:
        raise InvalidInput(f"model '{next(name for name in names if names.count(name) > 1)}' is named twice")
    return names


def as_floats(values: Any, name: str) -> np.ndarray:
    """Return ``values`` as float32 or float64, copying only what is neither."""
    try:
        array = np.asarray(values)
        return array if array.dtype in (np.float32, np.float64) else array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"{name} is not an array of numbers ({error})") from error


def in_range(values: np.ndarray, name: str, models: Sequence[str] | None, low: float, high: float) -> None:
    """Raise if an entry is NaN, infinite or outside [low, high], naming the first one."""
    smallest, largest = values.min(), values.max()  # one NaN makes both NaN
    if smallest >= low and largest <= high and math.isfinite(largest):
        return
    bad = ~((values >= low) & (values <= high) & np.isfinite(values))
    place = tuple(int(i) for i in np.argwhere(bad)[0])
    model = None if models is None and len(place) < 2 else place[-1]
    label = None if model is None else (models[model] if models is not None else f"model_{model}")
    where = f"at least {low:g}" if math.isinf(high) else f"between {low:g} and {high:g}"
    raise InvalidInput(
        f"{name} is {values[place]}, and must be finite and {where}",
        row=place[0] if len(place) == 2 or models is None else None,
        column=label,
        remedy=f"{int(bad.sum())} such entries in all",
    )


def per_model_or_pair(values: Any, name: str, models: Sequence[str] | None, n: int) -> np.ndarray:
    """Return a non-negative (K,) or (N, K) array."""
    array, k = as_floats(values, name), len(models or ())
    if array.shape not in ((k,), (n, k)):
        raise InvalidInput(f"{name} has shape {array.shape}, and must be ({k},) per model or ({n}, {k}) per pair")
    in_range(array, name, models, low=0.0, high=math.inf)
    return array


def limit(value: Any, name: str) -> float:
    """Return a limit that is at least 0; infinity means no limit."""
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"{name} must be a number, not {value!r}") from error
    if math.isnan(number) or number < 0:
        raise InvalidInput(f"{name} is {number}, and must be at least 0")
    return number


def per_model(values: Any, name: str, models: Sequence[str], default: float, high: float) -> np.ndarray:
    """Return one number per model in [0, high], (K,) float64, from a mapping or a sequence; ``default`` where none."""
    if isinstance(values, Mapping):
        unknown = [str(key) for key in values if key not in models]
        if unknown:
            raise InvalidInput(
                f"{name} names unknown models: {', '.join(unknown)}", remedy=f"Known: {', '.join(models)}"
            )
        values = [values.get(model) for model in models]
    numbers = [default if value is None or math.isnan(value) else float(value) for value in values]
    if len(numbers) != len(models):
        raise InvalidInput(f"{name} has {len(numbers)} entries for {len(models)} models")
    for model, number in zip(models, numbers, strict=True):
        if number < 0 or number > high:
            raise InvalidInput(f"{name} is {number}, and must be between 0 and {high:g}", column=model)
    return np.array(numbers)
