"""Recent batches against the router in force: what was promised, what came of it, and who is being asked."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from routing_assets.errors import InvalidInput
from routing_assets.feedback import judged_batches
from routing_assets.matrices import about, matrix
from routing_assets.monitoring import Decisions, DriftReport, DriftSettings, Occupancy, drift_report
from routing_assets.prediction.calibration import scale
from routing_assets.router_files import LOGITS
from routing_assets.settings import Home
from routing_assets.store import Store


def watch(home: Home, router_version: str, settings: DriftSettings, *, batches: int) -> DriftReport:
    """Judge the router by the most recent batches that it decided and that have outcomes.

    Calibration and ranking are judged by outcomes; the bucket occupancy of these batches is set against the held-out
    instructions that the router was calibrated on. Raises InvalidInput where there are no such batches yet.
    """
    store = Store(home.store)
    recent = judged_batches(home, batches=batches, router_version=router_version)
    if not recent:
        if judged_batches(home, batches=1):
            return DriftReport((), "none", f"no outcome of what router {router_version} decided came in yet")
        raise InvalidInput(
            f"no batch that router {router_version} decided has outcomes yet",
            remedy="Load them with routing-assets outcomes.",
        )
    judged = [store.read("batch_outcomes", row["batch_id"]) for row in recent]
    scores = [store.read("probability_matrix", row["batch_id"], row["dagster_run_id"]) for row in recent]
    models = tuple(json.loads(about(scores[0])["models"]))
    return drift_report(
        decisions(pa.concat_tables(judged)),
        Occupancy(
            calibrated_on(home, router_version, models),
            np.concatenate([matrix(t, "scaled", models) for t in scores]),
            models,
        ),
        settings=settings,
    )


def decisions(matched: pa.Table) -> Decisions:
    """The assignments whose success is known."""
    known = matched.filter(matched["success"].is_valid())
    return Decisions(
        known["expected_success"].to_numpy().astype(np.float64),
        known["success"].to_numpy().astype(np.float64),
        np.array(known["model"].to_pylist(), dtype=object),
    )


def calibrated_on(home: Home, router_version: str, models: tuple[str, ...]) -> np.ndarray:
    """Scaled probabilities (C, K) of the held-out instructions that calibrated the router's classifier."""
    directory = home.routers / router_version
    kept = json.loads((directory / "router.json").read_text())
    logits = matrix(pq.read_table(directory / LOGITS), "logit", models)
    shifts = None if kept["shifts"] is None else np.array(kept["shifts"])
    return scale(logits, np.array(kept["temperatures"]), shifts)
