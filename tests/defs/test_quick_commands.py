"""Commands that only read load none of the libraries that take seconds; ``--json`` prints what they show as JSON."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from routing_assets.audit.daily_report import SECTIONS
from routing_assets.cli.main import main
from routing_assets.home import Home

RUN_ALL = """
import json, sys
from routing_assets.cli.main import main
for command in json.loads(sys.argv[1]):
    try:
        main(command)
    except SystemExit as ended:
        assert not ended.code, (command, ended.code)
heavy = {"torch", "dagster", "mlflow", "transformers", "sklearn", "sqlalchemy"} & set(sys.modules)
assert not heavy, heavy
"""


def first_instruction(home: Home) -> str:
    return str(home.store.read("routed_batch", "weekly")["instruction_id"][0].as_py())


def test_commands_that_only_read_load_no_large_library(routed: Home) -> None:
    explain = ["explain", "weekly", first_instruction(routed)]
    listing = [["--help"], ["route", "--help"], ["routers"], ["batches"], ["batches", "--json"]]
    commands = [*listing, explain, ["report"], ["audit", "weekly", "--quick"], ["dispatch", "weekly"]]
    done = subprocess.run(
        [sys.executable, "-c", RUN_ALL, json.dumps(commands)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "batch weekly is dispatched as run" in done.stdout


@pytest.mark.parametrize(
    ("command", "keys"),
    [
        (["routers"], {"routers"}),
        (["batches"], {"batches"}),
        (["audit", "weekly", "--quick"], {"faults", "journal"}),
        (["report"], set(SECTIONS)),
        (["retire", "--dry-run", "--before", "2020-01-01"], {"retirable"}),
    ],
)
def test_tables_come_as_one_json_object_and_words_apart(routed: Home, command: list[str], keys: set[str]) -> None:
    result = CliRunner().invoke(main, [*command, "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout).keys() == keys


def test_an_explained_assignment_comes_as_json_with_all_its_digits(routed: Home) -> None:
    result = CliRunner().invoke(main, ["explain", "weekly", first_instruction(routed), "--json"])
    explained = json.loads(result.stdout)
    row = routed.store.read("routed_batch", "weekly").slice(0, 1).to_pylist()[0]
    assert (explained["model"], explained["estimated_cost_usd"]) == (row["model"], row["cost"])


def test_batches_are_listed_with_their_state(routed: Home) -> None:
    (row,) = json.loads(CliRunner().invoke(main, ["batches", "--json"]).stdout)["batches"]
    assert (row["batch"], row["state"], row["instructions"], row["policy"]) == ("weekly", "routed", 60, "mip")
    assert row["cost_usd"] <= row["budget_usd"]
    CliRunner().invoke(main, ["dispatch", "weekly"])
    assert "dispatched" in CliRunner().invoke(main, ["batches"]).output
