"""After its retirement no byte of a batch's text is left in the installation."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers import SMALL_TRAINING

from routing_assets.batches.receive import reject
from routing_assets.cli import batches as batch_commands
from routing_assets.cli.errors import RunFailed
from routing_assets.cli.run_job import instance_of, run_job
from routing_assets.datasets import BatchInstructions, LabelledInstructions, write_batch
from routing_assets.datasets.simulated import simulate
from routing_assets.defs.upkeep.retention import forget_labels
from routing_assets.foundation.errors import InvalidInput
from routing_assets.home import Home
from routing_assets.prediction.encoder.text import SharedBlock, TextPreparation
from routing_assets.routers.outcome_labels import PREFIX
from routing_assets.routers.retired_texts import KEEPS
from routing_assets.routers.shelf import JUDGED_BY

CANARY = "kanariengelb7Q"
SHARED = f"You are the {CANARY} assistant of a company that nobody else may hear of. Answer in one word.\n"


def files_with_the_canary(home: Home) -> list[str]:
    """Every file under the home that holds the canary, as bytes or, in Parquet and DuckDB files, as a value."""
    found = [str(path.relative_to(home.root)) for path in home.root.rglob("*") if path.is_file() and _holds(path)]
    return sorted(found)


def _holds(path: Path) -> bool:
    if CANARY.encode() in path.read_bytes():
        return True
    if path.suffix == ".parquet":
        table = pq.read_table(path, partitioning=None)
        return CANARY in repr(table.schema.metadata) or CANARY in json.dumps(table.to_pydict(), default=str)
    if path.suffix == ".duckdb":
        with duckdb.connect(path, read_only=True) as connection:
            tables = [row[0] for row in connection.execute("select table_name from duckdb_tables()").fetchall()]
            return any(CANARY in str(connection.table(name).fetchall()) for name in tables)
    return False


@pytest.mark.slow
def test_no_byte_of_a_retired_text_is_left(trained: Home, tmp_path: Path) -> None:
    labels = simulate("r1_math", size=60, seed=7)
    texts = np.array([f"{SHARED}{CANARY} {i}: {text}" for i, text in enumerate(labels.instruction)], dtype=object)
    file, outcomes = tmp_path / "weekly.parquet", tmp_path / "outcomes.csv"
    write_batch(BatchInstructions(labels.instruction_id, texts, labels.task), file)
    with pytest.raises(RunFailed):
        batch_commands.route(trained, file, {"budget_usd": 1e-9})
    batch_commands.route(trained, file, {"budget_fraction": 0.4})
    routed = trained.store.read("routed_batch", "weekly")
    pairs = zip(routed["instruction_id"].to_pylist(), routed["model"].to_pylist(), strict=True)
    rows = [f"{instruction},{model},{n % 2}" for n, (instruction, model) in enumerate(pairs)]
    outcomes.write_text("\n".join(["instruction_id,model,success", *rows]))
    batch_commands.outcomes(trained, "weekly", outcomes)
    copy, other = trained.folders.inbox / "weekly.parquet", trained.folders.inbox / "again.parquet"
    for rejected in (copy, other):
        rejected.write_bytes(file.read_bytes())
        reject(trained.folders, rejected, "it was sent before")
    with instance_of(trained) as instance:
        run_job(instance, "train_router", ops=SMALL_TRAINING | {"router_comparison": {"force": True}})
    before = files_with_the_canary(trained)
    assert any(name.startswith("store/labelled_instructions") for name in before)
    assert any(name.endswith(JUDGED_BY) for name in before)
    _retire(trained)
    assert files_with_the_canary(trained) == []
    assert list(trained.folders.rejected.iterdir()) == []
    second = tmp_path / "monthly.parquet"
    write_batch(BatchInstructions(labels.instruction_id, labels.instruction, labels.task), second)
    batch_commands.route(trained, second, {"budget_fraction": 0.4})


def _retire(home: Home) -> None:
    """As the nightly schedule does for what ended before this moment."""
    from routing_assets.defs.upkeep.retention import retire_with_partitions

    with instance_of(home) as instance:
        assert retire_with_partitions(home, instance, datetime.now(UTC)) == ["weekly"]
        forget_labels(home, instance)


@pytest.fixture
def labelled(home: Home) -> Home:
    """An installation whose labels hold an outcome of the retired batch 'weekly' and one of 'weekly-2', by hand."""
    home.create()
    home.warehouse.create()
    home.warehouse.append("retirements", pa.table({"batch_id": ["weekly"], "why": ["it is old"]}))
    ids = ["1", f"{PREFIX}weekly/2", f"{PREFIX}weekly-2/weekly/3"]
    texts = np.array(["own", f"{CANARY}", "another"], dtype=object)
    labels = LabelledInstructions("labels", ("a",), np.array(ids, dtype=object), texts, np.ones((3, 1)))
    store = home.store
    for run in ("first", "second"):
        store.write(labels.to_arrow(), "labelled_instructions", None, run)
        store.write(pa.table({"instruction_id": ids, "split": ["train"] * 3}), "splits", None, run)
    (home.shelf.folder / "r").mkdir(parents=True)
    pq.write_table(labels.to_arrow(), home.shelf.folder / "r" / JUDGED_BY)
    return home


@dataclass
class Runs:
    """Dagster's instance, as far as it is asked for runs that are under way."""

    under_way: list[SimpleNamespace] = field(default_factory=list)

    def get_runs(self, _: object) -> list[SimpleNamespace]:
        return self.under_way


