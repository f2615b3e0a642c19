"""A program: allocation by sweeps on a simulated cluster. ``allocation_on_cluster.py FOLDER``; the tests run it."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from cluster import note, noted, started, tell, wait_for
from ray.cluster_utils import Cluster

from routing_assets.allocation import POLICIES, AnswerFolder, ParquetFile, PartedProblem, WidePart, allocate_parts
from routing_assets.allocation.parts import Matrices
from routing_assets.engine import Engine, LocalEngine, RayEngine

PARTS, ROWS, MODELS = 12, 8_000, 4
DEARER = np.linspace(0.25, 1, MODELS, dtype=np.float32)
"""Success and cost of the models, against those of the last one."""
BUDGET = 0.3 * PARTS * ROWS


@dataclass(frozen=True)
class NotedPart:
    """A part in files. Each reading is noted, and takes a while where a kill is to hit it."""

    part: WidePart
    number: int
    log: Path
    pause_s: float

    @property
    def rows(self) -> int:
        return self.part.rows

    def read(self) -> Matrices:
        note(self.log, self.number)
        time.sleep(self.pause_s)
        return self.part.read()


def write_problem(folder: Path) -> None:
    """Random success and cost, a file of each per part."""
    for number in range(PARTS):
        rng = np.random.default_rng(number)
        for name in ("success", "cost"):
            pairs = rng.random((ROWS, MODELS), np.float32) * DEARER
            table = pa.table({name: pa.FixedSizeListArray.from_arrays(pa.array(pairs.reshape(-1)), MODELS)})
            pq.write_table(table, folder / f"{name}-{number}.parquet")


def answers_in(folder: Path) -> list[Path]:
    return sorted(folder.glob("part-*.parquet"))


def decide(engine: Engine, folder: Path, name: str, policy: str = "mip", pause_s: float = 0.0) -> dict[str, Any]:
    """Allocate into the folder ``name``: certificate, the hash of all choices, and that of each part's file."""
    answers, log = folder / name, folder / f"{name}.log"
    answers.mkdir(exist_ok=True)
    parts = []
    for number in range(PARTS):
        files = [ParquetFile.at(folder / f"{matrix}-{number}.parquet") for matrix in ("success", "cost")]
        parts.append(NotedPart(WidePart(*files), number, log, pause_s))
    done = allocate_parts(PartedProblem(parts, BUDGET), policy, engine=engine, keep=AnswerFolder(str(answers)))
    return {
        "choice": hashlib.sha256(done.choice.tobytes()).hexdigest(),
        "certificate": [done.status, done.expected_success, done.total_cost, done.upper_bound, done.shadow_price],
        "rows": len(done.choice),
        "passes": done.passes,
        "files": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(answers.iterdir())},
    }


def node_killed(engine: RayEngine, cluster: Cluster, node: Any, folder: Path, sweep: str) -> dict[str, Any]:
    """One of the two nodes is killed while parts are swept to decide, or to answer."""
    answers, log = folder / sweep, folder / f"{sweep}.log"
    moments = {"deciding": lambda: len(noted(log)) >= PARTS + 4, "answering": lambda: len(answers_in(answers)) >= 4}
    answered: list[int] = []

    def kill() -> None:
        wait_for(moments[sweep])
        cluster.remove_node(node, allow_graceful=False)
        answered.append(len(answers_in(answers)))

    killer = threading.Thread(target=kill)
    killer.start()
    found = decide(engine, folder, sweep, pause_s=0.3)
    killer.join()
    readings = noted(log)
    return {**found, "answered": answered, "readings": len(readings), "read": sorted(set(readings))}


def driver_killed(engine: RayEngine, folder: Path) -> dict[str, Any]:
    """A driver is killed while parts are answered, and another one allocates again, into the same folder."""
    driver = subprocess.Popen([sys.executable, __file__, str(folder), engine.address], start_new_session=True)
    wait_for(lambda: len(answers_in(folder / "resumed")) >= 4)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    left = len(answers_in(folder / "resumed"))
    return {**decide(engine, folder, "resumed"), "left_by_the_first": left}


def main(folder: Path) -> None:
    write_problem(folder)
    with started() as (cluster, nodes):
        engine = RayEngine(cluster.address)
        sides: dict[str, Engine] = {"local": LocalEngine(), "ray": engine}
        found: dict[str, Any] = {
            "policies": {
                policy: {name: decide(side, folder, f"{policy}-{name}", policy) for name, side in sides.items()}
                for policy in POLICIES
            },
            "driver_killed": driver_killed(engine, folder),
            "deciding": node_killed(engine, cluster, nodes[0], folder, "deciding"),
        }
        nodes.append(cluster.add_node(num_cpus=1))
        found["answering"] = node_killed(engine, cluster, nodes[1], folder, "answering")
    tell(folder, found)


if __name__ == "__main__":
    if len(sys.argv) == 3:  # the driver that is to be killed
        decide(RayEngine(sys.argv[2]), Path(sys.argv[1]), "resumed", pause_s=0.3)
    else:
        main(Path(sys.argv[1]))
