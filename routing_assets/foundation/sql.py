"""The queries of the project: files in ``sql/`` with bound parameters. No value is formatted into their text."""

from __future__ import annotations

from functools import cache

from routing_assets.foundation.packaged import beside_package


@cache
def query(name: str) -> str:
    """The text of ``sql/<name>.sql``."""
    return (beside_package("sql") / f"{name}.sql").read_text(encoding="utf-8")
