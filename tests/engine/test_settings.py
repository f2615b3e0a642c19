"""Which engine runs is one setting; wrong ones are refused before anything starts."""

from __future__ import annotations

import sys

import dagster as dg
import pytest

from routing_assets.defs.engine import BatchEngine
from routing_assets.defs.home import RoutingHome
from routing_assets.engine import EngineSettings, LocalEngine, RayEngine, engine_settings
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.home import Home


def test_one_machine_is_the_default() -> None:
    assert isinstance(EngineSettings().engine(), LocalEngine)
    assert EngineSettings(workers=3).engine() == LocalEngine(3)


def test_a_cluster_is_one_setting() -> None:
    settings = engine_settings({"kind": "ray", "address": "head:6379", "in_flight": 8}, source="policy.yaml")
    assert settings.engine() == RayEngine("head:6379", 8)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"kind": "spark"}, r"policy\.yaml: there is no engine 'spark'. Choose one of local, ray"),
        ({"kind": "local", "workers": 0}, "workers is 0"),
        ({"in_flight": "many"}, "in_flight is 'many'"),
        ({"address": 6379}, "address is 6379"),
        ({"cluster": "head"}, "Write a mapping with any of kind, workers, address, in_flight"),
        ("ray", "the engine is 'ray'"),
        ({"kind": "ray", "address": "ray://head:10001"}, "an address of Ray's client"),
    ],
)
def test_a_wrong_setting_is_refused(values: object, complaint: str) -> None:
    with pytest.raises(InvalidInput, match=complaint):
        engine_settings(values, source="policy.yaml").engine()


def test_rays_client_is_refused_wherever_its_address_stands(monkeypatch: pytest.MonkeyPatch) -> None:
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
    with pytest.raises(dg.Failure, match="there is no engine 'spark'"):
        resource.engine()


def test_assets_get_the_engine_and_runs_configure_it(home: Home) -> None:
    @dg.asset
    def doubled(engine: BatchEngine) -> list[int]:
        return list(engine.engine().map(int.__mul__, [1, 2, 3], 2))

    home.create()
    result = dg.materialize(
        [doubled],
        resources={"engine": BatchEngine(home=RoutingHome(root=str(home.root)))},
        run_config={"resources": {"engine": {"config": {"kind": "local", "workers": 1}}}},
    )
    assert result.output_for_node("doubled") == [2, 4, 6]
