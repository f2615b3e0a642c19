"""Which engine runs is one setting; wrong ones are refused before anything starts."""

from __future__ import annotations

import sys

import dagster as dg
import pytest

from routing_assets.batches.policy import read_policy
from routing_assets.defs.engine import BatchEngine
from routing_assets.defs.home import RoutingHome
from routing_assets.engine import Engine, EngineSettings, LocalEngine, RayEngine
from routing_assets.foundation.errors import InvalidInput
from routing_assets.home import Home


def test_one_machine_is_the_default() -> None:
    assert isinstance(EngineSettings().engine(), LocalEngine)
    assert EngineSettings(workers=3).engine() == LocalEngine(3)


def written(home: Home, engine: str) -> Engine:
    """The engine that a policy file with this setting gives."""
    home.create().policy_file.write_text(f"engine: {engine}\n")
    settings = read_policy(home.policy_file).engine
    assert settings is not None
    return settings.engine()


def test_a_cluster_is_one_setting(home: Home) -> None:
    assert written(home, "{kind: ray, address: 'head:6379', in_flight: 8}") == RayEngine("head:6379", 8)


@pytest.mark.parametrize(
    ("engine", "complaint"),
    [
        ("{kind: spark}", "engine.kind.*'spark'.*'local' or 'ray'"),
        ("{kind: local, workers: 0}", "engine.workers"),
        ("{in_flight: many}", "engine.in_flight"),
        ("{address: 6379}", "engine.address"),
        ("{cluster: head}", "'cluster' is unknown"),
        ("ray", "engine is 'ray'"),
        ("{kind: ray, address: 'ray://head:10001'}", "an address of Ray's client"),
    ],
)
def test_a_wrong_setting_is_refused(home: Home, engine: str, complaint: str) -> None:
    with pytest.raises(InvalidInput, match=complaint):
        written(home, engine)


def test_an_address_of_rays_client_is_refused_in_every_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "ray://head:10001")
    with pytest.raises(InvalidInput, match="an address of Ray's client"):
        list(RayEngine().map(abs, [1]))


def test_without_ray_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InvalidInput, match=r"Install it: pip install 'routing_assets\[ray\]'"):
        list(RayEngine("head:6379").map(abs, [1]))


def test_a_run_takes_its_own_settings_over_those_of_the_policy_file(home: Home) -> None:
    home.root.mkdir()
    resource = BatchEngine(home=RoutingHome(root=str(home.root)))
    assert isinstance(resource.engine(), LocalEngine)
    home.policy_file.write_text("engine: {kind: ray, address: 'head:6379'}\n")
    assert resource.engine() == RayEngine("head:6379")
    own = BatchEngine(home=RoutingHome(root=str(home.root)), kind="local", workers=2)
    assert own.engine() == LocalEngine(2)
    home.policy_file.write_text("engine: {kind: spark}\n")
    with pytest.raises(dg.Failure, match="spark"):
        resource.engine()


def test_assets_get_the_engine_and_runs_configure_it(home: Home) -> None:
    @dg.asset
    def doubled(engine: BatchEngine) -> list[int]:
        return list(engine.engine().map(int.__mul__, [1, 2, 3], 2))

    home.create()
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize(
            [doubled],
            resources={"engine": BatchEngine(home=RoutingHome(root=str(home.root)))},
            run_config={"resources": {"engine": {"config": {"kind": "local", "workers": 1}}}},
            instance=instance,
        )
    assert result.output_for_node("doubled") == [2, 4, 6]
