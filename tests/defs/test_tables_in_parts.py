"""Assets hand tables in parts to each other by reference, and nobody downstream has to know."""

import dagster as dg
import pyarrow as pa

from routing_assets.defs.engine import BatchEngine
from routing_assets.defs.home import RoutingHome
from routing_assets.defs.io import ParquetStoreIOManager
from routing_assets.home import Home
from routing_assets.storage.draft import make_parts
from routing_assets.storage.partitioned import PartitionedTable
from routing_assets.storage.parts import Part

SCHEMA = pa.schema([("row", pa.int64())])


def ten_rows(number: int) -> pa.Table:
    return pa.table({"row": range(10 * number, 10 * number + 10)})


def total(part: Part) -> int:
    return sum(part.read(["row"])["row"].to_pylist())


def test_parts_go_from_asset_to_asset(home: Home) -> None:
    home.create()

    @dg.asset
    def rows(context: dg.AssetExecutionContext, engine: BatchEngine) -> dg.MaterializeResult[PartitionedTable]:
        draft = home.store.draft("rows", None, context.run_id, SCHEMA)
        table = make_parts(engine.engine(), ten_rows, range(3), draft)
        return dg.MaterializeResult(value=table, data_version=dg.DataVersion(table.data_version))

    @dg.asset
    def one_file() -> pa.Table:
        return ten_rows(3)

    @dg.asset
    def totals(engine: BatchEngine, rows: PartitionedTable, one_file: PartitionedTable) -> pa.Table:
        return pa.table({"total": list(engine.engine().map(total, [*rows.parts, *one_file.parts]))})

    @dg.asset
    def counted(rows: pa.Table) -> pa.Table:
        return pa.table({"count": [rows.num_rows]})

    installation = RoutingHome(root=str(home.root))
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize(
            [rows, one_file, totals, counted],
            resources={
                "engine": BatchEngine(home=installation, workers=1),
                "io_manager": ParquetStoreIOManager(home=installation),
            },
            instance=instance,
        )
    store = home.store
    assert store.read("totals")["total"].to_pylist() == [45, 145, 245, 345]
    assert store.read("counted")["count"].to_pylist() == [30]
    (made,) = result.asset_materializations_for_node("rows")
    assert made.metadata["dagster/row_count"].value == 30
    assert made.metadata["dagster/uri"].value == store.parts("rows").folder
    assert made.tags["dagster/data_version"] == store.parts("rows").data_version
