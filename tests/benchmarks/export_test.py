"""Export of a large batch to the outbox: seconds, and peak memory of a process that does nothing else (Linux).

``pytest -m benchmark -s tests/benchmarks/export_test.py``
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from routing_assets.storage.draft import write_table
from routing_assets.storage.parquet_store import Store

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(1800)]
ROWS, MODELS = 400_000, tuple(f"model-{k}" for k in range(11))
EXPORT = """
import sys, time
from pathlib import Path
from routing_assets.batches.handoff import export_batch
from routing_assets.storage.parquet_store import Store
def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
folder, at_start = Path(sys.argv[1]), peak()
start = time.perf_counter()
store = Store(folder / "store")
tables = [store.parts(name, "batch") for name in ("routed_batch", "batch_instructions")]
export_batch(*tables, folder / "outbox", staged=folder / "staged", batch_id="batch", run_id="run",
             received=folder / "batch.parquet")
print(time.perf_counter() - start, peak(), at_start)
"""


def test_export_of_a_large_batch_holds_a_block_of_it(tmp_path: Path) -> None:
    write(Store(tmp_path / "store"))
    said = subprocess.run(
        [sys.executable, "-c", EXPORT, str(tmp_path)], check=True, capture_output=True, text=True
    ).stdout
    seconds, peak, at_start = map(float, said.split())
    print(f"\n{ROWS:,} rows exported in {seconds:.1f} s, peak {peak:.0f} MiB, of which imports {at_start:.0f} MiB")
    assert peak - at_start < 500


def write(store: Store) -> None:
    """The routed batch and its instructions, of 400 characters each, in parts."""
    ids = [f"q{i}" for i in range(ROWS)]
    rng = np.random.default_rng(0)
    choice = pa.array(rng.integers(len(MODELS), size=ROWS, dtype=np.int32))
    routed = {
        "instruction_id": ids,
        "model": pa.DictionaryArray.from_arrays(choice, pa.array(MODELS)),
        "expected_success": rng.random(ROWS),
        "cost": rng.random(ROWS),
    }
    texts = [f"Question {i}: what is {i * 7919 % 99_991} times {i % 97}? ".ljust(400, "x") for i in range(ROWS)]
    instructions = {"instruction_id": ids, "instruction": texts}
    for name, columns in (("routed_batch", routed), ("batch_instructions", instructions)):
        table = pa.table(columns)
        write_table(store.draft(name, "batch", "run", table.schema), [table])
        store.make_current(name, "batch", "run")
