"""A router that decides by each model's success rate alone, used if its predictions are not shown to be better."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from routing_assets.datasets import LabelledInstructions
from routing_assets.foundation.content_version import content_version
from routing_assets.routers import mlflow_registry as tracking
from routing_assets.routers.registry import Registry
from routing_assets.routers.shelf import JUDGED_BY, LEARNT_FROM, Shelf, keep_router, load_router
from routing_assets.routers.train import step_quality


@dataclass(frozen=True, eq=False)
class RateRouter:
    """A router by rates, kept under ``routers/<version>``."""

    record: dict[str, Any]
    """Its ledger record."""
    quality: pa.Table
    """Of each model after each step, on the held-out rows of the router that it stands in for."""


def rate_router(shelf: Shelf, registry: Registry, router: Mapping[str, Any], why: str) -> RateRouter:
    """The router as it is, but for its decisions: every instruction gets its model's success rate.

    Args:
        router: its record in the ledger of candidates.
        why: why its own predictions do not decide.
    """
    parent = router["router_version"]
    directory = shelf.folder / parent
    by_rates = replace(load_router(shelf, parent), decision="rate", why=why)
    version = content_version(pa.table({"router_version": [parent], "decision": ["rate"]}))
    judges = LabelledInstructions.from_arrow(pq.read_table(directory / JUDGED_BY))
    keep_router(shelf.folder / version, by_rates, learnt_from=pq.read_table(directory / LEARNT_FROM), judged_by=judges)
    logits = by_rates.classifier.logits(judges.instruction, judges.task)
    quality = step_quality(by_rates, logits, judges).drop(["model_index"])
    tags = {"router_version": version, "by_rates_of": parent}
    logged = tracking.register_recalibrated(registry, router["mlflow_model_version"], tags=tags)
    return RateRouter(
        {
            **router,
            "router_version": version,
            "decision_estimate": "rate",
            "mlflow_model_version": logged.model_version,
        },
        quality.append_column("router_version", pa.array([version] * quality.num_rows)),
    )
