"""Tables between assets travel through the Parquet store."""

import dagster as dg
import pyarrow as pa

from routing_assets.settings import Home
from routing_assets.store import Store


class ParquetStoreIOManager(dg.ConfigurableIOManager):
    """Writes each asset's ``pyarrow.Table`` atomically, one file per run, and reads the current one.

    Within a run, an asset reads what this very run wrote, even when another run of the partition is under way.
    """

    def handle_output(self, context: dg.OutputContext, obj: pa.Table) -> None:
        path = self._store().write(obj, context.asset_key.path[-1], _partition(context), context.run_id)
        schema = dg.TableSchema([dg.TableColumn(field.name, str(field.type)) for field in obj.schema])
        context.add_output_metadata(
            {
                "dagster/row_count": obj.num_rows,
                "dagster/column_schema": schema,
                "dagster/uri": dg.MetadataValue.path(str(path)),
                "size_bytes": path.stat().st_size,
            }
        )

    def load_input(self, context: dg.InputContext) -> pa.Table:
        return self._store().read(context.asset_key.path[-1], _partition(context), context.step_context.run_id)

    def _store(self) -> Store:
        return Store(Home.from_env().store)


def _partition(context: dg.InputContext | dg.OutputContext) -> str | None:
    return context.asset_partition_key if context.has_asset_partitions else None
