"""Texts as JSON."""

from __future__ import annotations

import json

json_text = json.encoder.encode_basestring
"""A text as JSON, quotes included."""
