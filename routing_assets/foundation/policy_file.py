"""The policy file as it is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.yaml_files import read_yaml


def read_policy(path: Path) -> dict[str, Any]:
    """Everything that the policy file says; nothing where there is none."""
    values = (read_yaml(path) if path.exists() else None) or {}
    if not isinstance(values, dict):
        raise InvalidInput("the policy is no mapping", source=str(path), remedy="Write one 'name: value' a line.")
    return values
