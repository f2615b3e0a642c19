"""Processes that are killed while they send and fetch: no request is paid for twice, none is lost, the money fits."""

from __future__ import annotations

import random
from collections import Counter
from datetime import timedelta
from functools import partial
from pathlib import Path

import forked
import pytest
from batch_apis import START, BatchApis, Plan
from crash_points import CrashPoints
from submitted import desk, require_all_is_well, route, tick

from routing_assets.batches.submissions.ledger import open_submissions
from routing_assets.batches.submissions.look import look
from routing_assets.home import Home
from routing_assets.providers.clients import CLIENTS

SIZE = 6
CALLS = ("upload", "create", "page", "job", "results")


class Logged(CrashPoints):
    """Writes down at which moment it kills the process."""

    def __init__(self, fatal: int, log: Path) -> None:
        super().__init__(fatal)
        self.log = log

    def pass_by(self, name: str) -> None:
        if self.fatal == len(self.names):
            with self.log.open("a") as file:
                file.write(name + "\n")
        super().pass_by(name)


def work(home: Home, apis: BatchApis, fatal: int, folder: Path) -> None:
    """One tick, in a child that kills itself just before or after a commit, a file's move or a provider's call."""
    points = Logged(fatal, folder / "moments")
    points.install_on_files().install_on_commits()
    for client in CLIENTS.values():
        for call in CALLS:
            setattr(client, call, points.around(getattr(client, call), call))
    tick(home, apis, folder / "cursor")


@pytest.mark.timeout(7200)
@pytest.mark.parametrize(
    "kills", [pytest.param(8, marks=pytest.mark.slow), pytest.param(200, marks=pytest.mark.faults)]
)
def test_kills_while_sending_and_fetching(
    home: Home, tmp_path: Path, kills: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for sdk in ("openai", "anthropic", "google.genai"):
        pytest.importorskip(sdk, reason="the extra [providers] is not installed")
    dice, killed, batches = random.Random(kills), 0, list[str]()
    home.create().warehouse.create()
    with BatchApis(START) as apis:
        for name, value in apis.environment.items():
            monkeypatch.setenv(name, value)
        apis.fault = lambda operation: dice.choice(["429", "500", "cut", "half"]) if dice.random() < 0.03 else None
        apis.plan = lambda: Plan(
            dice.choices(["done", "expired", "failed"], [0.9, 0.05, 0.05])[0],
            minutes=dice.choice([5, 30, 90]),
            lacking=frozenset({1} if dice.random() < 0.1 else ()),
        )
        while killed < kills:
            if len(batches) < 3 or dice.random() < 0.2:
                batches.append(route(home, f"batch{len(batches)}", SIZE))
            apis.pass_time(dice.choice([1, 5, 16]))
            fatal = int(dice.expovariate(1 / 40))
            killed += forked.killed_after(partial(work, home, apis, fatal, tmp_path), 120.0, tmp_path / "log")
        apis.fault = lambda operation: None
        while look(desk(home, apis)).batches or open_submissions(home.warehouse):
            apis.pass_time(20)
            assert forked.done(partial(work, home, apis, -1, tmp_path), tmp_path / "log"), (
                tmp_path / "log"
            ).read_text()
            assert apis.now < START + timedelta(days=9)
        found = require_all_is_well(home, apis, batches, SIZE)
    print(f"\n{killed} kills, {len(batches)} batches of {SIZE}: {found}")
    for moment, times in Counter((tmp_path / "moments").read_text().splitlines()).most_common():
        print(f"{times:5d} {moment}")