def test_rows_of_a_retired_batch_leave_labels_splits_and_judges_and_no_other_row_does(labelled: Home) -> None:
    assert forget_labels(labelled, Runs()).startswith("1 labelled rows")
    assert files_with_the_canary(labelled) == []
    store = labelled.store
    kept = ["1", f"{PREFIX}weekly-2/weekly/3"]
    for asset in ("labelled_instructions", "splits"):
        tables = [store.read(asset), *(store.read_version(asset, None, run) for run in ("first", "second"))]
        assert [table["instruction_id"].to_pylist() for table in tables] == [kept] * 3
        assert store.path(asset).samefile(store.path(asset, None, "second"))
    rows = LabelledInstructions.from_arrow(store.read("labelled_instructions"))
    assert rows.instruction.tolist() == ["own", "another"]
    judges = LabelledInstructions.from_arrow(pq.read_table(labelled.shelf.folder / "r" / JUDGED_BY))
    assert judges.instruction_id.tolist() == kept
    assert forget_labels(labelled, Runs()).startswith("0 labelled rows")


def test_texts_stay_as_labels_where_the_policy_says_so(labelled: Home) -> None:
    labelled.policy_file.write_text(f"{KEEPS}: true\n")
    assert "kept as labels" in forget_labels(labelled, Runs())
    assert len(files_with_the_canary(labelled)) == 4
    labelled.policy_file.write_text(f"{KEEPS}: maybe\n")
    with pytest.raises(InvalidInput, match="keep_outcomes_as_labels is 'maybe'"):
        forget_labels(labelled, Runs())


def test_labels_are_left_alone_while_a_run_reads_them(labelled: Home) -> None:
    training = SimpleNamespace(job_name="train_router", run_id="r1")
    assert "because run r1 reads labels" in forget_labels(labelled, Runs([training]))
    assert len(files_with_the_canary(labelled)) == 4
    routing = SimpleNamespace(job_name="route_batch", run_id="r2")
    assert "removed" in forget_labels(labelled, Runs([routing]))


def test_a_removal_that_was_interrupted_is_finished_by_the_next(
    labelled: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def power_cut(*_: object) -> None:
        raise OSError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr("routing_assets.storage.parquet_store.os.link", power_cut)
        with pytest.raises(OSError, match="power cut"):
            forget_labels(labelled, Runs())
    forget_labels(labelled, Runs())
    assert files_with_the_canary(labelled) == []


def test_a_router_of_an_earlier_version_gives_up_the_openings_it_kept_word_for_word(labelled: Home) -> None:
    block = f"{CANARY} " * 10
    preparation = TextPreparation((SharedBlock.of(block),)).to_dict() | {"preambles": [block]}
    features = {"center": [0.0], "spread": [1.0], "templates": [block], "tasks": []}
    path = labelled.shelf.folder / "r" / "classifier" / "classifier.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"models": ["a"], "preparation": preparation, "features": features}))
    forget_labels(labelled, Runs())
    assert files_with_the_canary(labelled) == []
    saved = json.loads(path.read_text())
    assert TextPreparation.from_dict(saved["preparation"]).prepare([f"{block}Why?"]) == ["Why?"]
