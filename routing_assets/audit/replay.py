"""Check the ledgers for tampering, and repeat a past decision to see whether it comes out the same."""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from routing_assets.audit.chain import audit_journal
from routing_assets.batches.folders import BatchFolders
from routing_assets.batches.known import decision_in_force, kept_file
from routing_assets.batches.ledger import GENESIS, is_as_recorded
from routing_assets.batches.second_rounds import second_round_of
from routing_assets.foundation.errors import InvalidInput
from routing_assets.routers.shelf import Shelf
from routing_assets.storage.blocks import blocks
from routing_assets.storage.in_force import price_list
from routing_assets.storage.parquet_store import Store
from routing_assets.storage.partitioned import PartitionedTable
from routing_assets.storage.warehouse import Warehouse


def broken_entries(warehouse: Warehouse, store: Store, folders: BatchFolders) -> list[str]:
    """The faults of the ledgers, one line each; none when chains, rows, anchors and routed files are as recorded.

    See ``audit_journal`` for the ledgers that the journal covers.
    """
    journal = audit_journal(warehouse, folders).found
    return [*broken_decisions(warehouse, store), *broken_second_rounds(warehouse, store), *journal]


def broken_decisions(warehouse: Warehouse, store: Store) -> list[str]:
    """The faults of the decisions' hash chain and of the routed files that it names, one line each."""
    found, previous, expected = [], GENESIS, 1
    retired = {row["batch_id"] for row in warehouse.fetch("retirements")}
    for row in warehouse.fetch("ledger_entries"):
        name = f"entry {row['entry']} (batch {row['batch_id']})"
        if row["entry"] != expected:
            found.append(f"{name}: {_missing(expected, row['entry'] - 1)}")
        if row["previous_hash"] != previous:
            found.append(f"{name}: does not follow the entry before it")
        if not is_as_recorded(row):
            found.append(f"{name}: was changed after it was recorded")
        fault = _fault_of_version(store, row["routed_path"], row["routed_sha256"])
        if fault and not (fault is _GONE and row["batch_id"] in retired):
            found.append(f"{name}: {row['routed_path']} {fault}")
        previous, expected = row["entry_hash"], row["entry"] + 1
    return found


def broken_second_rounds(warehouse: Warehouse, store: Store) -> list[str]:
    """The faults of the tables that second rounds name, one line each. The journal covers their ledger."""
    found, retired = [], {row["batch_id"] for row in warehouse.fetch("retirements")}
    for row in warehouse.fetch("second_rounds"):
        fault = _fault_of_version(store, row["routed_path"], row["routed_sha256"])
        if fault and not (fault is _GONE and row["batch_id"] in retired):
            found.append(f"second round of batch {row['batch_id']}: {row['routed_path']} {fault}")
    return found


_GONE = "is gone"


def _fault_of_version(store: Store, path: str, sha256: str) -> str | None:
    """What is wrong with a recorded version of a table, in words that follow its path."""
    try:
        if store.version_sha256(path) != sha256:
            return "was changed after it was recorded"
        if (store.root / path).is_dir():
            store.at(path).verify()
    except FileNotFoundError:
        return _GONE
    except InvalidInput as error:
        return f"was changed after it was recorded: {error}"
    return None


def _missing(first: int, last: int) -> str:
    return f"entry {first} is missing" if first == last else f"entries {first} to {last} are missing"


@dataclass(frozen=True)
class Replay:
    """The result of repeating a past decision from its recorded inputs."""

    batch_id: str
    dagster_run_id: str
    identical: bool
    """Whether the routed table came out the same, byte for byte."""
    differences: tuple[str, ...]
    """What differs, or which inputs are gone."""


