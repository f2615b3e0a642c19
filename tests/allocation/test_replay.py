"""Decisions of earlier releases come out the same, to the last bit of their certificates."""

from __future__ import annotations

import json

from decisions import RECORDED, digests


def test_decisions_are_those_of_earlier_releases() -> None:
    assert digests() == json.loads(RECORDED.read_text())
