"""The first sweep: check every part and draw the sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from routing_assets.allocation import validation as check
from routing_assets.allocation.errors import InfeasibleConstraints
from routing_assets.allocation.parts import Part
from routing_assets.allocation.solver.source import Arrays, Located, Source, sample_of
from routing_assets.engine import Engine
from routing_assets.foundation.errors import InvalidInput


@dataclass(frozen=True, eq=False)
class _Inspected:
    columns: int
    precision: tuple[str, str]
    barred: bool
    """Whether some pairs are not allowed."""
    sample: Arrays
    hopeless: int
    """Number of rows without an allowed model."""
    first_hopeless: int
    """Row number, in the whole batch, of the first such row."""


def inspect(parts: Sequence[Part], models: Sequence[str] | None, seed: int, engine: Engine) -> tuple[Source, bool]:
    """Check all parts; return them as a :class:`Source` with its sample, and whether any pair is forbidden.

    Raises InvalidInput naming part, row and model, and InfeasibleConstraints if an instruction has no allowed model.
    """
    rows = sum(part.rows for part in parts)
    if rows == 0:
        raise InvalidInput("the batch is empty", remedy="Allocate at least one instruction")
    source = Source(parts, 1, seed, engine=engine)
    found = list(source.sweep(_inspect_part, models))
    filled = [at for at, part in enumerate(parts) if part.rows]
    first = found[filled[0]]
    for number in filled:
        if found[number].columns != first.columns:
            raise InvalidInput(f"{found[number].columns} models after {first.columns}", source=f"part {number}")
        if found[number].precision != first.precision:
            raise InvalidInput(
                f"success and cost are {' and '.join(found[number].precision)} after {' and '.join(first.precision)}",
                source=f"part {number}",
                remedy="Write all parts in one precision",
            )
    if hopeless := sum(part.hopeless for part in found):
        row = next(part.first_hopeless for part in found if part.hopeless)
        raise InfeasibleConstraints(("forbidden",), f"Row {row} is left without a model ({hopeless} such rows)")
    source.columns, source.names = first.columns, check.model_names(models, first.columns)
    source.keep_sample([found[number].sample for number in filled])
    return source, any(part.barred for part in found)


def _inspect_part(located: Located, models: Sequence[str] | None) -> _Inspected:
    success, cost, allowed = located.part.read()
    if len(success) != located.part.rows:
        raise InvalidInput(f"{len(success)} rows, and {located.part.rows} were announced", source=_name(located))
    if not len(success):
        return _Inspected(0, ("", ""), False, (success, cost, allowed), 0, 0)
    try:
        names = check.model_names(models, check.success_matrix(success).shape[1])
        check.per_model_or_pair(cost, "cost", names, len(success))
    except InvalidInput as error:
        raise InvalidInput(
            error.problem, source=_name(located), row=error.row, column=error.column, remedy=error.remedy
        ) from None
    if allowed is not None and (allowed.dtype != np.bool_ or allowed.shape != success.shape):
        raise InvalidInput(
            f"allowed must be bool of shape {success.shape}, not {allowed.dtype} {allowed.shape}", source=_name(located)
        )
    hopeless = np.empty(0, int) if allowed is None else np.flatnonzero(~allowed.any(axis=1))
    first = located.first + int(hopeless[0]) if hopeless.size else 0
    precision = (str(success.dtype), str(cost.dtype))
    sample = sample_of(located)
    return _Inspected(success.shape[1], precision, allowed is not None, sample, hopeless.size, first)


def _name(located: Located) -> str:
    return f"part {located.number}"
