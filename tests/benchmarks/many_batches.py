"""How quick sensors, schedules and the UI's queries stay with thousands of batches: ``python many_batches.py [N]``.

Makes a home with N routed batches (a third of them dispatched) from rows, partitions, runs and events that nobody ran,
which takes a minute for 5,000, and prints the processor's seconds of each tick, command and query, twice.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import dagster as dg
import pyarrow as pa

from routing_assets.batches.ledger import GENESIS, entry_hash
from routing_assets.batches.policy import RoutingSettings
from routing_assets.cli import audit as audit_commands
from routing_assets.cli import listing
from routing_assets.cli.report import report
from routing_assets.cli.run_job import instance_of
from routing_assets.defs.common import BATCHES
from routing_assets.defs.home import RoutingHome
from routing_assets.home import Home

ASSETS = ("routed_batch", "batch_outcomes")
PARTITION_STATUS = """
query { assetNodeOrError(assetKey: {path: ["routed_batch"]}) { ... on AssetNode {
  partitionKeyConnection(limit: 5000, ascending: true) { results }
  assetPartitionStatuses { ... on DefaultPartitionStatuses { materializedPartitions unmaterializedPartitions } } } } }
"""
RUNS = """
query { runsOrError(filter: {pipelineName: "route_batch"}, limit: 25) { ... on Runs { count
  results { runId status startTime tags { key value } assetSelection { path } } } } }
"""
GRAPH = """
query { assetNodes(group: null) { assetKey { path } isPartitioned partitionStats { numMaterialized numPartitions }
  assetMaterializations(limit: 1) { timestamp } dependencyKeys { path } } }
"""
LATEST = """
query { assetNodeOrError(assetKey: {path: ["routed_batch"]}) { ... on AssetNode {
  assetMaterializations(limit: 100) { partition timestamp metadataEntries { label } } } } }
