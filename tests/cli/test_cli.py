"""The command line says what is wrong in one line and changes nothing."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import get_args

import click
import pytest
from click.testing import CliRunner, Result

from routing_assets.cli.errors import says_what_is_wrong
from routing_assets.cli.main import FORMAT, METHOD, main
from routing_assets.cli.tables import text_table
from routing_assets.datasets.load import LabelFormat
from routing_assets.defs.training.router import ClassifierSettings
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.locks import batch_lock
from routing_assets.home import Home
from routing_assets.prediction.classifier.config import Method
from routing_assets.routers.label_sources import read_labels


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.setenv("ROUTING_HOME", str(tmp_path / "home"))

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(main, list(arguments))

    return invoke


def test_every_command_explains_itself(run) -> None:  # type: ignore[no-untyped-def]
    for command in (
        "demo",
        "train",
        "add-model",
        "recalibrate",
        "routers",
        "rollback",
        "report",
        "route",
        "reroute",
        "explain",
        "prices",
        "dispatch",
        "withdraw",
        "retire",
        "evaluate",
        "ui",
    ):
        result = run(command, "--help")
        assert result.exit_code == 0
        assert len(result.output) > 80


def test_commands_that_freeze_a_batch_say_so(run) -> None:  # type: ignore[no-untyped-def]
    assert "freeze" in run("outcomes", "--help").output


def test_commands_that_need_a_router_say_so_and_name_no_class(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    catalog = tmp_path / "prices.yaml"
    catalog.write_text("models: {a: {price: 1}}\n")
    for arguments in (("routers",), ("prices", str(catalog))):
        result = run(*arguments)
        assert result.exit_code == 2
        assert (
            result.output
            == f"error: {tmp_path / 'home'}: no router has been trained yet. Run routing-assets train first.\n"
        )


@pytest.mark.parametrize("option", ["--seeds", "--size"])
def test_a_count_of_zero_is_refused(run, option: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    result = run("evaluate", "--labels", "simulated:r1_math", "--output", str(tmp_path / "out"), option, "0")
    assert result.exit_code == 2
    assert f"Invalid value for '{option}'" in result.output


def test_a_folder_that_cannot_be_made_is_refused_before_anything_is_evaluated(run, tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr("routing_assets.cli.batches.run_job", lambda *_, **__: pytest.fail("it was evaluated"))
    (tmp_path / "file").touch()
    result = run("evaluate", "--labels", "simulated:r1_math", "--output", str(tmp_path / "file" / "out"))
    assert result.exit_code == 2
    assert f"{tmp_path / 'file'}" in result.output


def test_a_size_for_labels_that_are_not_simulated_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"size of 10 is given.*Leave the size out"):
        read_labels(str(tmp_path / "labels.csv"), size=10)


def test_a_run_is_replayed_on_its_batch_only(run) -> None:  # type: ignore[no-untyped-def]
    result = run("audit", "--run", "some-run")
    assert result.exit_code == 2
    assert "Give BATCH_ID" in result.output


def test_a_missing_label_table_is_named(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    result = run("train", "--labels", str(tmp_path / "absent.csv"))
    assert result.exit_code == 2
    assert "absent.csv" in result.output
    assert "Traceback" not in result.output


def test_routing_before_training_says_so(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    batch = tmp_path / "b.csv"
    batch.write_text("instruction_id,instruction\n1,Hello\n")
    result = run("route", str(batch))
    assert result.exit_code == 2
    assert "no router has been trained yet" in result.output


def test_an_unknown_batch_cannot_be_dispatched_or_explained(run) -> None:  # type: ignore[no-untyped-def]
    for arguments in (("dispatch", "nope"), ("explain", "nope", "1")):
        result = run(*arguments)
        assert result.exit_code == 2
        assert "no file was received for batch 'nope'" in result.output


PATHS = ("../../../x", "/etc/x", "..", ".", "", "a/b", "a\nb", "a\x00b", "-x", "x" * 5000, "\udcff", "outbox/../../x")


@pytest.mark.parametrize("command", ["dispatch", "withdraw", "outcomes", "explain", "audit"])
def test_no_path_is_made_from_an_unknown_batch_id(run, tmp_path: Path, command: str) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "o.csv").write_text("instruction_id,model,success\n1,a,1\n")
    run("routers")  # makes the home
    before = set(tmp_path.rglob("*"))
    further = {"outcomes": [str(tmp_path / "o.csv")], "explain": ["1"]}.get(command, [])
    result = run(command, "--", "../../../x", *further)
    assert result.exit_code == 2
    assert "no file was received for batch" in result.output
    assert "Traceback" not in result.output
    assert {path for path in tmp_path.rglob("*") if path.suffix == ".lock"} <= before
    assert not list(tmp_path.parent.glob("x*.lock"))


@pytest.mark.parametrize("name", PATHS)
def test_no_lock_is_made_for_an_invalid_batch_id(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match="is not a batch id"), batch_lock(Home(tmp_path).locks, name):
        pytest.fail("it was locked")
    assert list(tmp_path.iterdir()) == []


def test_a_negative_budget_is_refused(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    batch = tmp_path / "b.csv"
    batch.write_text("instruction_id,instruction\n1,Hello\n")
    result = run("route", str(batch), "--budget", "-1")
    assert result.exit_code == 2
    assert "budget" in result.output


@pytest.mark.slow
def test_a_table_with_notes_and_gaps_is_evaluated_once_that_is_asked_for(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    rows = [f"{i},What is {i} plus {i}?,{'' if i % 10 == 0 else 1},{i % 2},0.02,0.01,seen" for i in range(150)]
    labels = tmp_path / "labels.csv"
    labels.write_text("\n".join(["instruction_id,instruction,large,small,large|cost,small|cost,note", *rows]))
    evaluate = ("evaluate", "--labels", str(labels), "--seeds", "1", "--output", str(tmp_path / "out"))
    gaps = run(*evaluate)
    assert gaps.exit_code == 2
    assert "row 2, column 'large': success is missing" in gaps.output
    assert "--allow-missing" in gaps.output
    notes = run(*evaluate, "--allow-missing")
    assert notes.exit_code == 2
    assert "column 'note'" in notes.output
    assert "--ignore-column" in notes.output
    evaluated = run(*evaluate, "--ignore-column", "note", "--allow-missing")
    assert evaluated.exit_code == 0, evaluated.output
    assert (tmp_path / "out" / "summary.json").exists()


def test_a_table_without_rows_is_empty() -> None:
    """As for a router that was recalibrated and so has no figures on the test split."""
    assert text_table([]) == ""
    assert text_table([{"model": "a", "share": 0.25}]).split() == ["model", "share", "a", "0.25"]
    short = [{"model": "a"}, {"share": 0.25, "model": "b"}]
    assert text_table(short).split() == ["model", "share", "a", "-", "b", "0.25"]


def test_a_method_or_format_that_does_not_exist_is_refused_before_anything_runs(run, tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr("routing_assets.cli.batches.run_job", lambda *_, **__: pytest.fail("a run was started"))
    for command in (("train",), ("evaluate", "--output", str(tmp_path / "out"))):
        for option in ("--method", "--format"):
            result = run(*command, "--labels", "simulated:r1_math", option, "frozem")
            assert result.exit_code == 2
            assert f"Invalid value for '{option}'" in result.output
            assert not (tmp_path / "home").exists()


def test_the_command_line_knows_every_method_and_format() -> None:
    assert tuple(METHOD.choices) == get_args(Method) == get_args(ClassifierSettings.model_fields["method"].annotation)
    assert tuple(FORMAT.choices) == get_args(LabelFormat)


@pytest.mark.usefixtures("heeds_the_keyboard")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_command_that_is_stopped_says_so_in_one_line(number: int) -> None:
    @click.command()
    @says_what_is_wrong
    def waits() -> None:
        os.kill(os.getpid(), number)
        time.sleep(30)

    before = signal.getsignal(signal.SIGTERM)
    result = CliRunner().invoke(waits)
    assert result.exit_code == 128 + number
    assert result.output.startswith("stopped by ")
    assert result.output.count("\n") == 1
    assert signal.getsignal(signal.SIGTERM) == before
