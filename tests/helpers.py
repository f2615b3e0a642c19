"""Shared by the tests of several packages: files dropped into an inbox, looks into it, a small training."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from routing_assets.batches.inbox import TakenIn, take_in
from routing_assets.batches.join_small_files import Coalescing
from routing_assets.batches.ledger import record_decision
from routing_assets.batches.receive import ORDINARY, Admission
from routing_assets.home import Home
from routing_assets.storage.parquet_store import Store
from routing_assets.storage.warehouse import Warehouse

TWIN = "r1_math"
SMALL_TRAINING: dict[str, dict[str, Any]] = {
    "labelled_instructions": {"labels": f"simulated:{TWIN}", "size": 400},
    "model_catalog": {"catalog": f"simulated:{TWIN}"},
    "success_classifier": {"method": "frozen"},
    "router": {"ece_limit": 1.0, "ece_tolerance": 1.0},
}
"""Configuration by asset of a training that takes seconds, whose router is put in force however little it learnt."""

MadeOnce = Callable[[str, Callable[[Home], None]], Path]
"""Makes an installation of a name once in a session; see ``made_once`` in ``conftest.py``."""


def copy_installation(root: Path, home: Home) -> None:
    """A private copy of an installation. Files of weights, which are written once, are links to the same file."""
    shutil.copytree(root, home.root, copy_function=_link_weights)


def _link_weights(source: str, target: str) -> object:
    return os.link(source, target) if source.endswith(".safetensors") else shutil.copy2(source, target)


def drop(path: Path, *texts: str) -> Path:
    """A batch file of these instructions."""
    rows = [{"instruction_id": f"i{n}", "instruction": text} for n, text in enumerate(texts)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def look(
    home: Home, small: Coalescing | None = None, *, admission: Admission = ORDINARY, after_minutes: float = 0
) -> TakenIn:
    """Two looks into the inbox, so that what rests is whole; the second so many minutes later."""
    first = take_in(home.warehouse, home.folders, {}, small, admission=admission, now_ns=10**18)
    later = 10**18 + int(after_minutes * 60e9)
    second = take_in(home.warehouse, home.folders, first.seen, small, admission=admission, now_ns=later)
    return replace(second, received=first.received + second.received, rejected=first.rejected + second.rejected)


def ids(taken: TakenIn) -> list[str]:
    """The batches that a look took in."""
    return sorted(received.batch_id for received in taken.received)


def decide(warehouse: Warehouse, batch: str, run: str, routed: Path, file_sha256: str = "x") -> None:
    """A decision on a batch in the ledger, and the routed file that it names, which is written unless it is there."""
    root = next(folder for folder in routed.parents if folder.name == "store") if routed.is_dir() else routed.parent
    if not routed.is_dir():
        routed.write_bytes(b"routed")
    words = ("router_version", "price_version", "policy", "settings_version", "status")
    amounts = ("budget", "expected_success", "total_cost", "upper_bound", "gap", "shadow_price")
    decision = dict.fromkeys(words, "x") | dict.fromkeys(amounts, 1 / 30)
    decision |= {"batch_id": batch, "dagster_run_id": run, "settings": "{}", "instructions": 4}
    path = str(routed.relative_to(root))
    decision |= {"routed_path": path, "routed_sha256": Store(root).version_sha256(path)}
    with warehouse.transaction() as connection:
        record_decision(connection, decision | {"file_sha256": file_sha256})


def start_python(code: str, *arguments: object) -> subprocess.Popen[bytes]:
    """Another Python process, once it has printed its first line."""
    process = subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    return process
