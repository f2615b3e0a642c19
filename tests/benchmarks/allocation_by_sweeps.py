"""Allocation of a batch on disk: time, passes and peak memory, in memory and by sweeps, each in a process of its own.

``python tests/benchmarks/allocation_by_sweeps.py 100_000_000`` makes the batch part by part in a temporary folder (12.8
GB for a hundred million rows), and removes it at the end.
"""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

K, PART = 16, 1 << 17
USD_PER_ROW = 1.5e-4


def write_parts(folder: Path, rows: int) -> None:
    """Random success and cost in float32, a file of each per part."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for number, start in enumerate(range(0, rows, PART)):
        rng, size = np.random.default_rng(number), min(PART, rows - start)
        for name, scale in (("success", 1.0), ("cost", 1e-3)):
            pairs = pa.FixedSizeListArray.from_arrays(pa.array(rng.random(size * K, np.float32) * np.float32(scale)), K)
            path = folder / f"{name}-{number:06d}.parquet"
            pq.write_table(pa.table({name: pairs}), path, compression="none", use_dictionary=False)


def parts_in(folder: Path) -> list:
    from routing_assets.allocation import ParquetFile, WidePart

    return [
        WidePart(ParquetFile.at(path), ParquetFile.at(path.with_name(path.name.replace("success", "cost"))))
        for path in sorted(folder.glob("success-*.parquet"))
    ]


def measure(folder: Path, side: str) -> dict:
    """Run one side here: seconds, passes, bound and hash of the answer, MiB at the peak and before the start."""
    import hashlib

    from routing_assets.allocation import AllocationProblem, AnswerFolder, PartedProblem, allocate, allocate_parts

    parts = parts_in(folder)
    rows = sum(part.rows for part in parts)
    before, start = peak_mib(), time.perf_counter()
    if side == "memory":
        success, cost = np.empty((rows, K), np.float32), np.empty((rows, K), np.float32)
        first = 0
        for part in parts:
            at = slice(first, first + part.rows)
            success[at], cost[at], _ = part.read()
            first += part.rows
        loaded = time.perf_counter() - start
        answer, passes = allocate(AllocationProblem(success, cost, rows * USD_PER_ROW)), 1
    elif side == "choice":
        loaded, answer = 0.0, allocate_parts(PartedProblem(parts, rows * USD_PER_ROW))
        passes = answer.passes
    else:
        keep = AnswerFolder(str(folder))
        loaded, answer = 0.0, allocate_parts(PartedProblem(parts, rows * USD_PER_ROW), keep=keep)
        passes = answer.passes
    seconds, peak = time.perf_counter() - start, peak_mib()
    choice = hashlib.sha256(np.asarray(answer.choice, np.int16).tobytes()).hexdigest()[:16]
    found = {"seconds": seconds, "loading": loaded, "passes": passes, "peak_mib": peak, "before_mib": before}
    return {**found, "rows": rows, "gap": answer.gap, "bound": answer.upper_bound, "choice": choice}


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measured(folder: Path, side: str) -> dict:
    """The same in a new process, so that its peak is its own."""
    run = subprocess.run(
        [sys.executable, __file__, str(folder), side], check=True, capture_output=True, text=True, timeout=7200
    )
    return json.loads(run.stdout)


def shown(side: str, figures: dict) -> str:
    return (
        f"| {figures['rows']:,} x {K} | {side} | {figures['seconds']:.1f} s | {figures['passes']} passes | "
        f"peak {figures['peak_mib']:.0f} MiB ({figures['before_mib']:.0f} before) | gap {figures['gap']:.1e} |"
    )


def compare_sizes(rows: int, base: int = 10_000_000) -> None:
    """Print sweeps over a batch of these rows against one of ten million, and hold them to the figures to reach."""
    with tempfile.TemporaryDirectory() as temporary:
        found = {}
        for size in (base, rows):
            folder = Path(temporary) / str(size)
            folder.mkdir()
            needed, free = size * K * 8 * 1.4, shutil.disk_usage(folder).free
            if free < needed:
                sys.exit(f"{size:,} rows need {needed / 1e9:.0f} GB in {temporary}, and {free / 1e9:.0f} GB are free")
            write_parts(folder, size)
            found[size] = measured(folder, "answers")
            print(shown("sweeps, answers on disk", found[size]), flush=True)
            shutil.rmtree(folder)
    small, large = found[base], found[rows]
    linear = large["seconds"] / small["seconds"] / (rows / base)
    print(f"{linear:.2f} x the time per row; driver {large['peak_mib']:.0f} MiB; {large['passes']} passes")
    assert large["peak_mib"] <= 1024
    assert large["passes"] <= 4
    assert linear <= 1.2


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(json.dumps(measure(Path(sys.argv[1]), sys.argv[2])))
    else:
        compare_sizes(int(sys.argv[1]))
