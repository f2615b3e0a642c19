"""Stage 7: what was sent to the providers for a batch, and what became of it."""

import dagster as dg
import pyarrow as pa

from routing_assets.batches.policy import read_policy
from routing_assets.batches.submissions.advance import advance
from routing_assets.batches.submissions.desk import Desk
from routing_assets.batches.submissions.ledger import submissions_of
from routing_assets.batches.submissions.overview import SCHEMA, overview
from routing_assets.defs.common import OWNERS, batches, data_version, failure, markdown_table, tags
from routing_assets.defs.home import RoutingHome
from routing_assets.foundation.errors import InvalidInput
from routing_assets.routers.catalog_in_force import catalog_in_force

GROUP = "outcomes"


@dg.asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"parquet"},
    partitions_def=batches,
    deps=["batch_export"],
    code_version="1",
)
def submissions(context: dg.AssetExecutionContext, home: RoutingHome) -> dg.MaterializeResult:
    """The submissions of a batch: its files are sent as far as its money goes, results are fetched, and what a crash
    left open is found at its provider before anything is sent again.
    """
    paths, batch_id = home.paths(), context.partition_key
    try:
        settings = read_policy(paths.policy_file).submit
        if settings is None:
            raise InvalidInput(
                "nothing is sent to providers", source=str(paths.policy_file), remedy="Add submit to the policy."
            )
        desk = Desk(
            paths.warehouse,
            paths.store,
            paths.folders,
            settings,
            context.run_id,
            catalog=catalog_in_force(paths.store),
        )
        remarks = advance(desk, batch_id)
    except InvalidInput as error:
        raise failure(error) from error
    for remark in remarks:
        context.log.warning(remark)
    rows = overview(submissions_of(paths.warehouse, batch_id))
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    return dg.MaterializeResult(
        value=table,
        data_version=data_version(table),
        metadata={"submissions": markdown_table(rows), "waiting": len(remarks)},
    )


submit_and_collect = dg.define_asset_job(
    "submit_and_collect",
    selection=dg.AssetSelection.assets("submissions"),
    partitions_def=batches,
    tags=tags(priority=1, minutes=120),
    description="Send the request files of one batch, and fetch the results of its jobs that ended.",
)
