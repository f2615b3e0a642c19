"""What else holds texts of retired batches, beside their folders: labels made of their outcomes, files set aside."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection
from dataclasses import asdict
from pathlib import Path

import dagster as dg
import numpy as np
import pyarrow.parquet as pq

from routing_assets.errors import InvalidInput
from routing_assets.feedback import PREFIX
from routing_assets.files import atomic_path, file_sha256
from routing_assets.intake import held_reason, intake_lock
from routing_assets.router_files import JUDGED_BY
from routing_assets.routing import policy_file
from routing_assets.settings import Home
from routing_assets.store import Store
from routing_assets.warehouse import Warehouse

KEEPS = "keep_outcomes_as_labels"
"""Setting in the policy file: judged texts of retired batches stay as labels. By default they go."""
LABEL_TABLES = ("labelled_instructions", "splits")
UNDER_WAY = dg.RunsFilter(
    statuses=[
        dg.DagsterRunStatus.QUEUED,
        dg.DagsterRunStatus.STARTING,
        dg.DagsterRunStatus.STARTED,
        dg.DagsterRunStatus.CANCELING,
    ]
)
READERS = {"train_router", "retrain_router", "recalibrate_router", "add_model", "update_prices", "evaluate_router"}
"""Jobs whose steps read the label table one after another, and must find the same rows in it."""


def keeps_outcomes_as_labels(home: Home) -> bool:
    """Whether the policy file says so. Raises InvalidInput where it says something else than yes or no."""
    keeps = policy_file(home.policy_file).get(KEEPS, False)
    if not isinstance(keeps, bool):
        raise InvalidInput(f"{KEEPS} is {keeps!r}", source=str(home.policy_file), remedy="Write true or false.")
    return keeps


def forget_retired_labels(home: Home, instance: dg.DagsterInstance) -> str:
    """Remove the label rows that outcomes of retired batches made, unless the policy keeps them; says what was done.

    They leave every version of the label table and of its splits, and what routers are compared by. Routers keep what
    they learnt from them: weights and hashes, no text. While a run reads labels they wait for the next retirement.
    """
    retired = {row["batch_id"] for row in Warehouse(home.warehouse).fetch("retirements")}
    if keeps_outcomes_as_labels(home):
        return f"judged texts of retired batches are kept as labels, for the policy says {KEEPS}"
    reading = [run for run in instance.get_runs(UNDER_WAY) if run.job_name in READERS]
    if reading:
        return f"labels made of retired batches wait for the next retirement, for run {reading[0].run_id} reads labels"
    of_others = _rows_of_others(retired)
    removed = [Store(home.store).keep_rows(asset, of_others) for asset in LABEL_TABLES]
    for path in home.routers.glob(f"*/{JUDGED_BY}"):
        keep = of_others(pq.read_table(path, columns=["instruction_id"])["instruction_id"].to_pylist())
        if not keep.all():
            rows = pq.read_table(path, partitioning=None).filter(keep)
            with atomic_path(path) as temporary:
                pq.write_table(rows, temporary)
    hash_shared_blocks(home)
    return f"{removed[0]} labelled rows that outcomes of retired batches made are removed"


def hash_shared_blocks(home: Home) -> None:
    """Put hashes in place of the openings and ends of texts that routers of earlier versions kept word for word."""
    from routing_assets.prediction.features import InstructionFeatures
    from routing_assets.prediction.text import TextPreparation

    for root in (home.routers, home.mlflow_artifacts):
        for path in root.rglob("classifier.json"):
            about = json.loads(path.read_text(encoding="utf-8"))
            hashed = about | {
                "preparation": TextPreparation.from_dict(about["preparation"]).to_dict(),
                "features": asdict(InstructionFeatures.from_dict(about["features"])),
            }
            if json.dumps(hashed) != json.dumps(about):
                with atomic_path(path) as temporary:
                    temporary.write_text(json.dumps(hashed, indent=1), encoding="utf-8")


def remove_set_aside(home: Home) -> list[Path]:
    """Remove files in the inbox's folders for rejected and held files that bring a retired batch, by name or by bytes;
    returns which.
    """
    warehouse = Warehouse(home.warehouse)
    retired = {row["batch_id"] for row in warehouse.fetch("retirements")}
    contents = {row["file_sha256"] for row in warehouse.fetch("retired_files")}
    removed = []
    with intake_lock(home):
        for path in sorted(home.inbox.glob("*/*")):
            if not path.is_file() or path.is_symlink() or path.parent == home.claimed:
                continue
            name = re.sub(r"^\d{20}-", "", path.name)  # as rejected files are numbered
            if Path(name).stem in retired or name in retired or file_sha256(path) in contents:
                removed.append(path)
        for path in removed:
            for beside in (path, path.with_name(f"{path.name}.reason.txt"), held_reason(path)):
                beside.unlink(missing_ok=True)
    return removed


def _rows_of_others(retired: Collection[str]) -> Callable[[list[str]], np.ndarray]:
    def keep(ids: list[str]) -> np.ndarray:
        own = [name.startswith(PREFIX) and name[len(PREFIX) :].split("/", 1)[0] in retired for name in ids]
        return ~np.array(own, dtype=bool)

    return keep
