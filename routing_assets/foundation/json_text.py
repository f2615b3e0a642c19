"""JSON strings."""

from __future__ import annotations

import json

json_text = json.encoder.encode_basestring
"""The JSON string of a text, with its quotes."""
