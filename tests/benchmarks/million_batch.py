"""One very large batch routed by the command's own path: the seconds of each step, and the peak memory.

    python tests/benchmarks/million_batch.py [--size 1000000] [--models 11] [--suffix .parquet] [--folder DIR]
        [--stub-encoder]

A router is trained on simulated labels; the batch is short synthetic instructions whose embeddings are put into the
cache beforehand (seeded random unit vectors), as those of a real batch would be that was embedded on another machine.
With ``--stub-encoder`` none is known, and a transformer of two tiny layers with random weights makes them.
Everything else is what a user's batch goes through: the received file, the Dagster run, the ledger, the outbox.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from usage import Usage, own_peak_gib

from routing_assets.batches.receive import receive
from routing_assets.cli.run_job import instance_of, run_job
from routing_assets.datasets.simulated import simulate
from routing_assets.home import Home
from routing_assets.prediction.encoder.embedding_cache import SHARD_ROWS, EmbeddingCache
from routing_assets.prediction.encoder.encoder import PACKAGED, EncoderConfig, locate_encoder
from routing_assets.routers.release import load_champion
from routing_assets.storage.partitioned import PART_ROWS

TWIN = "llm_uncertainty_bench"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=1_000_000)
    parser.add_argument("--models", type=int, default=11)
    parser.add_argument("--suffix", choices=[".parquet", ".csv", ".jsonl"], default=".parquet")
    parser.add_argument("--folder", type=Path, help="keep everything here, and use again what is there")
    parser.add_argument("--stub-encoder", action="store_true", help="embed every text, by an encoder of no quality")
    parser.add_argument("--route", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.route:
        measure_run(home_in(options.folder), options.route, options.size).write(options.route.with_suffix(".json"))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.folder or Path(temporary)).absolute()
        print(shown(route_in(folder, options.size, options.models, options.suffix, stub=options.stub_encoder)))


def route_in(folder: Path, size: int, models: int = 11, suffix: str = ".parquet", *, stub: bool = False) -> RoutedBatch:
    """Make what is not there yet, and route the batch in a process of its own, so that its peak memory is its alone."""
    home, batch = home_in(folder), folder / f"batch{size}{suffix}"
    train(home, folder, models, write_stub_encoder(folder / "encoder") if stub else PACKAGED)
    if not batch.exists():
        if not stub:
            fill_cache(home, size)
        write_batch(batch, size)
    arguments = [f"--size={size}", f"--folder={folder}", "--route", str(batch)]
    subprocess.run([sys.executable, __file__, *arguments], check=True)
    return RoutedBatch.read(batch.with_suffix(".json"))


def home_in(folder: Path) -> Home:
    """An installation in this folder, for this process."""
    os.environ |= {"ROUTING_HOME": str(folder / "home"), "DAGSTER_HOME": str(folder / "home" / "dagster")}
    return Home.from_env()


def train(home: Home, folder: Path, models: int, encoder: str) -> None:
    """A router on simulated labels, unless there is one."""
    if home.shelf.folder.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    labels = simulate(TWIN, size=2_000, seed=0).to_arrow().replace_schema_metadata(None)
    texts = [name for name in ("instruction_id", "instruction", "task") if name in labels.column_names]
    names = [name for name in labels.column_names if name not in (*texts, "group") and "|" not in name]
    pq.write_table(labels.select([*texts, *names[:models]]), folder / "labels.parquet")
    configured = {
        "labelled_instructions": {"labels": str(folder / "labels.parquet"), "format": "table"},
        "model_catalog": {"catalog": f"simulated:{TWIN}"},
        "success_classifier": {"method": "frozen", "encoder": encoder},
    }
    with instance_of(home) as instance:
        run_job(instance, "train_router", ops=configured)


def write_stub_encoder(folder: Path) -> str:
    """The packaged tokenizer with a transformer of two layers, 16 numbers wide, whose weights are random."""
    import torch
    from transformers import BertConfig, BertModel

    packaged = locate_encoder(EncoderConfig())
    shutil.copytree(packaged, folder, ignore=shutil.ignore_patterns("*.safetensors", "config.json"), dirs_exist_ok=True)
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 1, "intermediate_size": 16}
    BertModel(BertConfig(vocab_size=30_522, **shape)).save_pretrained(folder)
    return str(folder)


def texts_from(first: int, rows: int) -> list[str]:
    """Short instructions, no two of which are equal."""
    return [f"Question {i}: what is {i * 7919 % 99_991} times {i % 97}, and why?" for i in range(first, first + rows)]


def portions(size: int, rows: int = PART_ROWS) -> Iterator[pa.Table]:
    """The batch, a part at a time."""
    for first in range(0, size, rows):
        count = min(rows, size - first)
        ids = [f"q{i}" for i in range(first, first + count)]
        yield pa.table({"instruction_id": ids, "instruction": texts_from(first, count)})


def fill_cache(home: Home, size: int) -> None:
    """Unit vectors for texts that were never embedded, through the cache's own door."""
    classifier = load_champion(home.warehouse, home.shelf).router.classifier
    cache = EmbeddingCache(classifier._embeddings.encoder, home.shelf.embeddings)
    layers = len(cache.encoder.config.pooled_layers)
    random = np.random.default_rng(0)
    for portion in portions(size, SHARD_ROWS):
        part = classifier.preparation.prepare(portion["instruction"].to_pylist())
        vectors = random.standard_normal((len(part), layers, cache.encoder.width), dtype=np.float32)
        vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
        cache.add(part, vectors.reshape(len(part), -1))


