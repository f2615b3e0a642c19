"""The cache of embeddings when a process first asks it: a dictionary of all known keys, against the index.

    pytest -m benchmark -s tests/benchmarks/key_index_test.py
    python tests/benchmarks/key_index_test.py 20_000_000
    python tests/benchmarks/key_index_test.py --grow 17_000_000

The known texts are synthetic and their embeddings four numbers, so that the folder holds little but keys. Each side is
a process of its own that embeds 20 known texts; both sides in turn. Seconds are of the processor, the least of the
rounds; memory is what the call adds to the process at its peak. With ``--grow`` random keys come shard by shard, as
they do while a batch of new texts is scored.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from routing_assets.prediction.encoder import embedding_cache
from routing_assets.prediction.encoder.embedding_cache import SHARD_ROWS, EmbeddingCache
from routing_assets.prediction.encoder.key_index import KEY_BYTES, UNKNOWN, KeyIndex, Keys, Rows

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(3600)]
ENCODER = SimpleNamespace(fingerprint="benchmark", embedding_width=4)
ASKED, ROUNDS = 20, 3


class Dictionary:
    """The whole keys as the keys of a dictionary."""

    def __init__(self, whole_keys: object) -> None:
        self._row: dict[bytes, int] = {}
        self._size = 0

    def add(self, blocks: Iterable[Keys]) -> list[int]:
        firsts = []
        for keys in blocks:
            firsts.append(self._size)
            self._row.update((key.tobytes(), row) for row, key in enumerate(keys, start=self._size))
            self._size += len(keys)
        return firsts

    def find(self, keys: Keys) -> Rows:
        return np.array([self._row.get(key.tobytes(), UNKNOWN) for key in keys])


SIDES = {"dictionary": Dictionary, "index": KeyIndex}


def text(number: int) -> str:
    return f"Question {number}"


def make_folder(folder: Path, known: int) -> None:
    cache = EmbeddingCache(ENCODER, folder)
    for start in range(0, known, SHARD_ROWS):
        numbers = np.arange(start, min(start + SHARD_ROWS, known))
        cache.add([text(n) for n in numbers], np.repeat(numbers.astype(np.float32)[:, None], 4, axis=1))


def memory_mib(which: str) -> float:
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status[which].split()[0]) / 2**10


def ask(folder: Path, known: int, side: str) -> None:
    """In a process of its own: embed some known texts, and print what it took."""
    embedding_cache.KeyIndex = SIDES[side]  # type: ignore[misc]
    cache = EmbeddingCache(ENCODER, folder)
    before, start = memory_mib("VmRSS"), time.process_time()
    values = cache.embed([text(n) for n in np.linspace(0, known - 1, ASKED, dtype=int)])
    seconds = time.process_time() - start
    print(json.dumps([seconds, memory_mib("VmHWM") - before, memory_mib("VmRSS") - before, values.tolist()]))


def compare(known: int) -> float:
    """Print a row for each side; return how many times faster the index is."""
    with tempfile.TemporaryDirectory() as folder:
        make_folder(Path(folder), known)
        measured: dict[str, list[list]] = {side: [] for side in SIDES}
        for _ in range(ROUNDS):
            for side, rounds in measured.items():
                asked = [sys.executable, __file__, "--ask", folder, str(known), side]
                rounds.append(json.loads(subprocess.run(asked, capture_output=True, text=True, check=True).stdout))
    assert len({json.dumps(one[3]) for rounds in measured.values() for one in rounds}) == 1
    best = {side: [min(one[i] for one in rounds) for i in range(3)] for side, rounds in measured.items()}
    for side, (seconds, peak, kept) in best.items():
        held = f"{kept:,.0f} MiB, {kept * 2**20 / known:.0f} bytes a text"
        print(f"{known:,} known, {side}: first call {seconds:.2f} s, peak {peak:,.0f} MiB, then {held}")
    ratio = best["dictionary"][0] / best["index"][0]
    print(f"the index is {ratio:.1f} x faster and holds {best['dictionary'][2] / best['index'][2]:.1f} x less")
    return ratio


def grow(known: int) -> None:
    """Print what an index of random keys takes that come shard by shard."""
    random, index = np.random.default_rng(0), KeyIndex(lambda rows: np.zeros((len(rows), KEY_BYTES), np.uint8))
    before, start = memory_mib("VmRSS"), time.process_time()
    for first in range(0, known, SHARD_ROWS):
        index.add([random.integers(0, 256, (min(SHARD_ROWS, known - first), KEY_BYTES), dtype=np.uint8)])
    seconds, peak, kept = time.process_time() - start, memory_mib("VmHWM") - before, memory_mib("VmRSS") - before
    print(f"{known:,} keys, shard by shard: {seconds:.1f} s, peak {peak:,.0f} MiB, then {kept:,.0f} MiB")


def test_first_call_is_faster_than_with_a_dictionary() -> None:
    assert compare(1_000_000) > 2


if __name__ == "__main__":
    if sys.argv[1] == "--ask":
        ask(Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
    elif sys.argv[1] == "--grow":
        grow(int(sys.argv[2]))
    else:
        compare(int(sys.argv[1]))
