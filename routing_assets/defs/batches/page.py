"""Stage 6 and later, per batch: the page that people read."""

import dagster as dg

from routing_assets.dagster_instance.runs import runs_of
from routing_assets.defs.batches.routed import GROUP
from routing_assets.defs.common import IO_RETRY, OWNERS, batches
from routing_assets.defs.engine import BatchEngine
from routing_assets.defs.home import RoutingHome
from routing_assets.foundation.errors import InvalidInput


@dg.asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"html"},
    partitions_def=batches,
    deps=["batch_export", "batch_outcomes", "second_export"],
    retry_policy=IO_RETRY,
    code_version="1",
)
def batch_page(context: dg.AssetExecutionContext, home: RoutingHome, engine: BatchEngine) -> dg.MaterializeResult:
    """One HTML file about the batch, to be opened in a browser: what was asked, what it costs and buys, where the
    instructions went, what other budgets would buy, what is in doubt, and later whether the promise was kept.
    """
    paths, batch_id = home.paths(), context.partition_key
    from routing_assets.audit.page import write_page
    from routing_assets.batches.known import decision_in_force

    try:
        decided_by = decision_in_force(paths.warehouse, batch_id)["dagster_run_id"]
        run = context.instance.get_run_by_id(decided_by)
        runs = [decided_by] if run is None else runs_of(context.instance, run)
        page = write_page(paths.warehouse, paths.store, paths.folders, engine.engine(), batch_id, runs)
    except InvalidInput as error:  # the decision and the outcomes of this run stand without a page
        context.log.warning(f"no page was written: {error}")
        return dg.MaterializeResult(metadata={"no_page": str(error)})
    return dg.MaterializeResult(
        metadata={"page": dg.MetadataValue.url(page.as_uri()), "file": dg.MetadataValue.path(str(page))}
    )
