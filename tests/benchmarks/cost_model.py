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
from routing_assets.storage.parts import PartFile, part_name, write_part

BILLION = 10**9
NODES = (1, 10, 100)
TEXTS = {"short": (20, 256), "256 pieces": (300, 48)}
"""Words of a text, and how many texts are encoded."""
WORDS = ("value", "chord", "city", "train", "river", "price", "function", "compile", "solve", "equation", "prime")


@dataclass(frozen=True)
class Node:
    """What a machine of a cluster costs: examples, to be replaced by one's own prices."""

    name: str
    cores: int
    usd_per_hour: float


CPU = Node("16 cores with AVX-512 and bf16", 16, 0.68)
GPU = Node("the same with one GPU", 16, 2.50)


@dataclass(frozen=True)
class Work:
    """Steps of a run that do one thing."""

    name: str
    steps: tuple[str, ...]
    shared: bool
    """Done by all cores; else by the run's own process alone."""


WORK = (
    Work("read and check", ("received and checked", "batch_instructions"), shared=False),
    Work("price", ("cost_matrix",), shared=True),
    Work("score, embeddings known", ("probability_matrix",), shared=True),
    Work("allocate by sweeps, four policies", ("batch_budget", "allocations"), shared=True),
    Work("hand off", ("routed_batch", "batch_export"), shared=False),
)


@dataclass(frozen=True)
class Rate:
    """What one row takes in some part of the work."""

    name: str
    processor_s: float
    moved_bytes: float = 0.0
    shared: bool = True

    @property
    def usd_per_million(self) -> float:
        """On a CPU node whose cores are all busy."""
        return self.processor_s * 1e6 / 3600 * CPU.usd_per_hour / CPU.cores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs=2, default=(150_000, 450_000), help="of the two batches")
    parser.add_argument("--models", type=int, default=11)
    parser.add_argument("--folder", type=Path, help="keep everything here, and use again what is there")
    options = parser.parse_args()
    if min(options.sizes) <= PART_ROWS:
        parser.error(f"a batch of at most {PART_ROWS:,} instructions is no table in parts")
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.folder or Path(temporary)).absolute()
        encoding = encoding_rates()
        batches, kept = [], []
        for size in sorted(options.sizes):
            batches.append(route_in(folder, size, options.models))
            kept.append(kept_bytes(home_in(folder)))
        routing = rates_of(*batches)
        before, after = kept
        disk = {name: (size - before[name]) / batches[-1].instructions for name, size in after.items()}
        tables = [
            speed_table([*encoding, *routing, write_rate(home_in(folder), folder)]),
            node_table(encoding),
            time_table(encoding, routing),
            size_table(disk, routing),
            memory_table(batches),
            manifest_line(folder),
        ]
        print("\n\n".join(tables))


def encoding_rates() -> list[Rate]:
    """Seconds a text, one thread; the sides take turns. The first round warms up, and the best of the others counts."""
    torch.set_num_threads(1)
    rng, rates = np.random.default_rng(0), []
    encoders: dict[Precision, SentenceEncoder] = {p: SentenceEncoder(EncoderConfig(precision=p), "cpu") for p in NAMES}
    for kind, (words, count) in TEXTS.items():
        texts = [" ".join(rng.choice(WORDS, rng.integers(words // 2, words * 3 // 2))) for _ in range(count)]
        seconds: dict[Precision, list[float]] = {precision: [] for precision in NAMES}
        for _ in tqdm(range(3), f"encoding {kind}"):
            for precision, encoder in encoders.items():
                start = time.process_time()
                encoder.embed(texts)
                seconds[precision].append((time.process_time() - start) / count)
        rates += [Rate(f"encode, {kind}, {precision}", min(taken[1:])) for precision, taken in seconds.items()]
    return rates


def rates_of(before: RoutedBatch, after: RoutedBatch) -> list[Rate]:
    """What a row takes in each part of the work: the difference between two batches."""
    rows = after.instructions - before.instructions
    more = {
        work: [
            (after[step].processor_s - before[step].processor_s, after[step].moved_bytes - before[step].moved_bytes)
            for step in work.steps
        ]
        for work in WORK
    }
    return [
        Rate(work.name, *(sum(one) / rows for one in zip(*each, strict=True)), shared=work.shared)
        for work, each in more.items()
    ]


def write_rate(home: Home, folder: Path) -> Rate:
    """A part of a probability matrix, written to a file and hashed."""
    batch = next((home.store.root / "probability_matrix").iterdir()).name
    part = home.store.parts("probability_matrix", batch).parts[0]
    table = part.read()
    start = time.process_time()
    write_part(str(folder / "written"), part_name(0), table)
    return Rate("of these: write a row of four probabilities a model", (time.process_time() - start) / part.rows)


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
    """What each part of the work takes."""
    rows = [
        (
            rate.name,
            f"{rate.processor_s * 1e6:,.1f}",
            f"{1 / rate.processor_s:,.0f}",
            f"{rate.usd_per_million:.5f}",
            f"{rate.processor_s * BILLION / 3600:,.0f}",
        )
        for rate in rates
    ]
    return markdown(("step", "µs a row", "rows/s/core", "USD per million", "core-hours for 10^9"), rows)


def node_table(encoding: Sequence[Rate]) -> str:
    """The price of encoding by node; of a GPU, the speed from which it is cheaper."""
    rows = [
        (
            rate.name,
            f"{CPU.cores / rate.processor_s:,.0f}",
            f"{rate.usd_per_million:.3f}",
            f"{CPU.cores / rate.processor_s * GPU.usd_per_hour / CPU.usd_per_hour:,.0f}",
        )
        for rate in encoding
    ]
    return markdown(("", "texts/s of a CPU node", "USD per million", "texts/s from which a GPU node is cheaper"), rows)


def time_table(encoding: Sequence[Rate], routing: Sequence[Rate]) -> str:
    """Hours and USD of 10^9 instructions."""
    alone = sum(rate.processor_s for rate in routing if not rate.shared)
    shared = sum(rate.processor_s for rate in routing if rate.shared)
    rows = []
    for name, encode in [("embeddings known", 0.0), *((rate.name, rate.processor_s) for rate in encoding)]:
        hours = [((shared + encode) / (nodes * CPU.cores) + alone) * BILLION / 3600 for nodes in NODES]
        usd = [took * nodes * CPU.usd_per_hour for took, nodes in zip(hours, NODES, strict=True)]
        rows.append((name, *(f"{took:,.1f} h, {paid:,.0f} USD" for took, paid in zip(hours, usd, strict=True))))
    return markdown(("10^9 instructions", *(f"{nodes} CPU node{'s' * (nodes > 1)}" for nodes in NODES)), rows)


def size_table(disk: dict[str, float], routing: Sequence[Rate]) -> str:
    """What lies on the disk, and what is moved; of files that are mapped, such as embeddings, the latter is unknown."""
    sizes = {f"disk: {name}": size for name, size in disk.items()}
    sizes |= {f"files read and written: {rate.name}": rate.moved_bytes for rate in routing}
    rows = [(name, f"{size:,.0f}", f"{size * BILLION / 1e12:.2f}") for name, size in sizes.items()]
    return markdown(("what", "bytes a row", "TB for 10^9"), rows)


def memory_table(batches: Sequence[RoutedBatch]) -> str:
    """Peaks by the size of the batch."""
    rows = [(f"{one.instructions:,}", f"{one.driver_gib:.2f}", f"{one['everything'].peak_gib:.2f}") for one in batches]
    return markdown(("instructions", "GiB of the run's process", "GiB of all processes"), rows)


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


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
