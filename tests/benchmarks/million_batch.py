"""One very large batch routed by the command's own path: seconds of each step, peak memory of the run and its workers.

    python tests/benchmarks/million_batch.py [--size 1000000] [--models 11] [--suffix .parquet] [--folder DIR]

A router is trained on simulated labels; the batch is short synthetic instructions whose embeddings are put into the
cache beforehand (seeded random unit vectors), as those of a real batch would be that was embedded on another machine.
Everything else is what a user's batch goes through: the received file, the Dagster run, the ledger, the outbox.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from routing_assets.batches.receive import receive
from routing_assets.cli import routers as router_commands
from routing_assets.cli.run_job import instance_of, run_job
from routing_assets.datasets.simulated import simulate
from routing_assets.home import Home
from routing_assets.prediction.encoder.embedding_cache import SHARD_ROWS, EmbeddingCache
from routing_assets.routers.release import load_champion

TWIN = "llm_uncertainty_bench"
ALLOCATION_AND_WRITE = ("batch_budget", "allocations", "routed_batch", "batch_export")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=1_000_000)
    parser.add_argument("--models", type=int, default=11)
    parser.add_argument("--suffix", choices=[".parquet", ".csv", ".jsonl"], default=".parquet")
    parser.add_argument("--folder", type=Path, help="keep everything here, and use again what is there")
    parser.add_argument("--run", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.folder or Path(temporary)).absolute()
        batch = folder / f"batch{options.size}{options.suffix}"
        os.environ |= {"ROUTING_HOME": str(folder / "home"), "DAGSTER_HOME": str(folder / "home" / "dagster")}
        home = Home.from_env()
        if options.run:
            measure_run(home, batch)
            return
        prepare(home, batch, options.size, options.models)
        # A process of its own, so that its peak memory is the run's alone.
        arguments = [f"--size={options.size}", f"--suffix={options.suffix}", f"--folder={folder}", "--run"]
        subprocess.run([sys.executable, __file__, *arguments], check=True)


def prepare(home: Home, batch: Path, size: int, models: int) -> None:
    """A trained router, the batch file, and the embeddings of its instructions."""
    batch.parent.mkdir(parents=True, exist_ok=True)
    if not home.shelf.folder.exists():
        labels = simulate(TWIN, size=2_000, seed=0).to_arrow().replace_schema_metadata(None)
        texts = [name for name in ("instruction_id", "instruction", "task") if name in labels.column_names]
        names = [name for name in labels.column_names if name not in (*texts, "group") and "|" not in name]
        pq.write_table(labels.select([*texts, *names[:models]]), batch.parent / "labels.parquet")
        router_commands.train(
            home, str(batch.parent / "labels.parquet"), f"simulated:{TWIN}", "table", method="frozen", seed=0
        )
    if not batch.exists():
        texts = [f"Question {i}: what is {i * 7919 % 99_991} times {i % 97}, and why?" for i in range(size)]
        fill_cache(home, texts)
        write(pa.table({"instruction_id": [f"q{i}" for i in range(size)], "instruction": texts}), batch)


def fill_cache(home: Home, texts: list[str]) -> None:
    """Unit vectors for texts that were never embedded, through the cache's own door."""
    classifier = load_champion(home.warehouse, home.shelf).router.classifier
    cache = EmbeddingCache(classifier._embeddings.encoder, home.shelf.embeddings)
    layers = len(cache.encoder.config.pooled_layers)
    random = np.random.default_rng(0)
    for start in range(0, len(texts), SHARD_ROWS):
        part = classifier.preparation.prepare(texts[start : start + SHARD_ROWS])
        vectors = random.standard_normal((len(part), layers, cache.encoder.width), dtype=np.float32)
        vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
        cache.add(part, vectors.reshape(len(part), -1))


def write(table: pa.Table, path: Path) -> None:
    if path.suffix == ".parquet":
        pq.write_table(table, path)
    elif path.suffix == ".csv":
        pacsv.write_csv(table, path)
    else:
        table.to_pandas().to_json(path, orient="records", lines=True)


class Processor:
    """Processor seconds of this process at any moment of its life: on a busy machine the clock says little."""

    def __init__(self) -> None:
        self.samples = [(time.time(), time.process_time())]
        threading.Thread(target=self._sample, daemon=True).start()

    def _sample(self) -> None:
        while True:
            time.sleep(0.02)
            self.samples.append((time.time(), time.process_time()))

    def between(self, start: float, end: float) -> float:
        """Processor seconds between two moments (seconds since the epoch)."""
        moments, spent = zip(*self.samples, strict=True)
        return float(np.diff(np.interp([start, end], moments, spent))[0])


class Workers:
    """Peak memory in GiB of each process that this one starts, looked at until it ends."""

    def __init__(self) -> None:
        self.peaks: dict[int, float] = {}
        threading.Thread(target=self._sample, daemon=True).start()

    def _sample(self) -> None:
        while True:
            time.sleep(0.2)
            with suppress(FileNotFoundError, ProcessLookupError, KeyError):  # one has just ended
                for children in Path("/proc/self/task").glob("*/children"):
                    self.peaks |= {int(pid): peak_gib(pid) for pid in children.read_text().split()}


def measure_run(home: Home, batch: Path) -> None:
    """Receive and route the batch in this process; print what each step took."""
    processor, workers, began = Processor(), Workers(), time.time()
    with instance_of(home) as instance:
        received = receive(home.warehouse, home.folders, batch)
        show("received and checked", time.time() - began, processor.between(began, time.time()))
        result = run_job(instance, "route_batch", batch_id=received.batch_id)
        steps = instance.get_run_step_stats(result.run_id)
    clock = {step.step_key: step.end_time - step.start_time for step in steps}
    spent = {step.step_key: processor.between(step.start_time, step.end_time) for step in steps}
    for step in sorted(steps, key=lambda step: step.start_time):
        show(step.step_key, clock[step.step_key], spent[step.step_key])
    show("allocation and write", *(sum(seconds[step] for step in ALLOCATION_AND_WRITE) for seconds in (clock, spent)))
    show("everything", time.time() - began, processor.between(began, time.time()))
    print(f"peak memory of the run process {peak_gib():.2f} GiB")
    for pid, peak in workers.peaks.items():
        print(f"peak memory of its process {pid} {peak:.2f} GiB")


def show(what: str, clock_s: float, processor_s: float) -> None:
    print(f"{what:<24}{clock_s:8.1f} s   {processor_s:8.1f} s of the processor", flush=True)


def peak_gib(process: str = "self") -> float:
    """Greatest resident memory of a process so far (of ``getrusage``, a child inherits its parent's)."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 2**20


if __name__ == "__main__":
    main()
