"""A preview says what routing would cost and buy, and keeps nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from routing_assets.cli.main import main
from routing_assets.home import Home


def route(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["route", *words])
    return done.exit_code, done.output


def test_a_preview_says_what_the_route_will_cost_and_keeps_nothing(trained: Home, batch_file: Path) -> None:
    code, said = route(str(batch_file), "--budget-fraction", "0.4", "--dry-run")
    assert code == 0, said
    assert "60 instructions cost" in said
    assert "What other budgets would buy" in said
    assert trained.warehouse.fetch("batches") == []
    assert not list(trained.folders.outbox.glob("*"))
    before = said.partition(" are expected to succeed")[0].rpartition(" ")[0]
    code, routed = route(str(batch_file), "--budget-fraction", "0.4")
    assert code == 0, routed
    cost = before.split("cost ")[1].split(" ")[0]
    assert cost in routed


@pytest.mark.parametrize("budget", ["0.0000001"])
def test_a_preview_of_a_budget_that_is_too_small_names_the_least_one(
    trained: Home, batch_file: Path, budget: str
) -> None:
    code, said = route(str(batch_file), "--budget", budget, "--dry-run")
    assert code == 2
    assert "the cheapest feasible budget is" in said
