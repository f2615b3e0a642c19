"""A month unattended: batches arrive, calls and jobs fail, and every request is answered or set aside with a reason."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from batch_apis import BatchApis, Plan
from submitted import MODELS, desk, require_all_is_well, route, tick

from routing_assets.batches.submissions.ledger import open_submissions, submissions_of
from routing_assets.batches.submissions.look import look
from routing_assets.home import Home

SIZE, FAULTS = 4, 0.05


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    "size",
    [
        pytest.param(5, marks=pytest.mark.slow),
        pytest.param(100, marks=pytest.mark.slow),
        pytest.param(500, marks=pytest.mark.faults),
    ],
)
def test_a_month_of_batches(home: Home, apis: BatchApis, tmp_path: Path, size: int) -> None:
    """Of all calls, jobs and requests, 5 % go wrong. A tick every other hour stands for those in between."""
    dice, batches = random.Random(size), list[str]()
    arrivals = sorted(dice.uniform(0, 27 * 24) for _ in range(size))
    apis.fault = lambda call: dice.choice(["429", "500", "cut", "half"]) if dice.random() < FAULTS else None
    apis.fails = lambda prompt: dice.random() < FAULTS
    apis.plan = lambda: Plan(
        dice.choice(["expired", "failed"]) if dice.random() < FAULTS else "done",
        minutes=dice.choice([10, 60, 600, 1440]),
        lacking=frozenset({0} if dice.random() < FAULTS else ()),
    )
    settings: dict[str, Any] = {"most_usd": size * SIZE * 2e-4, "when": "routed"}
    clients = desk(home, apis).clients
    hours = 0.0
    while (
        len(batches) < size or open_submissions(home.warehouse) or look(desk(home, apis, clients, **settings)).batches
    ):
        if not open_submissions(home.warehouse) and len(batches) < size:  # nothing happens before the next one arrives
            apis.pass_time(60 * max(0.0, arrivals[len(batches)] - hours))
            hours = max(hours, arrivals[len(batches)])
        while len(batches) < size and arrivals[len(batches)] <= hours:
            models = dice.sample(MODELS, dice.choice([1, 1, 2]))
            batches.append(route(home, f"batch{len(batches)}", SIZE, models=models, dispatch=False))
        tick(home, apis, tmp_path / "cursor", clients=clients, **settings)
        apis.pass_time(120)
        hours += 2
        assert hours < 31 * 24
    found = require_all_is_well(home, apis, batches, SIZE)
    assert found["answered"] + found["set aside"] == size * SIZE
    assert sum(of.usd for of in submissions_of(home.warehouse)) <= settings["most_usd"]
    print(f"\n{size} batches of {SIZE} in {hours:.0f} hours, {len(apis.calls)} calls: {found}")
