"""Recent batches against the router in force: what was promised, what came of it, and who is being asked."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa

from routing_assets.errors import InvalidInput
from routing_assets.matrices import about, matrix
from routing_assets.monitoring import Decisions, DriftReport, DriftSettings, Occupancy, drift_report
from routing_assets.prediction.calibration import scale
from routing_assets.settings import Home
from routing_assets.store import Store
from routing_assets.warehouse import Warehouse


def watch(home: Home, router_version: str, settings: DriftSettings, *, batches: int) -> DriftReport:
    """Judge the router by the most recent batches that it decided and that have outcomes.

    Calibration and ranking are judged by outcomes; the bucket occupancy of these batches is set against the held-out
    instructions that the router was calibrated on. Raises InvalidInput where there are no such batches yet.
    """
    store = Store(home.store)
    decided = Warehouse(home.warehouse).fetch("recent_decisions", {"router_version": router_version})
    recent = [row for row in decided if store.path("batch_outcomes", row["batch_id"]).exists()][:batches]
    if not recent:
        raise InvalidInput(
            f"no batch that router {router_version} decided has outcomes yet",
            remedy="Load them with routing-assets outcomes.",
        )
    judged = [store.read("batch_outcomes", row["batch_id"]) for row in recent]
    scores = [store.read("probability_matrix", row["batch_id"], row["dagster_run_id"]) for row in recent]
    models = tuple(json.loads(about(scores[0])["models"]))
    return drift_report(
        decisions(pa.concat_tables(judged)),
        Occupancy(calibrated_on(store, models), np.concatenate([matrix(t, "scaled", models) for t in scores]), models),
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


def calibrated_on(store: Store, models: tuple[str, ...]) -> np.ndarray:
    """Temperature-scaled probabilities (C, K) of the instructions that the router was calibrated on."""
    temperatures = store.read("calibration_temperatures")["temperature"].to_numpy()
    return scale(matrix(store.read("held_out_logits"), "logit", models), temperatures)
