"""The samples on the page of prices are read as the page says."""

from __future__ import annotations

from pathlib import Path

import pytest

from routing_assets.pricing.catalog import ModelCatalog
from routing_assets.pricing.catalog_table import read_catalog

PAGE = (Path(__file__).parents[2] / "docs" / "prices.md").read_text(encoding="utf-8")


def sample(tmp_path: Path, start: str, models: list[str]) -> ModelCatalog:
    (block,) = [part for part in PAGE.split("```")[1::2] if part.startswith(start)]
    path = tmp_path / "sample.txt"
    path.write_text(block.split("\n", 1)[1])
    catalog = read_catalog(str(path), models)
    assert catalog is not None
    return catalog


@pytest.mark.parametrize(
    ("start", "models", "names"),
    [
        ("yaml\nmodels:", [], ("small", "large")),
        ('json\n{"gpt-4o"', ["gpt-4o,gemini=gemini/gemini-2.5-pro"], ("gpt-4o", "gemini")),
        ('json\n{"data"', ["gpt-4o"], ("gpt-4o",)),
    ],
)
def test_each_sample_is_read(tmp_path: Path, start: str, models: list[str], names: tuple[str, ...]) -> None:
    catalog = sample(tmp_path, start, models)
    assert catalog.names == names
    assert any(entry.batch == 0.5 or entry.cached_input_price for entry in catalog.models)
