"""Hashes of what people write, byte for byte: decisions of earlier versions are replayed by them."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from routing_assets.batches.money import period_budget
from routing_assets.batches.policy import settings_from
from routing_assets.pricing.catalog import as_row, load_catalog
from routing_assets.pricing.catalog_table import catalog_from_rows, catalog_from_table, catalog_table

DEFAULTS = (
    '{"budget_fraction": null, "budget_usd": null, "confidence": null, "constraints": {}, "exact": false, '
    '"period": null, "policy": "mip", "seed": 0, "target": 0.75, "urgent": false}'
)
CONSTRAINTS = {
    "max_share": {"large": 0.4},
    "min_share": {"small": 0},
    "capacity": {"large": 100},
    "token_capacity": {"large": 1e6},
    "mean_latency": 2,
    "max_latency": 2.5,
    "group_floor": {"a": 0.5},
    "max_group_gap": 0.05,
    "max_changes": 100,
    "required_tags": ["eu"],
}
CONSTRAINTS_JSON = (
    '{"capacity": {"large": 100}, "group_floor": {"a": 0.5}, "max_changes": 100, "max_group_gap": 0.05, '
    '"max_latency": 2.5, "max_share": {"large": 0.4}, "mean_latency": 2, "min_share": {"small": 0}, '
    '"required_tags": ["eu"], "token_capacity": {"large": 1000000.0}}'
)
SETTINGS: list[tuple[dict[str, Any], str, dict[str, str]]] = [
    ({}, "7336b842b66d", {}),
    ({"budget_usd": 5}, "67080cfbd3cc", {'"budget_usd": null': '"budget_usd": 5'}),
    (
        {"budget_usd": 5.0, "policy": "ndch", "seed": 7},
        "61f82dbf310d",
        {'"budget_usd": null': '"budget_usd": 5.0', '"mip"': '"ndch"', '"seed": 0': '"seed": 7'},
    ),
    (
        {"budget_fraction": 0.25, "confidence": 0.95, "strict": True, "exact": True},
        "28f69413ba3f",
        {
            '"budget_fraction": null': '"budget_fraction": 0.25',
            '"confidence": null': '"confidence": 0.95',
            '"exact": false': '"exact": true',
            '"seed": 0': '"seed": 0, "strict": true',
        },
    ),
    (
        {"period": {"budget_usd": 1000, "reserve": 0.1}, "urgent": True},
        "a01814b9e6bb",
        {'"period": null': '"period": {"budget_usd": 1000, "reserve": 0.1}', '"urgent": false': '"urgent": true'},
    ),
    (
        {"period": {"budget_usd": 1000.0, "hard_cap_usd": None, "expected_instructions": 50}},
        "c051165a2599",
        {'"period": null': '"period": {"budget_usd": 1000.0, "expected_instructions": 50, "hard_cap_usd": null}'},
    ),
    (
        {"policy": "threshold", "target": 1, "constraints": CONSTRAINTS},
        "4c7ac9e2b394",
        {
            '"mip"': '"threshold"',
            '"target": 0.75': '"target": 1',
            '"constraints": {}': f'"constraints": {CONSTRAINTS_JSON}',
        },
    ),
    (
        {"constraints": {"group_floor": 0.5, "max_changes": 10.0}},
        "a0edc72f4bbc",
        {'"constraints": {}': '"constraints": {"group_floor": 0.5, "max_changes": 10.0}'},
    ),
]


@pytest.mark.parametrize(("written", "version", "changes"), SETTINGS, ids=[version for _, version, _ in SETTINGS])
def test_settings_keep_their_json_and_their_version(
    written: dict[str, Any], version: str, changes: dict[str, str]
) -> None:
    expected = DEFAULTS
    for old, new in changes.items():
        assert old in expected
        expected = expected.replace(old, new)
    settings = settings_from(written, source="policy.yaml")
    assert settings.to_json() == expected
    assert settings.version == version
    assert settings_from(json.loads(expected), source="the ledger").to_json() == expected


def test_a_months_plan_keeps_its_json() -> None:
    plan = period_budget({"budget_usd": 30, "reserve": 0.1})
    assert json.dumps(asdict(plan), sort_keys=True) == (
        '{"budget_usd": 30, "carry_over": 0.0, "expected_instructions": null, "hard_cap_usd": null, "reserve": 0.1, '
        '"urgent_worth": 2.0}'
    )


ALL_FIELDS = """\
models:
  large: {input_price: 2.5, output_price: 10, latency_s: 1, min_share: 0, max_share: 1, capacity: 1000.0,
    context_tokens: 8192, tags: [eu, vision], image_price: 0, audio_price: 0.5}
  a: {price: 1, tags: , latency_s: }
"""
CATALOGS = {
    "models:\n  small: {price: 0.18}\n": "9948364e06130a04237f1984cf06bc79c1acdda8d5813e0b3aa02ff20fea5926",
    "models:\n  small: {price: 1}\n  free: {price: 0}\n": (
        "20dadb51a46f16697bb957461100b2f8bae09b6e442b1a84b9cbc9cd93ebb4de"
    ),
    ALL_FIELDS: "c2f8577f52f2f031d518c7f43eda64283a698162fc6fcbf16957acdb949b9f79",
}


@pytest.mark.parametrize("text", CATALOGS, ids=["one price", "whole prices", "all fields"])
def test_a_catalog_keeps_its_version_as_file_table_and_rows(tmp_path: Path, text: str) -> None:
    path = tmp_path / "catalog.yaml"
    path.write_text(text)
    catalog = load_catalog(path)
    rows = json.loads(json.dumps([as_row(entry) for entry in catalog.models]))
    for same in (catalog, catalog_from_table(catalog_table(catalog)), catalog_from_rows(rows)):
        assert same is not None
        assert same.version == CATALOGS[text]


def test_a_catalog_keeps_its_form_in_the_summary_of_a_decision(tmp_path: Path) -> None:
    path = tmp_path / "catalog.yaml"
    path.write_text(ALL_FIELDS)
    large, small = catalog_table(load_catalog(path)).to_pylist()
    assert json.dumps(large) == (
        '{"name": "large", "input_price": 2.5, "output_price": 10.0, "latency_s": 1.0, "min_share": 0.0, '
        '"max_share": 1.0, "capacity": 1000, "context_tokens": 8192, "tags": ["eu", "vision"], "image_price": 0.0, '
        '"audio_price": 0.5}'
    )
    assert json.dumps(small) == (
        '{"name": "a", "input_price": 1.0, "output_price": 1.0, "latency_s": null, "min_share": null, '
        '"max_share": null, "capacity": null, "context_tokens": null, "tags": [], "image_price": null, '
        '"audio_price": null}'
    )
