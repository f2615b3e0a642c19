"""The published schemas are those of the models, and each field of them is described."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from routing_assets.batches.policy import Constraints
from routing_assets.cli.schemas import PAGES, SCHEMAS, schema_text
from routing_assets.foundation.schema import read_values

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_published_schema_is_up_to_date(name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == schema_text(name), "make schemas writes it anew"


@pytest.mark.parametrize("name", PAGES)
def test_a_page_that_follows_from_the_code_is_up_to_date(name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == PAGES[name](), "make schemas writes it anew"


def test_the_page_of_the_policy_has_a_sample_of_every_constraint_that_is_read() -> None:
    blocks = [part.partition("```")[0] for part in (DOCS / "policy.md").read_text().split("```yaml\n")[1:]]
    samples = [
        read_values(SCHEMAS["policy.schema.json"], yaml.safe_load(block), source="policy.md") for block in blocks
    ]
    shown = {name for sample in samples for name in sample.constraints}
    assert shown == set(Constraints.__annotations__)


def test_every_table_of_the_data_dictionary_says_what_it_holds() -> None:
    tables = (DOCS / "data-dictionary.md").read_text(encoding="utf-8").split("\n## ")[1:]
    assert len(tables) > 20
    assert [table.splitlines()[0] for table in tables if not table.splitlines()[2].endswith(".")] == []


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_field_is_described_by_a_sentence(name: str) -> None:
    fields = dict(_fields(json.loads(schema_text(name))))
    assert len(fields) > 10
    assert [name for name, field in fields.items() if not str(field.get("description", "")).endswith(".")] == []


@pytest.mark.parametrize(("name", "start"), [("policy.schema.json", "policy:"), ("catalog.schema.json", "models:")])
def test_the_examples_on_the_page_are_read(name: str, start: str) -> None:
    blocks = (DOCS / "own-data.md").read_text(encoding="utf-8").split("```yaml\n")[1:]
    *_, example = [block.partition("```")[0] for block in blocks if block.startswith(start)]
    jsonschema, schema = pytest.importorskip("jsonschema"), json.loads(schema_text(name))
    for text in (example, example.replace("budget_fraction", "# budget_fraction").replace("\n# ", "\n")):
        values = yaml.safe_load(text)
        read_values(SCHEMAS[name], values, source="own-data.md")
        jsonschema.validate(values, schema)
    with pytest.raises(jsonschema.ValidationError, match="polcy"):
        jsonschema.validate({"polcy": "mip"}, schema)


def _fields(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for part in (schema, *schema.get("$defs", {}).values()):
        for name, field in part.get("properties", {}).items():
            yield f"{part['title']}.{name}", field