def write_batch(path: Path, size: int) -> None:
    """Write the batch, of which one part is held at a time."""
    schema = pa.schema([("instruction_id", pa.string()), ("instruction", pa.string())])
    if path.suffix == ".parquet":
        with pq.ParquetWriter(path, schema) as file:
            for portion in portions(size):
                file.write_table(portion)
    elif path.suffix == ".csv":
        with pacsv.CSVWriter(path, schema) as file:
            for portion in portions(size):
                file.write_table(portion)
    else:
        with path.open("w", encoding="utf-8") as file:
            for portion in portions(size):
                file.writelines(json.dumps(record) + "\n" for record in portion.to_pylist())


@dataclass(frozen=True)
class Step:
    """What a step used; memory is the peak of all processes together."""

    name: str
    seconds: float
    processor_s: float
    moved_bytes: float
    peak_gib: float

    @classmethod
    def of(cls, name: str, usage: Usage, start: float, end: float) -> Step:
        span = (start, end)
        return cls(name, end - start, usage.processor_s(*span), usage.moved_bytes(*span), usage.peak_gib(*span))


@dataclass(frozen=True)
class RoutedBatch:
    """What it took to route a batch."""

    instructions: int
    steps: tuple[Step, ...]
    """In the order of time; the last is all of them."""
    driver_gib: float
    """Peak memory of the run's own process."""

    @classmethod
    def read(cls, path: Path) -> RoutedBatch:
        values = json.loads(path.read_text())
        return cls(**values | {"steps": tuple(Step(**step) for step in values["steps"])})

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))

    def __getitem__(self, name: str) -> Step:
        return next(step for step in self.steps if step.name == name)


def measure_run(home: Home, batch: Path, size: int) -> RoutedBatch:
    """Receive and route the batch in this process."""
    usage, began = Usage(), time.time()
    with instance_of(home) as instance:
        received = receive(home.warehouse, home.folders, batch)
        steps = [Step.of("received and checked", usage, began, time.time())]
        result = run_job(instance, "route_batch", batch_id=received.batch_id)
        stats = instance.get_run_step_stats(result.run_id)
    spans = sorted((one.start_time, one.end_time, one.step_key) for one in stats)
    steps += [Step.of(name, usage, start, end) for start, end, name in spans]
    steps.append(Step.of("everything", usage, began, time.time()))
    return RoutedBatch(size, tuple(steps), own_peak_gib())


def shown(batch: RoutedBatch) -> str:
    """The figures as a table."""
    rows = [f"| {s.name} | {s.seconds:.1f} | {s.processor_s:.1f} | {s.peak_gib:.2f} |" for s in batch.steps]
    return "\n".join(
        [
            f"{batch.instructions:,} instructions",
            "| step | seconds | of the processor | peak GiB of all processes |",
            "|---|---|---|---|",
            *rows,
            f"peak memory of the run's process alone: {batch.driver_gib:.2f} GiB",
        ]
    )


if __name__ == "__main__":
    main()
