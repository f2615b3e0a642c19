"""Releases and roll-backs that crash or meet: ledger, stored prices and MLflow's alias end up saying the same."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest
from helpers import copy_installation
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from routing_assets.foundation.errors import InvalidInput
from routing_assets.home import Home
from routing_assets.routers import mlflow_registry as tracking
from routing_assets.routers import release as champion
from routing_assets.routers.release_ledger import finish_release, releasing
from routing_assets.storage.in_force import prices_in_force, router_in_force
from routing_assets.storage.parquet_store import Store
from routing_assets.storage.warehouse import Warehouse

ROUTERS = {"first": "m", "second": "n", "third": "o"}
"""Routers, and the only model that each knows and its own prices name."""


class Crash(BaseException):
    """What stands for a kill: nothing in the product catches it."""


@pytest.fixture
def registered(home: Home, tracked_once: Path) -> Home:
    """Three routers that passed their checks, each with a price list by a run of its own; the first is in force."""
    copy_installation(tracked_once, home)
    client = tracking.connect(home.registry)
    client.create_registered_model(tracking.REGISTERED_MODEL)
    for number, (version, model) in enumerate(ROUTERS.items(), start=1):
        client.create_model_version(tracking.REGISTERED_MODEL, source=str(home.root))
        record = {name: version for name in champion._RECORDED} | {"mlflow_model_version": number}
        champion.record_candidate(
            home.warehouse, record, origin="trained", models=(model,), training_config="{}", run_id=f"run-{version}"
        )
        (home.shelf.folder / version).mkdir(parents=True)
        costs = pa.table({"cost_model": [json.dumps({"models": [model]})], "price_version": [f"prices-{version}"]})
        for asset, table in (("cost_model", costs), ("model_catalog", pa.table({"name": [model]}))):
            home.store.write(table, asset, None, f"run-{version}", make_current=False)
    release(home, "first")
    return home


def release(home: Home, version: str) -> None:
    with releasing(home.releases):
        router = champion.candidate(home.warehouse, version)
        champion.put_in_force(
            home.releases, router, reason="forced", run_id="test", prices_of=[router["dagster_run_id"]]
        )


def said(home: Home) -> tuple[str, str | None, str]:
    """The router in force by the ledger, by the stored prices, and by MLflow's alias."""
    alias = MlflowClient().get_model_version_by_alias(tracking.REGISTERED_MODEL, tracking.IN_FORCE)
    return (
        router_in_force(home.warehouse)["router_version"],
        prices_in_force(home.store)[0],
        list(ROUTERS)[int(alias.version) - 1],
    )


def agreed(version: str) -> tuple[str, str, str]:
    return version, f"prices-{version}", version


def crash_at(moment: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Crash just before or after write number ``moment`` of a release; returns the moments as they pass."""
    passed: list[str] = []

    def pass_by(name: str) -> None:
        passed.append(name)
        if len(passed) - 1 == moment:
            raise Crash

    def watch(owner: object, name: str) -> None:
        function = getattr(owner, name)

        def watched(*args: object, **kwargs: object) -> object:
            pass_by(f"before {name}")
            result = function(*args, **kwargs)
            pass_by(f"after {name}")
            return result

        monkeypatch.setattr(owner, name, watched)

    watch(Path, "touch")
    watch(Warehouse, "transaction")
    watch(Store, "make_current")
    watch(MlflowClient, "set_registered_model_alias")
    watch(Path, "unlink")
    return passed


def test_a_release_that_crashes_at_any_write_leaves_one_truth(
    registered: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment, survived = 0, True
    while survived:
        with monkeypatch.context() as patched:
            passed = crash_at(moment, patched)
            try:
                release(registered, "second")
                survived = False
            except Crash:
                pass
        finish_release(registered.releases)
        version = router_in_force(registered.warehouse)["router_version"]
        assert version in ("first", "second"), passed
        assert said(registered) == agreed(version), passed
        release(registered, "first")
        moment += 1
    assert moment > 10
    assert "after set_registered_model_alias" in passed


def test_a_router_with_a_model_that_no_prices_name_is_not_put_back(registered: Home) -> None:
    record = dict.fromkeys(champion._RECORDED, "unpriced") | {"mlflow_model_version": 1}
    champion.record_candidate(
        registered.warehouse, record, origin="trained", models=("x",), training_config="{}", run_id="run-unpriced"
    )
    (registered.shelf.folder / "unpriced").mkdir()
    with pytest.raises(InvalidInput, match="router unpriced knows x, but the prices in force are of m"):
        champion.rollback(registered.releases, registered.shelf, "unpriced")
    assert said(registered) == agreed("first")


def test_releases_and_roll_backs_that_meet_end_in_one_state(registered: Home) -> None:
    def back(_: int) -> None:
        champion.rollback(registered.releases, registered.shelf)

    release(registered, "second")
    with ThreadPoolExecutor(4) as pool:
        doing = [pool.submit(release, registered, version) for version in ("third", "second", "first", "third")]
        doing += [pool.submit(back, number) for number in range(4)]
        for done in doing:
            done.result()
    assert said(registered) == agreed(router_in_force(registered.warehouse)["router_version"])


def test_the_alias_follows_at_the_next_start_where_mlflow_is_locked(
    registered: Home, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def locked(*_: object, **__: object) -> None:
        raise MlflowException("database is locked")

    with monkeypatch.context() as patched:
        patched.setattr(MlflowClient, "set_registered_model_alias", locked)
        release(registered, "second")
    assert "database is locked" in caplog.text
    assert said(registered) == ("second", "prices-second", "first")
    finish_release(registered.releases)
    assert said(registered) == agreed("second")
