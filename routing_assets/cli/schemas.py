"""The JSON schemas of what people write, by which an editor completes and checks it: ``make schemas`` writes them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from routing_assets.batches.policy import StandingPolicy
from routing_assets.foundation.schema import json_schema
from routing_assets.pricing.catalog import CatalogFile

SCHEMAS = {"policy.schema.json": StandingPolicy, "catalog.schema.json": CatalogFile}
"""By name of the published file, the model that reads such a file."""


def schema_text(name: str) -> str:
    """What the published file ``name`` says."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **json_schema(SCHEMAS[name])}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for name in SCHEMAS:
        (Path(sys.argv[1]) / name).write_text(schema_text(name), encoding="utf-8")
