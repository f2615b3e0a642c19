"""What every asset of the project shares: owner, groups, partitions and table metadata."""

import base64
import os
from collections.abc import Mapping, Sequence
from typing import Any, SupportsFloat

import dagster as dg
import pyarrow as pa

from routing_assets.foundation.content_version import content_version
from routing_assets.foundation.markdown import table
from routing_assets.storage.partitioned import PartitionedTable

OWNERS = os.environ.get("ROUTING_OWNERS", "team:routing").split(",")
"""Of all assets: teams and e-mail addresses, separated by commas."""
# Dagster treats the output of an asset with check_specs as Nothing unless its type is given.
ARROW_TABLE = dg.PythonObjectDagsterType((pa.Table, PartitionedTable), name="ArrowTable")
# For assets that only read and write; wrong input fails with dg.Failure, which is never retried.
IO_RETRY = dg.RetryPolicy(max_retries=3, delay=2, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)
TRAINING_POOL = "training"  # one at a time: each takes all cores, and resumes the checkpoint of its labels
BATCHES = "batches"
batches = dg.DynamicPartitionsDefinition(name=BATCHES)


def checks_of_assignment(asset: str, *, blocking: bool) -> tuple[dg.AssetCheckSpec, dg.AssetCheckSpec]:
    """What must hold of a table that gives each instruction a model."""
    return (
        dg.AssetCheckSpec(
            "every_instruction_is_assigned_once",
            asset=asset,
            blocking=blocking,
            partitions_def=batches,
            description="The table has each instruction of the batch exactly once, with a model that may get it.",
        ),
        dg.AssetCheckSpec(
            "spend_is_within_budget",
            asset=asset,
            blocking=blocking,
            partitions_def=batches,
            description="The estimated costs, added without rounding, are at most the budget.",
        ),
    )


def failure(error: Exception) -> dg.Failure:
    """A Dagster failure for wrong input or an infeasible problem: it shows the reason and is not retried."""
    return dg.Failure(description=str(error), allow_retries=False)


def data_version(table: pa.Table | PartitionedTable) -> dg.DataVersion:
    """The content of a table: equal content, equal version."""
    return dg.DataVersion(content_version(table) if isinstance(table, pa.Table) else table.data_version)


def markdown_table(rows: Sequence[Mapping[str, Any]]) -> dg.MarkdownMetadataValue:
    """Rows as a Markdown table for the asset's page; floats with four significant digits."""
    return dg.MetadataValue.md(table(rows) if rows else "*nothing*")


def shown(number: SupportsFloat) -> float:
    """Six significant digits, as people read it; the tables keep all of them."""
    return float(f"{float(number):.6g}")


def shown_figures(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata with every float as people read it."""
    return {name: shown(value) if isinstance(value, float) else value for name, value in metadata.items()}


def inline_png(image: bytes) -> dg.MarkdownMetadataValue:
    """A figure that Dagster's UI shows in the asset's metadata."""
    return dg.MetadataValue.md(f"![figure](data:image/png;base64,{base64.b64encode(image).decode()})")


def tags(*, priority: int, minutes: int) -> dict[str, str]:
    """Order in the run queue (higher first), and the time after which a run is ended."""
    return {"dagster/priority": str(priority), "dagster/max_runtime": str(60 * minutes)}
