"""A small installation to be maltreated: what runs on it, and what must hold of it at any moment."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from forked import result_of
from helpers import SMALL_TRAINING, TWIN

from routing_assets.cli import batches as batch_commands
from routing_assets.datasets import BatchInstructions, write_batch
from routing_assets.datasets.simulated import simulate
from routing_assets.home import Home

PERIOD_USD = 0.5
POLICY = f"period: {{budget_usd: {PERIOD_USD}, reserve: 0.1}}\n"
STAGES = {
    "training": {"success_classifier", "held_out_logits", "panel_refit", "calibration_temperatures",
                 "calibration_buckets", "router",
                 "router_release", "labelled_instructions", "splits", "splits_splits_do_not_leak", "model_catalog",
                 "cost_model"},
    "scoring": {"batch_instructions", "probability_matrix", "cost_matrix"},
    "allocation": {"batch_budget", "allocations", "routed_batch"},
    "export": {"batch_export"},
}  # fmt: skip


class Installation:
    """One ROUTING_HOME; everything that opens a database runs in a forked process."""

    def __init__(self, root: Path) -> None:
        self.home, self.log = Home(root), root.with_name(f"{root.name}.log")

    @classmethod
    def copy_of(cls, root: Path, target: Path) -> Installation:
        """A private copy of a trained installation, paced by a period budget."""
        shutil.copytree(root, target)
        (target / "policy.yaml").write_text(POLICY)
        return cls(target)

    def ask(self, question: Callable[[Home], Any]) -> Any:
        """The answer of ``question(home)``, from a process of its own."""
        return result_of(lambda: self._in_home(lambda: question(self.home)), self.log)

    def train(self, seed: int = 0) -> None:
        """Train, calibrate and put a router in force."""
        self._in_home(lambda: self._train(seed))

    def _train(self, seed: int) -> None:
        from routing_assets.cli.run_job import instance_of, run_job

        with instance_of(self.home) as instance:
            run_job(
                instance,
                "train_router",
                ops=SMALL_TRAINING
                | {
                    "success_classifier": {"method": "frozen", "seed": seed},
                    "router_comparison": {"force": True},  # which of two small trainings is better is chance
                },
            )

    def route(self, file: Path, request: dict[str, Any] | None = None) -> None:
        """Route a batch file as a user does."""
        self._in_home(lambda: batch_commands.route(self.home, file, request or {}))

    def reroute(self) -> None:
        """Route all batches again whose router, prices or policy changed."""
        self._in_home(lambda: batch_commands.reroute(self.home))

    def _in_home(self, work: Callable[[], Any]) -> Any:
        os.environ |= {"ROUTING_HOME": str(self.home.root), "DAGSTER_HOME": str(self.home.dagster)}
        return work()


def write_batches(folder: Path, sizes: list[int]) -> list[Path]:
    """Batch files of so many instructions each."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for number, size in enumerate(sizes):
        labels = simulate(TWIN, size=size, seed=1000 + number)
        files.append(folder / f"batch{number:03d}.parquet")
        write_batch(BatchInstructions(labels.instruction_id, labels.instruction, labels.task), files[-1])
    return files


def interrupted_stage(home: Home) -> str:
    """In which stage the newest run stopped."""
    import dagster as dg

    from routing_assets.cli.run_job import instance_of

    with instance_of(home) as instance:
        newest = instance.get_runs(limit=1)
        if not newest or newest[0].status == dg.DagsterRunStatus.SUCCESS:
            return "between runs"
        logs = instance.all_logs(newest[0].run_id, of_type=dg.DagsterEventType.STEP_START)
        step = str(logs[-1].dagster_event.step_key) if logs and logs[-1].dagster_event else ""
        return next((stage for stage, steps in STAGES.items() if step in steps), "between runs")


