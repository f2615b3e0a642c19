"""Seconds of each command that only reads, from the shell: of the clock, and of the processor.

    python tests/benchmarks/quick_commands.py [--folder DIR]

A router is trained on simulated labels and a batch of 20 is routed first, once for a ``--folder``. Each command runs
twice; the second run is shown. On a busy machine only seconds of the processor tell.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from small_batch import measure

from routing_assets.home import Home

BATCH = "small-0"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="keep the trained router here, and use again what is there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.folder or Path(temporary)).absolute()
        os.environ |= {"ROUTING_HOME": str(folder / "home"), "DAGSTER_HOME": str(folder / "home" / "dagster")}
        home = Home.from_env()
        if not home.shelf.folder.exists():
            measure(home, 20, 1, profile=False)
        instruction = home.store.read("routed_batch", BATCH)["instruction_id"][0].as_py()
        reading = (["--help"], ["routers"], ["batches"], ["explain", BATCH, instruction], ["report"])
        checking = (["audit", BATCH, "--quick"], ["audit"], ["audit", BATCH], ["doctor"])
        batch = str(home.root / "small.parquet")
        routing = (["route", batch, "--budget-fraction", "0.5", "--batch-id", "by-hand", "--duplicate"],)
        print("| command | clock | processor |\n|---|---|---|")
        for command in (*reading, *checking, *routing):
            run(command)
            clock_s, processor_s = run(command)
            print(f"| `{' '.join(command[:2])}{' ...' * (len(command) > 2)}` | {clock_s:.2f} s | {processor_s:.2f} s |")


def run(command: list[str]) -> tuple[float, float]:
    """Seconds of the clock and of the processor that a command takes."""
    clock, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "routing_assets.cli", *command], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - clock, processor


if __name__ == "__main__":
    main()
