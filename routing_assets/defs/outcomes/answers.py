"""Stage 7: the answers that came back, read and priced."""

from collections.abc import Mapping
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from routing_assets.batches.answers import collect_answers
from routing_assets.defs.common import OWNERS, batches, data_version, failure, shown_figures
from routing_assets.defs.home import RoutingHome
from routing_assets.foundation.errors import InvalidInput

GROUP = "outcomes"


@dg.asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"parquet"},
    partitions_def=batches,
    deps=["batch_export"],
    code_version="2",
)
def answers(context: dg.AssetExecutionContext, home: RoutingHome) -> dg.MaterializeResult:
    """Every call of a batch that came back: its answer or why there is none, its tokens, and its cost by the price list
    of the decision. Partial, late, repeated and unordered files are accepted.
    """
    paths = home.paths()
    try:
        found = collect_answers(paths.warehouse, paths.store, paths.folders, context.partition_key)
    except InvalidInput as error:
        raise failure(error) from error
    table = found.to_arrow()
    figures = shown_figures({**figures_of(table), "spent_usd": float(found.spent)})
    return dg.MaterializeResult(value=table, data_version=data_version(table), metadata=figures)


def figures_of(table: pa.Table) -> Mapping[str, Any]:
    """Calls, answers, failures, and calls whose cost is unknown."""
    newest = table.filter(table["newest"])
    return {
        "calls": table.num_rows,
        "answered": newest["error"].null_count,
        "failed": newest.num_rows - newest["error"].null_count,
        "cost_unknown": pc.sum(pc.is_valid(table["cost_unknown"])).as_py() or 0,
    }
