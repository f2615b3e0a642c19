"""Data versions of a batch in parts, by the engine. As a program, of a simulated cluster: ``… FOLDER HOME``."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from cluster import started, tell

from routing_assets.allocation import AnswerFolder, PartedProblem, WidePart, allocate_parts
from routing_assets.batches.matrices import derive_table, price_part, score_part, sum_costs, sum_requests
from routing_assets.engine import Engine, RayEngine
from routing_assets.home import Home
from routing_assets.storage.draft import Draft, write_table
from routing_assets.storage.in_force import router_in_force
from routing_assets.storage.partitioned import PartitionedTable, data_version_of


def versions(engine: Engine, home: Home, folder: Path) -> dict[str, str]:
    """Score, price and allocate the installation's routed batch in three parts, none of whose texts is embedded."""
    whole = home.store.read("batch_instructions", "weekly")
    batch = write_table(Draft(str(folder / "instructions"), whole.schema), [whole], part_rows=25)
    router = home.shelf.folder / router_in_force(home.warehouse)["router_version"]
    scored = _derived(engine, score_part, batch, folder / "scored", router, folder / "embeddings")
    requests = sum_requests(engine, batch.parts)
    priced = _derived(engine, price_part, batch, folder / "priced", home.store.read("cost_model"), requests)
    return {
        "scoring": scored.data_version,
        "pricing": priced.data_version,
        "allocation": _allocated(engine, scored, priced, folder / "answers"),
    }


def _derived(
    engine: Engine, function: object, batch: PartitionedTable, folder: Path, *arguments: object
) -> PartitionedTable:
    table = derive_table(engine, function, batch.parts, lambda schema: Draft(str(folder), schema), *arguments)
    assert isinstance(table, PartitionedTable)
    return table


def _allocated(engine: Engine, scored: PartitionedTable, priced: PartitionedTable, folder: Path) -> str:
    folder.mkdir()
    parts = [
        WidePart(success, cost, success_column="decision")
        for success, cost in zip(scored.parts, priced.parts, strict=True)
    ]
    budget = 0.4 * float(sum_costs(engine, priced).max())
    answers = allocate_parts(PartedProblem(parts, budget), engine=engine, keep=AnswerFolder(str(folder))).answers
    return data_version_of([hashlib.sha256(Path(answer.path).read_bytes()).hexdigest() for answer in answers])


if __name__ == "__main__":
    folder, root = map(Path, sys.argv[1:])
    with started() as (cluster, _):
        tell(folder, versions(RayEngine(cluster.address), Home(root), folder / "ray"))
