"""What routing itself costs: the table of ``docs/cost-model.md``, measured on this machine in one run.

    python tests/benchmarks/cost_model.py [--sizes 150000 450000] [--models 11] [--folder DIR]

Batches of two sizes are routed from file to hand-off, their embeddings known. What a step takes per row is the
difference between the two, so that imports, Dagster and the ledger do not count as rows. Encoding is measured by
itself. Seconds are the processor's, of all processes: on a busy machine they say more than the clock.
"""

from __future__ import annotations

import argparse
import pickle
import tempfile
import time
import tracemalloc
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from million_batch import RoutedBatch, home_in, route_in
from tqdm import tqdm

from routing_assets.home import Home
from routing_assets.prediction.encoder.encoder import EncoderConfig, SentenceEncoder
from routing_assets.prediction.encoder.precision import NAMES, Precision
from routing_assets.storage.partitioned import PART_ROWS, open_partitioned, write_manifest
from routing_assets.storage.parts import PartFile, part_name

BILLION = 10**9
WORK = {
    "read": ("received and checked", "batch_instructions"),
    "price": ("cost_matrix",),
    "score, embeddings known": ("probability_matrix",),
    "allocate by sweeps, four policies": ("batch_budget", "allocations"),
    "hand off": ("routed_batch", "batch_export"),
}
"""Steps of a run by what they do."""
NODE_USD_PER_HOUR, NODE_CORES = 0.68, 16
"""An example: put your own price."""
WORDS = ("value", "chord", "city", "train", "river", "price", "function", "compile", "solve", "equation", "prime")
TEXTS = {"short": (20, 512), "256 pieces": (300, 96)}
"""Words of a text, and texts that are encoded."""


@dataclass(frozen=True)
class Rate:
    """What one row takes in some part of the work."""

    name: str
    processor_s: float
    moved_bytes: float = 0.0

    @property
    def rows_per_s(self) -> float:
        """Of one core."""
        return 1 / self.processor_s

    @property
    def usd_per_million(self) -> float:
        """By the example's price."""
        return self.processor_s * 1e6 / 3600 * NODE_USD_PER_HOUR / NODE_CORES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs=2, default=(150_000, 450_000), help="in parts: above 131,072")
    parser.add_argument("--models", type=int, default=11)
    parser.add_argument("--folder", type=Path, help="keep everything here, and use again what is there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.folder or Path(temporary)).absolute()
        small, large = sorted(options.sizes)
        print(speed_table(encoding_rates()), flush=True)
        before = route_in(folder, small, options.models)
        kept = kept_bytes(home_in(folder))
        after = route_in(folder, large, options.models)
        kept = {name: size - kept[name] for name, size in kept_bytes(home_in(folder)).items()}
        print(speed_table(rates_of(before, after)))
        print(size_table({name: size / large for name, size in kept.items()}, before, after))
        print(manifest_line(folder))


def encoding_rates() -> list[Rate]:
    """Seconds a text, one thread; the sides take turns, and the best of three rounds counts."""
    torch.set_num_threads(1)
    rng, rates = np.random.default_rng(0), []
    encoders: dict[Precision, SentenceEncoder] = {p: SentenceEncoder(EncoderConfig(precision=p), "cpu") for p in NAMES}
    for kind, (words, count) in TEXTS.items():
        texts = [" ".join(rng.choice(WORDS, rng.integers(words // 2, words * 3 // 2))) for _ in range(count)]
        seconds: dict[Precision, list[float]] = {precision: [] for precision in NAMES}
        for _ in tqdm(range(4), f"encoding {kind}"):
            for precision, encoder in encoders.items():
                start = time.process_time()
                encoder.embed(texts)
                seconds[precision].append((time.process_time() - start) / count)
        rates += [Rate(f"encode, {kind}, {precision}", min(taken[1:])) for precision, taken in seconds.items()]
    return rates


def rates_of(before: RoutedBatch, after: RoutedBatch) -> list[Rate]:
    """What a row takes in each part of the work: the difference between two batches."""
    rows = after.instructions - before.instructions
    return [
        Rate(
            name,
            (sum(after[step].processor_s for step in steps) - sum(before[step].processor_s for step in steps)) / rows,
            (sum(after[step].moved_bytes for step in steps) - sum(before[step].moved_bytes for step in steps)) / rows,
        )
        for name, steps in WORK.items()
    ]


def kept_bytes(home: Home) -> dict[str, int]:
    """What lies on the disk."""
    places = {
        "received file": home.folders.received,
        "tables in the store": home.store.root,
        "outbox": home.folders.outbox,
        "cache of embeddings": home.shelf.embeddings,
    }
    return {name: sum(one.stat().st_size for one in distinct_files(root)) for name, root in places.items()}


def distinct_files(root: Path) -> Sequence[Path]:
    """The files under a folder, of hard links only one."""
    return list({path.stat().st_ino: path for path in root.rglob("*") if path.is_file()}.values())


def speed_table(rates: Sequence[Rate]) -> str:
    """Rows of the first table of the page."""
    rows = [
        f"| {rate.name} | {rate.processor_s * 1e6:,.0f} | {rate.rows_per_s:,.0f} | {rate.usd_per_million:.4f} | "
        f"{rate.processor_s * BILLION / 3600:,.0f} | {rate.moved_bytes:,.0f} |"
        for rate in rates
    ]
    head = "| step | µs a row | rows/s/core | USD per million | core-hours per 10^9 | bytes moved a row |"
    return "\n".join([head, "|---|---|---|---|---|---|", *rows])


def size_table(kept: dict[str, float], before: RoutedBatch, after: RoutedBatch) -> str:
    """Rows of the second table: what lies on the disk, and what the driver holds."""
    driver = (after.driver_gib - before.driver_gib) / (after.instructions - before.instructions) * 2**30
    rows = [f"| {name} | {size:,.0f} | {size * BILLION / 1e12:.2f} TB |" for name, size in kept.items()]
    rows.append(f"| memory of the run's process beyond its start | {driver:,.0f} | {driver * BILLION / 1e9:,.0f} GB |")
    peaks = ", ".join(f"{one.instructions:,}: {one.driver_gib:.2f} GiB" for one in (before, after))
    return "\n".join(["| what | bytes a row | 10^9 |", "|---|---|---|", *rows, f"peak of the run's process: {peaks}"])


def manifest_line(folder: Path) -> str:
    """How large the manifest of a table of 10^9 rows is, and what it takes to open it."""
    count = -(-BILLION // PART_ROWS)
    table = folder / "manifest"
    table.mkdir(exist_ok=True)
    files = [PartFile(part_name(number), PART_ROWS, 10**7, f"{number:064x}") for number in range(count)]
    write_manifest(str(table), pa.schema([("instruction_id", pa.string())]), files)
    tracemalloc.start()
    start = time.process_time()
    opened = open_partitioned(str(table))
    seconds, held = time.process_time() - start, tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    size = sum(path.stat().st_size for path in table.iterdir())
    return (
        f"manifest of {count:,} parts: {size / 1e6:.1f} MB, opened in {seconds:.2f} s, {held / 1e6:.1f} MB in memory, "
        f"{len(pickle.dumps(opened.parts)) / 1e6:.1f} MB as a message"
    )


if __name__ == "__main__":
    main()
