"""JSON files that hold one document."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from routing_assets.datasets.json_arrays import REMEDY
from routing_assets.datasets.reading import read_text
from routing_assets.foundation.errors import InvalidInput


def read_json(path: Path) -> Any:
    """The document in a JSON file.

    Raises:
        InvalidInput: the file is absent, too large, not UTF-8 or not JSON, naming the line.
    """
    try:
        return json.loads(read_text(path))
    except RecursionError as error:
        raise InvalidInput("the values are nested too deeply", source=str(path), remedy="Nest them less") from error
    except ValueError as error:
        row = error.lineno if isinstance(error, json.JSONDecodeError) else None
        raise InvalidInput(f"this is not JSON ({error})", source=str(path), row=row, remedy=REMEDY) from error
