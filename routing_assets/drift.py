"""Recent batches against the router in force: what was promised, what came of it, and who is being asked."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from routing_assets.champion import candidate
from routing_assets.comparison import load_router
from routing_assets.errors import InvalidInput
from routing_assets.feedback import judged_batches
from routing_assets.matrices import about, matrix
from routing_assets.monitoring import (
    LEAST_INSTRUCTIONS,
    Decisions,
    DriftReport,
    DriftSettings,
    Embeddings,
    Occupancy,
    drift_report,
)
from routing_assets.prediction.calibration import scale
from routing_assets.router_files import JUDGED_BY, LOGITS
from routing_assets.settings import Home
from routing_assets.store import Store
from routing_assets.warehouse import Warehouse

MOST_TEXTS = 2_000
"""Recent and earlier texts embedded at most: seconds, where scoring did not leave their embeddings in the cache."""


def watch(home: Home, router_version: str, settings: DriftSettings, *, batches: int) -> DriftReport:
    """Judge the router by the most recent batches that it decided and that have outcomes.

    Calibration and ranking are judged by outcomes; the bucket occupancy of these batches is set against the held-out
    instructions that the router was calibrated on, their embeddings against those it was tested on.

    Raises:
        InvalidInput: no batch has outcomes yet.
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
    asked = np.concatenate([matrix(table, "scaled", models) for table in scores])
    occupancy = Occupancy(calibrated_on(home, router_version, models), asked, models)
    batches_asked = [store.read("batch_instructions", row["batch_id"], row["dagster_run_id"]) for row in recent]
    texts = np.concatenate([table["instruction"].to_numpy(zero_copy_only=False) for table in batches_asked])
    embeddings = embedded(home, router_version, texts)
    return drift_report(decisions(pa.concat_tables(judged)), occupancy, embeddings, settings)


def decisions(matched: pa.Table) -> Decisions:
    """The assignments whose success is known."""
    known = matched.filter(matched["success"].is_valid())
    return Decisions(
        known["expected_success"].to_numpy().astype(np.float64),
        known["success"].to_numpy().astype(np.float64),
        np.array(known["model"].to_pylist(), dtype=object),
    )


def embedded(home: Home, router_version: str, instruction: np.ndarray, seed: int = 0) -> Embeddings | None:
    """Recent texts against the test rows of the router's classifier; None where one side has too few."""
    classifier_id = candidate(home, router_version)["classifier_id"]
    trained = Warehouse(home.warehouse).fetch("trained_router_of", {"classifier_id": classifier_id})[0]
    tested = pq.read_table(home.routers / trained["router_version"] / JUDGED_BY, columns=["instruction"])
    sides = [tested["instruction"].to_numpy(zero_copy_only=False), instruction]
    if min(map(len, sides)) < LEAST_INSTRUCTIONS:
        return None
    classifier, rng = load_router(home, router_version).classifier, np.random.default_rng(seed)
    return Embeddings(*(classifier.embeddings(texts[rng.permutation(len(texts))[:MOST_TEXTS]]) for texts in sides))


def calibrated_on(home: Home, router_version: str, models: tuple[str, ...]) -> np.ndarray:
    """Scaled probabilities (C, K) of the held-out instructions that calibrated the router's classifier."""
    directory = home.routers / router_version
    kept = json.loads((directory / "router.json").read_text())
    logits = matrix(pq.read_table(directory / LOGITS), "logit", models)
    shifts = None if kept["shifts"] is None else np.array(kept["shifts"])
    return scale(logits, np.array(kept["temperatures"]), shifts)
