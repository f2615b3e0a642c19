"""Overhead of a run on a small batch: seconds inside the run process, imports done, from the job's start to its end.

    python tests/benchmarks/small_batch.py [--size 20] [--runs 5] [--profile]

A router is trained on simulated labels first. The first run pays for imports (torch, transformers, matplotlib) and is
shown apart. Seconds of the clock and of the processor: on a busy machine only the latter tell. Transactions are
those on Dagster's databases.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import tempfile
import time
from pathlib import Path
from statistics import median

import sqlalchemy as sa

from routing_assets.batches.receive import Admission, receive
from routing_assets.cli.run_job import instance_of, run_job
from routing_assets.datasets import BatchInstructions, write_batch
from routing_assets.datasets.simulated import simulate
from routing_assets.home import Home

TWIN = "r1_math"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=20)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="keep the trained router here, and use again what is there")
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.folder or Path(temporary)).absolute()
        os.environ |= {"ROUTING_HOME": str(folder / "home"), "DAGSTER_HOME": str(folder / "home" / "dagster")}
        measure(Home.from_env(), options.size, options.runs, profile=options.profile)


def measure(home: Home, size: int, runs: int, *, profile: bool) -> None:
    """Train where nothing is trained yet, then route a small batch again and again."""
    with instance_of(home) as instance:
        if not home.shelf.folder.exists():
            train(instance)
        batch = simulate(TWIN, size=size, seed=7)
        path = home.root / "small.parquet"
        write_batch(BatchInstructions(batch.instruction_id, batch.instruction, batch.task), path)
        taken, transactions = [], []
        sa.event.listen(sa.Engine, "commit", transactions.append)
        for number in range(runs + 1):
            received = receive(
                home.warehouse, home.folders, path, batch_id=f"small-{number}", admission=Admission(may_repeat=True)
            )
            profiler = cProfile.Profile()
            transactions.clear()
            if profile and number == runs:
                profiler.enable()
            clock, processor = time.perf_counter(), time.process_time()
            run = run_job(instance, "route_batch", batch_id=received.batch_id)
            taken.append((time.perf_counter() - clock, time.process_time() - processor))
            profiler.disable()
        steps, events = len(instance.get_run_step_stats(run.run_id)), len(instance.all_logs(run.run_id))
    print(f"| a run on {size} instructions | clock | processor |\n|---|---|---|")
    print(f"| the first, with imports | {taken[0][0]:.2f} s | {taken[0][1]:.2f} s |")
    for name, of in (("median", median), ("least", min)):
        clock_s, processor_s = (of(column) for column in zip(*taken[1:], strict=True))
        print(f"| {name} of {runs} further ones | {clock_s:.2f} s | {processor_s:.2f} s |")
    print(f"\n{steps} steps, {events} events, {len(transactions)} transactions")
    if profile:
        pstats.Stats(profiler).sort_stats("cumtime").print_stats(70)


def train(instance: object) -> None:
    """A router for the simulated twin."""
    run_job(
        instance,  # type: ignore[arg-type]
        "train_router",
        ops={
            "labelled_instructions": {"labels": f"simulated:{TWIN}", "size": 400},
            "model_catalog": {"catalog": f"simulated:{TWIN}"},
            "success_classifier": {"method": "frozen"},
            "router": {"ece_limit": 1.0, "ece_tolerance": 1.0},
        },
    )


if __name__ == "__main__":
    main()
