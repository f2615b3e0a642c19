"""What each model would probably achieve on each instruction of a batch, as a long table."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pyarrow as pa

from routing_assets.datasets import BatchInstructions
from routing_assets.foundation.long_table import long_table
from routing_assets.prediction.calibration.buckets import STEPS

if TYPE_CHECKING:  # torch loads with the router, not with the definitions
    from routing_assets.prediction.router import Router


def score_batch(batch: BatchInstructions, router: Router, version: str) -> pa.Table:
    """The long table of ``probability_matrix``: P(success) after each step, by the router of this version."""
    predicted = router.predict(batch.instruction, batch.task)
    return long_table(
        batch.instruction_id,
        router.models,
        {step: getattr(predicted, step) for step in STEPS},
        about={"models": json.dumps(router.models), "router_version": version},
    )
