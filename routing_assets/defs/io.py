"""Tables between assets travel through the Parquet store."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import dagster as dg
import pyarrow as pa

from routing_assets.dagster_instance.runs import runs_of
from routing_assets.defs.columns import COLUMNS
from routing_assets.defs.home import RoutingHome
from routing_assets.foundation.locks import run_alive
from routing_assets.routers.release_ledger import finish_release
from routing_assets.storage.in_force import PRICES
from routing_assets.storage.parquet_store import Store
from routing_assets.storage.partitioned import PartitionedTable


class ParquetStoreIOManager(dg.ConfigurableIOManager):
    """Writes each asset's ``pyarrow.Table`` atomically, one file per run, and reads the current one.

    A ``PartitionedTable`` was written by the asset itself, into the draft that the store gave it; it becomes current
    here. An input of that type gets references to the parts, of a table of one file too.
    Within a run, an asset reads what this very run wrote, or the one that it resumes, even when another run of the
    partition is under way. Prices are not current until they are put in force.
    An input's metadata ``columns`` names those that it needs.
    As every run needs it, it also marks the run as alive, so that a killed one is noticed.
    """

    home: dg.ResourceDependency[RoutingHome]

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["ParquetStoreIOManager"]:
        home = self.home.paths()
        finish_release(home.releases)
        with run_alive(home.locks, context.run_id) if context.run_id else nullcontext():
            yield self

    def handle_output(self, context: dg.OutputContext, obj: pa.Table | PartitionedTable) -> None:
        store, asset, partition, run_id = self._store(), context.asset_key.path[-1], _partition(context), context.run_id
        if isinstance(obj, PartitionedTable):
            store.make_current(asset, partition, run_id)
            rows, path, size = obj.rows, obj.folder, obj.bytes
        else:
            file = store.write(obj, asset, partition, run_id, make_current=asset not in PRICES)
            rows, path, size = obj.num_rows, str(file), file.stat().st_size
        context.add_output_metadata(
            {
                "dagster/row_count": rows,
                "dagster/column_schema": dg.TableSchema([_column(field) for field in obj.schema]),
                "dagster/uri": dg.MetadataValue.path(path),
                "size_bytes": size,
            }
        )

    def load_input(self, context: dg.InputContext) -> pa.Table | PartitionedTable:
        asset, partition = context.asset_key.path[-1], _partition(context)
        runs = runs_of(context.step_context.instance, context.step_context.dagster_run)
        if context.dagster_type.typing_type is PartitionedTable:
            return self._store().parts(asset, partition, *runs)
        columns = (context.definition_metadata or {}).get("columns")
        return self._store().read(asset, partition, *runs, columns=columns)

    def _store(self) -> Store:
        return self.home.paths().store


def _column(field: pa.Field) -> dg.TableColumn:
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    return dg.TableColumn(field.name, str(kind), COLUMNS.get(field.name))


def _partition(context: dg.InputContext | dg.OutputContext) -> str | None:
    return context.asset_partition_key if context.has_asset_partitions else None