def faults_of_files(home: Home) -> list[str]:
    """Files that can be seen and are not whole."""
    from routing_assets.batches.handoff import read_manifest
    from routing_assets.batches.outbox import MANIFEST
    from routing_assets.foundation.errors import InvalidInput
    from routing_assets.prediction.router import Router

    found = []
    for path in [
        *home.store.root.rglob("*.parquet"),
        *home.folders.outbox.rglob("*.parquet"),
        *home.folders.received.rglob("*.parquet"),
    ]:
        try:
            pq.read_table(path, partitioning=None)
        except Exception as error:
            found.append(f"{path.relative_to(home.root)}: {error}")
    for manifest in home.folders.outbox.glob(f"*/{MANIFEST}"):
        try:
            read_manifest(manifest.parent)
        except InvalidInput as error:
            found.append(str(error))
    for router in home.shelf.folder.glob("[!.]*"):
        if router.name != "classifiers":
            try:
                Router.load(router)
            except Exception as error:
                found.append(f"router {router.name}: {error}")
    return found


def faults_of_state(home: Home) -> list[str]:
    """What does not add up once everything was resumed."""
    import dagster as dg
    from mlflow import MlflowClient

    from routing_assets.audit.replay import broken_entries
    from routing_assets.batches.handoff import read_manifest
    from routing_assets.batches.money import month_state, period_budget, standing
    from routing_assets.batches.stale import stale_batches
    from routing_assets.cli.run_job import instance_of
    from routing_assets.datasets.reading import read_json_lines
    from routing_assets.routers.mlflow_registry import IN_FORCE, REGISTERED_MODEL
    from routing_assets.storage.in_force import router_in_force

    found = faults_of_files(home)
    with instance_of(home) as instance:
        under_way = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
        found += [f"run {run.run_id} never ended" for run in under_way]
        for key in instance.event_log_storage.get_concurrency_keys():
            slots = instance.event_log_storage.get_concurrency_info(key).active_slot_count
            found += [f"pool {key} has {slots} stuck slots"] if slots else []
        found += broken_entries(home.warehouse, home.store, home.folders)
        found += [
            f"batch {batch.batch_id} waits: {batch.reasons}"
            for batch in stale_batches(home.warehouse, home.store, home.folders, home.policy_file)
        ]
    with home.warehouse.reader() as connection:
        decisions = connection.sql("from current_decisions").to_arrow_table().to_pylist()
        twice = connection.sql("select dagster_run_id from decisions group by all having count(*) > 1").fetchall()
        past = [batch for _, batch in standing(connection)]
    found += [f"run {run} decided twice" for (run,) in twice]
    found += [
        f"batch {b} has {n} decisions in force" for b, n in Counter(d["batch_id"] for d in decisions).items() if n > 1
    ]
    plan = period_budget({"budget_usd": PERIOD_USD, "reserve": 0.1})
    committed = month_state(plan, past, datetime.now(UTC)).committed()
    spent = sum(decision["total_cost"] for decision in decisions)
    if committed > plan.cap(0.0) or spent > PERIOD_USD:
        found.append(f"{float(committed)} USD committed and {spent} USD decided of {PERIOD_USD} USD")
    for decision in decisions:
        name = decision["batch_id"]
        wanted = home.store.read("batch_instructions", name)["instruction_id"].to_pylist()
        manifest = read_manifest(home.folders.outbox / name)
        handed = [
            line["custom_id"]
            for file in manifest.files
            if file.model is not None
            for line in read_json_lines(home.folders.outbox / name / file.name)
        ]
        if sorted(handed) != sorted(wanted):
            found.append(f"batch {name}: {len(handed)} requests handed over for {len(wanted)} instructions")
        if manifest.dagster_run_id != decision["dagster_run_id"]:
            found.append(f"batch {name}: the outbox is of run {manifest.dagster_run_id}")
    champion = MlflowClient(home.registry.uri).get_model_version_by_alias(REGISTERED_MODEL, IN_FORCE)
    if int(champion.version) != router_in_force(home.warehouse)["mlflow_model_version"]:
        found.append(f"MLflow's champion is {champion.version}, the ledger's another")
    return found
