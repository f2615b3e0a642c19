"""What the command line says of the prices of a routed batch."""

from __future__ import annotations

import json

import dagster as dg
import pyarrow as pa
import pytest

from routing_assets.price_commands import warn_of_doubtful_costs


def routed_with(confidence: float | None) -> dg.ExecuteInProcessResult:
    """A run that routed a batch for 10 USD."""
    summary = {
        "budget_usd": 10.0,
        "allocated_usd": 10.0 if confidence is None else 4.5,
        "overspend_probability": 0.061,
        "settings": {"confidence": confidence},
    }

    @dg.asset
    def cost_matrix() -> dg.MaterializeResult:
        return dg.MaterializeResult(value=None, metadata={})

    @dg.asset
    def routed_batch() -> pa.Table:
        return pa.table({}).replace_schema_metadata({b"summary": json.dumps(summary).encode()})

    return dg.materialize([cost_matrix, routed_batch])


def test_what_a_confidence_holds_back_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    warn_of_doubtful_costs(routed_with(0.95))
    said = capsys.readouterr().out
    assert "5.5 USD are held back" in said
    assert "exceeds the budget with a probability of 6.1%" in said
    warn_of_doubtful_costs(routed_with(None))
    assert "held back" not in capsys.readouterr().out