def replay(
    warehouse: Warehouse, store: Store, folders: BatchFolders, shelf: Shelf, batch_id: str, run_id: str | None = None
) -> Replay:
    """Repeat a decision: route the received file with the same router, prices, settings and solver.

    Args:
        run_id: the Dagster run that made the decision. None: the newest decision on the batch.

    Raises:
        InvalidInput: the ledger knows no such decision.
    """
    from routing_assets.audit.route_again import inputs_of, route_again  # loads all that routes a batch

    entries = warehouse.fetch("batch_decisions", {"batch_id": batch_id})
    matching = [entry for entry in entries if run_id in (None, entry["dagster_run_id"])]
    if not matching:
        runs = ", ".join(entry["dagster_run_id"] for entry in entries)
        raise InvalidInput(
            f"the ledger holds no such decision on batch '{batch_id}'",
            remedy=f"Its runs are {runs}: give one of them."
            if runs
            else "routing-assets batches lists those that are known.",
        )
    decision = matching[-1]
    before = [entry for entry in entries if entry["entry"] < decision["entry"]]
    gone = _missing_inputs(warehouse, store, folders, shelf, decision)
    if gone:
        return Replay(batch_id, decision["dagster_run_id"], False, tuple(gone))
    recorded = store.at(decision["routed_path"])
    past = inputs_of(store, _received(folders, decision), shelf, decision, recorded, before[-1] if before else None)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Store(Path(folder))
        version = route_again(past, scratch.root)
        identical = scratch.version_sha256(version) == decision["routed_sha256"]
        differences = () if identical else tuple(_differences(recorded, scratch.at(version)))
    return Replay(batch_id, decision["dagster_run_id"], identical, differences)


def replay_second_round(warehouse: Warehouse, store: Store, shelf: Shelf, batch_id: str) -> Replay | None:
    """Repeat the second round of a batch, from the matrices of its first round and what was known of the answers; None
    where there was none.
    """
    decided = second_round_of(warehouse, batch_id)
    if decided is None:
        return None
    from routing_assets.batches.second_round import decide_again, first_round_tables, known_in
    from routing_assets.routers.second_look import kept_second_look

    recorded = store.at(decided["routed_path"])
    table = recorded.read()
    tables = first_round_tables(store, decision_in_force(warehouse, batch_id))
    look = kept_second_look(shelf, decided["second_look_version"])
    again = decide_again(tables, known_in(table), look.second_look, decided["budget"], look.version)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Store(Path(folder))
        version = str(scratch.write(again, "second_round", None, "replay").relative_to(scratch.root))
        identical = scratch.version_sha256(version) == decided["routed_sha256"]
        differences = () if identical else tuple(_differences(recorded, scratch.at(version)))
    return Replay(batch_id, decided["dagster_run_id"], identical, differences)


def _missing_inputs(
    warehouse: Warehouse, store: Store, folders: BatchFolders, shelf: Shelf, decision: dict[str, Any]
) -> list[str]:
    inputs = {
        f"the received file {decision['file_name']}": _received(folders, decision).exists(),
        f"router {decision['router_version']}": (shelf.folder / decision["router_version"]).exists(),
        f"price list {decision['price_version']}": price_list(store, decision["price_version"]) is not None,
        f"the routed file {decision['routed_path']}": (store.root / decision["routed_path"]).exists(),
    }
    retired = warehouse.fetch("retirement_of", {"batch_id": decision["batch_id"]})
    reason = f": retired on {retired[0]['retired_at']:%Y-%m-%d} UTC, {retired[0]['why']}" if retired else ""
    return [f"{name} is gone{reason}" for name, there in inputs.items() if not there]


def _received(folders: BatchFolders, decision: dict[str, Any]) -> Path:
    return kept_file(folders, decision["batch_id"], decision["file_sha256"], Path(decision["file_name"]).suffix)


def _differences(recorded: PartitionedTable, again: PartitionedTable) -> list[str]:
    if recorded.rows != again.rows:
        return [f"{again.rows} instructions are routed, not {recorded.rows}"]
    moved: Counter[str] = Counter()
    names = recorded.schema.names
    for old, new in zip(blocks(recorded, names), blocks(again, names), strict=True):
        for name in names:
            pairs = zip(old[name].to_pylist(), new[name].to_pylist(), strict=True)
            moved[name] += sum(before != after for before, after in pairs)
    found = [f"{count} of {recorded.rows} values of {name} differ" for name, count in moved.items() if count]
    return found or ["the values are equal, but not the files' bytes: another version of the Parquet writer wrote them"]
