"""The model catalog as a table, and back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from routing_assets.foundation.errors import InvalidInput
from routing_assets.pricing.catalog import (
    ATTACHMENT_PRICES,
    FURTHER_PRICES,
    PLACE,
    ModelCatalog,
    ModelEntry,
    as_row,
    load_catalog,
    twin_catalog,
)
from routing_assets.pricing.price_lists.reading import price_list

SIMULATED = "simulated:"


_CATALOG_SCHEMA = pa.schema(
    [
        ("name", pa.string()),
        ("input_price", pa.float64()),
        ("output_price", pa.float64()),
        ("latency_s", pa.float64()),
        ("min_share", pa.float64()),
        ("max_share", pa.float64()),
        ("capacity", pa.int64()),
        ("context_tokens", pa.int64()),
        ("tags", pa.list_(pa.string())),
    ]
)

_TIER = pa.struct(
    [
        ("above_tokens", pa.int64()),
        *((name, pa.float64()) for name in ("input_price", "output_price", "cached_input_price")),
    ]
)
_PLACE_TYPES = (pa.string(), pa.string(), pa.list_(pa.string()))


def absolute(source: str) -> str:
    """The source with its path made absolute, for a later run may start from another folder."""
    return source if source.startswith(SIMULATED) else str(Path(source).absolute())


def read_catalog(source: str | None, models: Sequence[str] = ()) -> ModelCatalog | None:
    """The model catalog, or published price list, at ``source``; None where costs come from the label table.

    Args:
        models: those to take from it, each as NAME or NAME=LISTED, where it has another name there; none for all.

    Raises:
        InvalidInput: it cannot be read, lacks a model, or says of one no price of calls.
    """
    wanted = _wanted(models)
    if source is None:
        if wanted:
            raise InvalidInput("models are named, but no catalog", remedy="Give the list that they are in: --catalog")
        return None
    listed = None if source.startswith(SIMULATED) else price_list(Path(source))
    if listed is not None:
        return ModelCatalog(listed.entries(wanted), source)
    catalog = twin_catalog(source.removeprefix(SIMULATED)) if source.startswith(SIMULATED) else load_catalog(source)
    return catalog.called(wanted) if wanted else catalog


def _wanted(models: Sequence[str]) -> dict[str, str]:
    """By each model's name, its name in the list."""
    pairs = [named.partition("=") for of_option in models for named in of_option.split(",")]
    wanted = {ours.strip(): (theirs if mapped else ours).strip() for ours, mapped, theirs in pairs}
    if len(wanted) < len(pairs) or not all((*wanted, *wanted.values())):
        raise InvalidInput(
            f"the models {', '.join(models)!r} are blank or named twice",
            source="--models",
            remedy="Write names with commas between them, NAME=LISTED where the list has another one",
        )
    return wanted


def catalog_table(catalog: ModelCatalog | None) -> pa.Table:
    """One row per model of the catalog; no rows for None."""
    rows = [as_row(entry) for entry in catalog.models] if catalog else []
    types = {
        **dict.fromkeys((*ATTACHMENT_PRICES, *FURTHER_PRICES), pa.float64()),
        "tiers": pa.list_(_TIER),
        **dict(zip(PLACE, _PLACE_TYPES, strict=True)),
    }
    also = [(name, kind) for name, kind in types.items() if any(name in row for row in rows)]
    return pa.Table.from_pylist(rows, schema=pa.schema([*_CATALOG_SCHEMA, *also]))


def catalog_from_table(table: pa.Table) -> ModelCatalog | None:
    """Inverse of :func:`catalog_table`."""
    return catalog_from_rows(table.to_pylist())


def catalog_from_rows(rows: list[dict[str, Any]]) -> ModelCatalog | None:
    """The catalog of the rows' models; None when there are none."""
    entries = tuple(
        ModelEntry(**{name: _restored(value) for name, value in row.items() if value is not None}) for row in rows
    )
    return ModelCatalog(entries) if entries else None


def _restored(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
