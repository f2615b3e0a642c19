"""Labels and prices by name: a file, a dataset folder, or ``simulated:<twin>``."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from routing_assets.datasets import LabelFormat, LabelledInstructions, load_labels
from routing_assets.datasets.reading import remarks_on
from routing_assets.datasets.simulated import PUBLISHED, Twin, simulate
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.files import file_sha256
from routing_assets.pricing.catalog import (
    ModelCatalog,
    twin_catalog,
)
from routing_assets.pricing.catalog_table import SIMULATED


def read_labels(
    source: str,
    *,
    format: str = "auto",
    ignore_columns: Sequence[str] = (),
    allow_missing: bool = False,
    columns: Mapping[str, str] | None = None,
    made_ids: str | None = None,
    success_scale: float = 1.0,
    preferences: str | None = None,
    encoding: str | None = None,
    signals: Sequence[str] | bool = (),
    check_auc: float | None = None,
    size: int | None = None,
    seed: int = 0,
) -> LabelledInstructions:
    """The labelled instructions at ``source``.

    Args:
        ignore_columns: of a table; neither part of its layout nor a model.
        allow_missing: take what has no success for unlabelled instead of refusing it.
        columns, made_ids, success_scale: see ``table_labels``.
        preferences, encoding: see ``load_labels``.
        preferences, signals: see ``load_labels``.
        check_auc: of a simulated twin, whose answers then have a check of this quality.
        size: of a simulated twin, and ``seed``.

    Raises:
        InvalidInput: the labels cannot be used, or a size is given of what is not simulated.
    """
    if source.startswith(SIMULATED):
        return simulate(cast(Twin, source.removeprefix(SIMULATED)), size=size, seed=seed, check_auc=check_auc)
    if check_auc is not None:
        raise InvalidInput(
            "the AUC of a check is given, and only simulated labels have one", source=source, remedy="Leave it out."
        )
    if size is not None:
        raise InvalidInput(
            f"a size of {size} is given, and only simulated labels have one",
            source=source,
            remedy="Leave the size out, or give a table of fewer rows.",
        )
    return load_labels(
        Path(source),
        format=cast(LabelFormat, format),
        preferences=preferences,
        encoding=encoding,
        signals=signals,
        ignore_columns=ignore_columns,
        allow_missing=allow_missing,
        columns=columns or {},
        made_ids=made_ids,
        success_scale=success_scale,
    )


def read_as(source: str) -> str:
    """What is unusual in how the labels at ``source`` are read, such as "separated by semicolons"; else empty."""
    path = Path(source)
    return ", ".join(remarks_on(path)) if path.is_file() and not source.endswith(".eval") else ""


def source_sha256(source: str) -> str | None:
    """SHA-256 (hex) of a label file, or over the names and contents of a dataset folder; None for what is simulated."""
    if source.startswith(SIMULATED):
        return None
    path = Path(source)
    if path.is_file():
        return file_sha256(path)
    digest = hashlib.sha256()
    for file in sorted(file for file in path.rglob("*") if file.is_file()):
        digest.update(f"{file.relative_to(path)}\0{file_sha256(file)}\n".encode())
    return digest.hexdigest()


def is_simulated(catalog: ModelCatalog) -> bool:
    """Whether its prices are those of a simulated twin, by name and price."""
    prices = {(entry.name, entry.input_price, entry.output_price) for entry in catalog.models}
    twins = ({(e.name, e.input_price, e.output_price) for e in twin_catalog(twin).models} for twin in PUBLISHED)
    return any(prices <= of_twin for of_twin in twins)
