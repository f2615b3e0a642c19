"""Stage 6, per batch: the chosen allocation, its files for the LLM runners, and its entry in the ledger."""

import json
from dataclasses import asdict
from typing import Any

import dagster as dg
import pyarrow as pa

from routing_assets.allocation import POLICIES
from routing_assets.batches.handoff import export_batch
from routing_assets.batches.known import received_file, refuse_ended
from routing_assets.batches.ledger import record_decision, record_first_round, record_traffic
from routing_assets.batches.money import commit_cost
from routing_assets.batches.policy import settings_from
from routing_assets.batches.route import SECOND_LOOK, of_file, summary_of
from routing_assets.batches.what_moved import compare_decisions
from routing_assets.dagster_instance.anchors import materialised_anchor
from routing_assets.dagster_instance.runs import runs_of
from routing_assets.defs.batches.allocations import allocation_metadata, is_assigned_once, is_within_budget, name_of
from routing_assets.defs.batches.requests import RoutingRequest
from routing_assets.defs.common import (
    ARROW_TABLE,
    IO_RETRY,
    OWNERS,
    batches,
    checks_of_assignment,
    data_version,
    failure,
    markdown_table,
    shown,
)
from routing_assets.defs.home import RoutingHome
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.locks import batch_lock
from routing_assets.foundation.long_table import HasSchema, about
from routing_assets.storage import journal
from routing_assets.storage.blocks import AnyTable
from routing_assets.storage.partitioned import PartitionedTable

GROUP = "batches"
ASSIGNED_ONCE, WITHIN_BUDGET = checks_of_assignment("routed_batch", blocking=True)


@dg.asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"parquet"},
    partitions_def=batches,
    ins={name_of(policy): dg.AssetIn(dagster_type=PartitionedTable) for policy in POLICIES},
    check_specs=[ASSIGNED_ONCE, WITHIN_BUDGET],
    dagster_type=ARROW_TABLE,
    code_version="1",
)
def routed_batch(
    context: dg.AssetExecutionContext,
    home: RoutingHome,
    routing_request: RoutingRequest,
    batch_instructions: PartitionedTable,
    **allocations: PartitionedTable,
) -> dg.MaterializeResult:
    """The allocation of the policy in force; the others remain for comparison.

    If the batch was routed before, the metadata shows which instructions moved, the gain, and the reason.
    """
    store, batch_id = home.paths().store, context.partition_key
    chosen = allocations[name_of(routing_request.settings().policy)]
    file_sha256 = about(batch_instructions)["file_sha256"]
    routed: AnyTable
    if len(chosen.parts) == 1:
        routed = of_file(chosen.read(), file_sha256)
    else:
        routed = store.adopt(chosen, "routed_batch", batch_id, context.run_id, {"file_sha256": file_sha256})
    changes = record_changes(context, home, routed)
    return dg.MaterializeResult(
        value=routed,
        data_version=data_version(routed),
        metadata={"policy": summary_of(chosen)["policy"], **allocation_metadata(chosen), **changes},
        check_results=[
            is_assigned_once(ASSIGNED_ONCE, chosen, batch_instructions),
            is_within_budget(WITHIN_BUDGET, chosen),
        ],
    )


@dg.asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"parquet", "json"},
    partitions_def=batches,
    retry_policy=IO_RETRY,
    code_version="1",
)
def batch_export(
    context: dg.AssetExecutionContext,
    home: RoutingHome,
    batch_instructions: PartitionedTable,
    routed_batch: PartitionedTable,
) -> dg.MaterializeResult:
    """The routed batch in the outbox, as a table and as requests per model, then the decision in the ledger."""
    paths = home.paths()
    batch_id = context.partition_key
    folder, decided_file = paths.folders.outbox / batch_id, about(routed_batch)["file_sha256"]
    version = paths.store.version("routed_batch", batch_id, context.run_id, routed_batch)
    decision = {
        "batch_id": batch_id,
        "dagster_run_id": context.run_id,
        "file_sha256": decided_file,
        **decision_columns(routed_batch),
        "routed_path": str(version.relative_to(paths.store.root)),
        "routed_sha256": paths.store.version_sha256(str(version)),
    }
    with batch_lock(paths.locks, batch_id):
        try:
            refuse_ended(paths.warehouse, batch_id)
            settings = settings_from(summary_of(routed_batch)["settings"], source="the routed batch")
            if settings.period is not None:
                runs = runs_of(context.instance, context.run)
                commit_cost(paths.warehouse, batch_id, runs, decision["total_cost"], settings)
        except InvalidInput as error:
            raise failure(error) from error
        # The file that this run read, which may not be the newest.
        received = received_file(paths.warehouse, paths.folders, batch_id, decided_file)
        manifest = export_batch(
            routed_batch,
            batch_instructions,
            folder,
            staged=paths.folders.staged / batch_id,
            batch_id=batch_id,
            run_id=context.run_id,
            received=received,
            layout=settings.layout,
            ledger_head=paths.warehouse.journal_head(),
        )
        with paths.warehouse.transaction() as ledger:
            record_decision(ledger, decision)
            record_traffic(ledger, batch_id, context.run_id, routed_batch, batch_instructions)
            looks = summary_of(routed_batch).get(SECOND_LOOK, {})
            if "version" in looks:
                record_first_round(ledger, batch_id, context.run_id, looks, routed_batch)
            head = journal.head(ledger)
    return dg.MaterializeResult(
        metadata={
            **materialised_anchor(head),
            "outbox": dg.MetadataValue.path(str(folder)),
            "files": markdown_table([asdict(file) for file in manifest.files]),
        }
    )


def record_changes(context: dg.AssetExecutionContext, home: RoutingHome, routed: AnyTable) -> dict[str, Any]:
    """Record and show what changed since the decision in force; nothing for a batch's first decision."""
    paths = home.paths()
    batch_id = context.partition_key
    before = paths.warehouse.fetch("current_decision", {"batch_id": batch_id})
    if not before or before[0]["dagster_run_id"] == context.run_id:
        return {}
    store, runs = paths.store, runs_of(context.instance, context.run)
    probabilities, costs = (store.parts(name, batch_id, *runs) for name in ("probability_matrix", "cost_matrix"))
    former, spill = store.at(before[0]["routed_path"]), paths.root / "spill"
    changes = compare_decisions(former, routed, probabilities, costs, spill)
    row = {"batch_id": batch_id, "dagster_run_id": context.run_id, "previous_run_id": before[0]["dagster_run_id"]}
    paths.warehouse.run("insert_rerouting", pa.Table.from_pylist([row | changes.row()]))
    return {
        "routed_again_for": ", ".join(changes.reasons) or "nothing that changed",
        "assignments_moved": changes.moved,
        "cost_change_usd": shown(changes.cost_change_usd),
        "expected_successes_gained": shown(changes.success_change),
        "moves": markdown_table([{"from": a, "to": b, "instructions": n} for a, b, n in changes.moves[:20]]),
    }


def decision_columns(routed: HasSchema) -> dict[str, Any]:
    """A routed table's summary under the column names of the ledger."""
    summary = summary_of(routed)
    same = ("router_version", "price_version", "policy", "settings_version", "instructions", "expected_success")
    certificate = ("upper_bound", "gap", "shadow_price", "status")
    return {
        **{name: summary[name] for name in (*same, *certificate)},
        "settings": json.dumps(summary["settings"], sort_keys=True),
        "budget": summary["budget_usd"],
        "total_cost": summary["cost_usd"],
    }
