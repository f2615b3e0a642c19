"""What each model would probably achieve on each instruction of a batch, as a wide table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from routing_assets.datasets import BatchInstructions
from routing_assets.foundation.wide_matrix import wide_table
from routing_assets.prediction.calibration.buckets import STEPS

if TYPE_CHECKING:  # torch loads with the router, not with the definitions
    from routing_assets.prediction.router import Router


def score_batch(batch: BatchInstructions, router: Router, version: str) -> pa.Table:
    """The table of ``probability_matrix``: P(success) after each step, by the router of this version."""
    predicted = router.predict(batch.instruction, batch.task)
    return wide_table(
        router.models,
        {step: getattr(predicted, step) for step in STEPS},
        others={"instruction_id": pa.array(batch.instruction_id, pa.string())},
        about={"router_version": version},
    )
