"""What ``make schemas`` writes into docs/: JSON schemas, with which editors complete and check policy and catalog, and
the pages that follow from the code.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from routing_assets.batches.policy import StandingPolicy
from routing_assets.cli.data_dictionary import data_dictionary
from routing_assets.cli.policy_page import policy_page
from routing_assets.foundation.schema import json_schema
from routing_assets.pricing.catalog import CatalogFile

SCHEMAS = {"policy.schema.json": StandingPolicy, "catalog.schema.json": CatalogFile}
"""By name of the published file, the model that reads such a file."""
PAGES = {"policy.md": policy_page, "data-dictionary.md": data_dictionary}
"""By name of the page, what makes its text."""


def schema_text(name: str) -> str:
    """The content of the published file ``name``."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **json_schema(SCHEMAS[name])}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for name in SCHEMAS:
        (Path(sys.argv[1]) / name).write_text(schema_text(name), encoding="utf-8")
    for name, text in PAGES.items():
        (Path(sys.argv[1]) / name).write_text(text(), encoding="utf-8")
