"""The JSON schemas of policy and catalog, with which editors complete and check them: ``make schemas`` writes them."""

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
    """The content of the published file ``name``."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **json_schema(SCHEMAS[name])}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for name in SCHEMAS:
        (Path(sys.argv[1]) / name).write_text(schema_text(name), encoding="utf-8")