"""


def decisions_of(names: list[str]) -> list[dict[str, Any]]:
    """A chained decision for each batch."""
    rows, previous, start = [], GENESIS, datetime(2026, 1, 1, tzinfo=UTC)
    settings = RoutingSettings()
    for number, name in enumerate(names, start=1):
        row = {
            "batch_id": name, "dagster_run_id": f"run-{number}", "file_sha256": "f" * 64, "router_version": "router",
            "price_version": "prices", "policy": "mip", "settings": settings.to_json(),
            "settings_version": settings.version, "budget": 1.0, "instructions": 100, "expected_success": 0.8,
            "total_cost": 0.9, "upper_bound": 0.8, "gap": 0.0, "shadow_price": 0.1, "status": "optimal",
            "routed_path": f"routed_batch/{name}/run-{number}.parquet", "routed_sha256": "0" * 64,
            "decided_at": start + timedelta(minutes=number), "entry": number, "previous_hash": previous,
        }  # fmt: skip
        previous = row["entry_hash"] = entry_hash(row)
        rows.append(row)
    return rows


def fill(home: Home, instance: dg.DagsterInstance, names: list[str]) -> None:
    """Ledger rows, partitions, materialisations and hand-offs of so many batches."""
    warehouse = home.warehouse
    received = [{"batch_id": n, "file_name": f"{n}.csv", "file_sha256": "f" * 64, "instructions": 100} for n in names]
    router = {
        "router_version": "router", "classifier_id": "c", "label_hash": "l", "temperatures_id": "t", "buckets_id": "b",
        "decision_estimate": "scaled", "mlflow_run_id": "m", "mlflow_model_version": 1, "dagster_run_id": "r",
    }  # fmt: skip
    price = {"price_version": "prices", "model": "m", "mean_cost": 0.01, "source": "s", "dagster_run_id": "r"}
    warehouse.append("batches", pa.Table.from_pylist(received))
    warehouse.append("routers", pa.Table.from_pylist([router]))
    candidate = router | {"origin": "trained", "models": ["m"], "training_config": "{}"}
    warehouse.append("candidates", pa.Table.from_pylist([candidate]))
    warehouse.append("price_lists", pa.Table.from_pylist([price]))
    prices = pa.table({"cost_model": ['{"models": ["m"]}'], "price_version": ["prices"]})
    home.store.write(prices, "cost_model", None, "r")
    decisions = decisions_of(names)
    warehouse.append("decisions", pa.Table.from_pylist(decisions))
    dispatched = [{"batch_id": d["batch_id"], "dagster_run_id": d["dagster_run_id"]} for d in decisions[::3]]
    warehouse.append("dispatches", pa.Table.from_pylist(dispatched))
    for decision in decisions:
        folder = home.folders.outbox / decision["batch_id"]
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text(json.dumps({"dagster_run_id": decision["dagster_run_id"], "files": []}))
        (home.folders.outcomes / decision["batch_id"]).mkdir(parents=True)
    for start in range(0, len(names), 500):
        instance.add_dynamic_partitions(BATCHES, names[start : start + 500])
    for name in names:
        tags = {"dagster/partition": name}
        instance.add_run(
            dg.DagsterRun("route_batch", run_id=str(uuid4()), status=dg.DagsterRunStatus.SUCCESS, tags=tags)
        )
        for asset in ASSETS:
            instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition=name))


def timed(what: str, action: Callable[[], Any]) -> None:
    """Print the CPU seconds of an action, the second time as well."""
    seconds = []
    for _ in range(2):
        started = time.process_time()
        action()
        seconds.append(time.process_time() - started)
    print(f"| {what} | {seconds[0]:.2f} s | {seconds[1]:.2f} s |", flush=True)


def measure(home: Home, instance: dg.DagsterInstance, names: list[str]) -> None:
    """The table."""
    from dagster_graphql.test.utils import define_out_of_process_context, execute_dagster_graphql

    from routing_assets.definitions import defs
    from routing_assets.defs.batches.inbox_sensor import inbox_sensor
    from routing_assets.defs.batches.reroute_schedule import reroute_stale_batches
    from routing_assets.defs.outcomes.sensors import outcomes_sensor
    from routing_assets.defs.training.sensors import act_on_drift, retrain_on_new_labels
    from routing_assets.defs.upkeep.failures import lost_runs_sensor
    from routing_assets.defs.upkeep.retention import daily_retirement

    resources = {"home": RoutingHome()}

    def sensor(definition: dg.SensorDefinition) -> None:
        cursor = None
        for _ in range(2):
            context = dg.build_sensor_context(instance=instance, cursor=cursor, resources=resources)
            cursor = getattr(definition(context), "cursor", None)

    def schedule(definition: dg.ScheduleDefinition) -> None:
        definition(dg.build_schedule_context(instance=instance, resources=resources))

    def command(action: Callable[[], Any]) -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            action()

    print(f"| processor's time at {len(names):,} batches | first | again |\n|---|---|---|")
    for definition in (inbox_sensor, outcomes_sensor, lost_runs_sensor, act_on_drift, retrain_on_new_labels):
        timed(f"{definition.name}, two ticks", lambda definition=definition: sensor(definition))
    condition = dg.AssetSelection.assets("calibration_drift")
    evaluate = dg.evaluate_automation_conditions
    timed("automation sensor, one tick", lambda: evaluate(defs, instance, asset_selection=condition))
    timed("daily_retirement", lambda: schedule(daily_retirement))
    timed("reroute_stale_batches, nothing to do", lambda: schedule(reroute_stale_batches))
    home.policy_file.write_text("policy: ndch\n")
    timed("reroute_stale_batches, every open batch stale", lambda: schedule(reroute_stale_batches))
    timed("routing-assets routers", lambda: command(lambda: listing.routers(home)))
    timed("routing-assets audit", lambda: command(lambda: audit_commands.audit(home, None, None)))
    timed("routing-assets report", lambda: command(lambda: report(home, date(2026, 1, 2))))
    with define_out_of_process_context(
        str(Path(__file__).parents[2] / "routing_assets" / "definitions.py"), "defs", instance
    ) as graphql:

        def asked(query: str) -> None:
            assert not execute_dagster_graphql(graphql, query).errors

        timed("UI: partition status of routed_batch", lambda: asked(PARTITION_STATUS))
        timed("UI: latest materialisations of routed_batch", lambda: asked(LATEST))
        timed("UI: asset graph with every asset's partitions", lambda: asked(GRAPH))
        timed("UI: latest runs", lambda: asked(RUNS))


def main(count: int) -> None:
    """Make the home, measure, remove it."""
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder) / "home")
        os.environ |= {"ROUTING_HOME": str(home.root), "DAGSTER_HOME": str(home.dagster)}
        names = [f"batch-{number:05d}" for number in range(count)]
        with instance_of(home) as instance:
            fill(home, instance, names)
            measure(home, instance, names)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5_000)
