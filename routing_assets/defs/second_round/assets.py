"""Stage 8, where second looks are planned: what follows from the first answers, and its files for the LLM runners."""

from dataclasses import asdict

import dagster as dg
import pyarrow as pa

from routing_assets.allocation.solver.exact import exact_sum, within
from routing_assets.batches.answers import sent_by
from routing_assets.batches.first_answers import first_answers
from routing_assets.batches.handoff import read_manifest
from routing_assets.batches.known import decision_in_force, outcome_files, received_file
from routing_assets.batches.ledger import record_traffic, tenants_in
from routing_assets.batches.money import commit_cost
from routing_assets.batches.policy import settings_from
from routing_assets.batches.resend import hand_off_rows
from routing_assets.batches.route import summary_of
from routing_assets.batches.second_round import decide_again, first_round_tables, moves_of
from routing_assets.batches.second_rounds import SECOND, first_round_of, record_second_round
from routing_assets.dagster_instance.anchors import materialised_anchor
from routing_assets.defs.common import (
    ARROW_TABLE,
    OWNERS,
    batches,
    data_version,
    failure,
    markdown_table,
    shown,
    shown_figures,
)
from routing_assets.defs.home import RoutingHome
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.locks import batch_lock
from routing_assets.storage import journal
from routing_assets.storage.partitioned import PartitionedTable

GROUP = "second_round"
WITHIN_BUDGET = dg.AssetCheckSpec(
    "both_rounds_are_within_budget",
    asset="second_round",
    blocking=True,
    partitions_def=batches,
    description="What the first round cost and what the second is estimated to cost keep the budget, without rounding.",
)


@dg.asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"ortools", "parquet"},
    partitions_def=batches,
    deps=["routed_batch", "probability_matrix", "cost_matrix", "second_look"],
    check_specs=[WITHIN_BUDGET],
    dagster_type=ARROW_TABLE,
    code_version="1",
)
def second_round(
    context: dg.AssetExecutionContext, home: RoutingHome, answers: pa.Table, grades: pa.Table, batch_outcomes: pa.Table
) -> dg.MaterializeResult:
    """Each answer that came is kept, or another model is asked, with what the budget has left after the real spend of
    the first round. See which answers were escalated to which model, and what that is expected to gain.
    """
    paths, batch_id = home.paths(), context.partition_key
    from routing_assets.routers.second_look import kept_second_look

    try:
        planned = first_round_of(paths.warehouse, batch_id)
        decision = decision_in_force(paths.warehouse, batch_id)
        tables = first_round_tables(paths.store, decision)
        look = kept_second_look(paths.shelf, planned["second_look_version"]).second_look
        sent, files = sent_by(paths.warehouse, paths.store, decision), outcome_files(paths.folders, batch_id)
        came = first_answers(sent, batch_outcomes, answers, grades, files, look.wanted)
        table = decide_again(tables, came, look, tables.budget, planned["second_look_version"])
    except InvalidInput as error:
        raise failure(error) from error
    summary = summary_of(table)
    spent = exact_sum(table["first_cost"].to_numpy()) + exact_sum(table["cost"].to_numpy())
    # A first round that was billed more than the whole budget leaves nothing to spend, and nothing is spent.
    kept = within(spent, summary["budget_usd"]) or not summary["escalated"]
    return dg.MaterializeResult(
        value=table,
        data_version=data_version(table),
        metadata={
            **shown_figures({name: value for name, value in summary.items() if name != "catalog"}),
            "moves": markdown_table(moves_of(table)),
        },
        check_results=[
            dg.AssetCheckResult(
                check_name=WITHIN_BUDGET.name,
                passed=kept,
                metadata={"both_rounds_usd": shown(spent), "budget_usd": shown(summary["budget_usd"])},
            )
        ],
    )


@dg.asset(group_name=GROUP, owners=OWNERS, kinds={"parquet", "json"}, partitions_def=batches, code_version="1")
def second_export(
    context: dg.AssetExecutionContext,
    home: RoutingHome,
    batch_instructions: PartitionedTable,
    second_round: PartitionedTable,
) -> dg.MaterializeResult:
    """The second calls as requests per model in ``outbox/<batch>/second``, then the second round in the ledger."""
    paths, batch_id = home.paths(), context.partition_key
    table = second_round.read()
    summary = summary_of(table)
    version = paths.store.version("second_round", batch_id, context.run_id, second_round)
    path = str(version.relative_to(paths.store.root))
    with batch_lock(paths.locks, batch_id):
        try:
            first_round_of(paths.warehouse, batch_id)
            decision = decision_in_force(paths.warehouse, batch_id)
            settings = settings_from(
                summary_of(paths.store.at(decision["routed_path"]))["settings"], source="the first round"
            )
            if settings.period is not None:
                both = summary["spent_usd"] + summary["cost_usd"]
                commit_cost(paths.warehouse, batch_id, [decision["dagster_run_id"]], both, settings)
        except InvalidInput as error:
            raise failure(error) from error
        folder = hand_off_rows(
            paths.folders,
            SECOND,
            batch_id,
            context.run_id,
            table["escalated"].to_numpy(),
            table,
            batch_instructions,
            received_file(paths.warehouse, paths.folders, batch_id, decision["file_sha256"]),
            settings.layout,
        )
        with paths.warehouse.transaction() as ledger:
            record_second_round(ledger, batch_id, context.run_id, summary, path, paths.store.version_sha256(path))
            again = table["escalated"]
            asked = batch_instructions.read(tenants_in(batch_instructions)).filter(again)
            record_traffic(ledger, batch_id, context.run_id, table.filter(again), asked)
            head = journal.head(ledger)
    files = [] if folder is None else [asdict(file) for file in read_manifest(folder).files]
    return dg.MaterializeResult(
        metadata={
            **materialised_anchor(head),
            **({"outbox": dg.MetadataValue.path(str(folder))} if folder else {}),
            "files": markdown_table(files),
        }
    )
