"""A program: what the engine does on a simulated cluster. ``simulated_cluster.py FOLDER``; the tests run it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from cluster import note, noted, started, tell, wait_for
from ray.cluster_utils import Cluster

from routing_assets.allocation import InfeasibleBudget
from routing_assets.engine import Engine, LocalEngine, RayEngine
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.wide_matrix import wide_table
from routing_assets.storage.draft import NOTES, Draft, make_parts
from routing_assets.storage.partitioned import PartitionedTable

PARTS, ROWS = 12, 1000
NOTHING = np.empty((0, 2), np.float32)
SCHEMA = wide_table(["small", "large"], {"decision": NOTHING}, others={"row": pa.array([], pa.int64())}).schema


def scored(number: int, log: Path, pause_s: float) -> pa.Table:
    """Rows that depend on nothing but the part's number."""
    note(log, number)
    time.sleep(pause_s)
    values = np.random.default_rng(number).random((ROWS, 2), dtype=np.float32)
    rows = pa.array(np.arange(number * ROWS, (number + 1) * ROWS))
    return wide_table(["small", "large"], {"decision": values}, others={"row": rows})


def make(engine: Engine, folder: Path, log: Path, pause_s: float = 0.0) -> PartitionedTable:
    return make_parts(engine, scored, range(PARTS), Draft(str(folder), SCHEMA, work="inputs"), log, pause_s)


def invalid(part: int, log: Path) -> int:
    note(log, part)
    if part == 1:
        raise InvalidInput("no text", source="batch.csv", row=7, remedy="Write one.")
    if part == 2:
        raise InfeasibleBudget(1.0, 2.0, policy="ndch")
    return part


def deadly(part: int, log: Path) -> int:
    note(log, part)
    os._exit(9)


def deadly_once(part: int, log: Path) -> int:
    if part == 3 and log.read_text().split().count("3") == 0:
        note(log, part)
        os._exit(9)
    return part


def under_way(part: int, folder: Path) -> int:
    """How many tasks are under way while this one is."""
    mine = folder / str(part)
    mine.touch()
    time.sleep(0.2)
    count = len(list(folder.iterdir()))
    mine.unlink()
    return count


def caught(results: Iterator[Any]) -> dict[str, Any]:
    seen = []
    try:
        for result in results:
            seen.append(result)
    except Exception as error:
        return {"seen": seen, "kind": type(error).__name__, "message": str(error)}
    return {"seen": seen}


def errors(engine: RayEngine, folder: Path) -> dict[str, Any]:
    log, fatal, once = folder / "errors.log", folder / "fatal.log", folder / "once.log"
    once.touch()
    return {
        "invalid": caught(engine.map(invalid, [0, 1, 3], log)),
        "infeasible": caught(engine.map(invalid, [0, 2, 3], log)),
        "attempts_at_invalid": noted(log).count(1),
        "fatal": caught(RayEngine(engine.address, retries=1).map(deadly, [0], fatal)),
        "attempts_at_fatal": len(noted(fatal)),
        "process_lost_once": list(engine.map(deadly_once, range(6), once)),
    }


def bounded(engine: RayEngine, folder: Path) -> dict[str, Any]:
    folder.mkdir()
    alone = RayEngine(engine.address, in_flight=1)
    return {
        "bounded": max(alone.map(under_way, range(4), folder)),
        "free": max(engine.map(under_way, range(8), folder)),
    }


def driver_killed(engine: RayEngine, folder: Path) -> dict[str, Any]:
    """A driver is killed half way, and another one goes on."""
    table, first, second = folder / "resumed", folder / "first.log", folder / "second.log"
    program = [sys.executable, __file__, str(folder), engine.address]
    driver = subprocess.Popen(program, start_new_session=True)
    wait_for(lambda: len(list(table.glob(f"{NOTES}/*.json"))) >= 4)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    time.sleep(1)
    kept = len(Draft(str(table), SCHEMA, work="inputs").done())
    version = make(engine, table, second).data_version
    return {"version": version, "started_by_the_first": len(set(noted(first))), "kept": kept, "redone": noted(second)}


def node_killed(engine: RayEngine, cluster: Cluster, node: Any, folder: Path) -> dict[str, Any]:
    """One of the two nodes is killed while it works on a part."""
    log = folder / "node.log"

    def kill() -> None:
        wait_for(lambda: len(noted(log)) >= 4)
        cluster.remove_node(node, allow_graceful=False)

    killer = threading.Thread(target=kill)
    killer.start()
    table = make(engine, folder / "survived", log, pause_s=0.5)
    killer.join()
    rows = table.read(["row"])["row"].to_pylist()
    return {"version": table.data_version, "rows_are_whole": rows == list(range(PARTS * ROWS)), "started": noted(log)}


def main(folder: Path) -> None:
    with started() as (cluster, nodes):
        engine = RayEngine(cluster.address)
        found = {
            "local": make(LocalEngine(), folder / "local", folder / "local.log").data_version,
            "order": list(engine.map(abs, range(0, -50, -1))),
            "none": list(engine.map(abs, [])),
            "errors": errors(engine, folder),
            "in_flight": bounded(engine, folder / "under_way"),
            "driver_killed": driver_killed(engine, folder),
            "node_killed": node_killed(engine, cluster, nodes[0], folder),
        }
    tell(folder, found)


if __name__ == "__main__":
    if len(sys.argv) == 3:  # the driver that is to be killed
        make(RayEngine(sys.argv[2]), Path(sys.argv[1]) / "resumed", Path(sys.argv[1]) / "first.log", pause_s=0.5)
    else:
        main(Path(sys.argv[1]))
