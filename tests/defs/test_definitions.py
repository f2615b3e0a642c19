"""What Dagster sees: names are public, and loading them is light."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from routing_assets.allocation import POLICIES
from routing_assets.cli.main import PolicyName
from routing_assets.definitions import definitions, defs
from routing_assets.defs.engine import BatchEngine
from routing_assets.defs.home import RoutingHome
from routing_assets.evaluation.policies import ROUTED
from routing_assets.evaluation.terminal import ORDER
from routing_assets.home import Home


def test_the_assets_jobs_sensors_and_schedules_keep_their_names() -> None:
    repository = defs.get_repository_def()
    assert {key.to_user_string() for key in repository.asset_graph.get_all_asset_keys()} == {
        "labelled_instructions", "model_catalog", "splits",
        "cost_model", "price_release",
        "success_classifier", "held_out_logits", "panel_refit", "calibration_temperatures", "calibration_buckets",
        "router", "second_look", "added_labels", "extended_router", "recalibrated_router",
        "router_comparison", "router_release",
        "batch_instructions", "probability_matrix", "cost_matrix",
        "batch_budget", "threshold_allocation", "ndch_allocation", "ndch_p_allocation", "mip_allocation",
        "routed_batch", "batch_export", "batch_page",
        "submissions", "answers", "grades", "batch_outcomes", "calibration_drift", "second_round", "second_export",
        "budget_curves", "daily_report",
    }  # fmt: skip
    assert {"train_router", "add_model", "route_batch", "update_prices", "evaluate_router"} <= set(repository.job_names)
    assert {sensor.name for sensor in repository.sensor_defs} == {
        "inbox_sensor",
        "outcomes_sensor",
        "submission_sensor",
        "second_round_sensor",
        "report_failures",
        "lost_runs_sensor",
        "automation",
        "act_on_drift",
        "retrain_on_new_labels",
    }
    assert {schedule.name for schedule in repository.schedule_defs} == {
        "reroute_stale_batches",
        "daily_retirement",
        "daily_report_schedule",
    }


def test_every_asset_has_an_owner_a_description_a_group_and_a_code_version() -> None:
    graph = defs.get_repository_def().asset_graph
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.owners, key
        assert node.description, key
        assert node.group_name != "default", key
        assert node.code_version, key


def test_every_check_sensor_and_schedule_says_what_it_does() -> None:
    repository = defs.get_repository_def()
    graph = repository.asset_graph
    assert [check for check in graph.asset_check_keys if not graph.get(check).description] == []
    for automation in (*repository.sensor_defs, *repository.schedule_defs):
        assert automation.description, automation.name


def test_the_home_and_the_engine_may_be_given_as_resources(tmp_path: Path) -> None:
    home = RoutingHome(root=str(tmp_path))
    mine = definitions(home=home, engine=BatchEngine(home=home, workers=1))
    merged = dg.Definitions.merge(mine, dg.Definitions(jobs=[]))
    assert merged.resources["home"].root == str(tmp_path)
    assert merged.resources["engine"].workers == 1


def test_blocking_checks_guard_every_hand_over() -> None:
    graph = defs.get_repository_def().asset_graph
    blocking = {
        (check.asset_key.to_user_string(), check.name) for check in graph.asset_check_keys if graph.get(check).blocking
    }
    assert {
        ("splits", "splits_do_not_leak"),
        ("router", "calibration_holds"),
        ("extended_router", "new_models_are_calibrated"),
        ("probability_matrix", "probabilities_are_valid"),
        ("mip_allocation", "every_instruction_is_assigned_once"),
        ("mip_allocation", "spend_is_within_budget"),
        ("routed_batch", "every_instruction_is_assigned_once"),
        ("routed_batch", "spend_is_within_budget"),
    } <= blocking


def test_loading_the_definitions_imports_no_heavy_library() -> None:
    code = (
        "import sys, routing_assets.definitions;"
        "print(*sorted({'torch', 'transformers', 'mlflow', 'ortools', 'matplotlib', 'sklearn'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == ""


def test_runs_stay_in_one_process() -> None:
    job = defs.resolve_job_def("route_batch")
    assert job.executor_def is dg.in_process_executor


def test_two_installations_live_in_one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ROUTING_HOME", raising=False)
    homes = [Home(tmp_path / name).create() for name in ("one", "two")]
    for home in homes:
        run = definitions(str(home.root)).resolve_job_def("update_prices")
        home.warehouse.create()
        with dg.DagsterInstance.ephemeral() as instance:
            run.execute_in_process(
                run_config={"ops": {"model_catalog": {"config": {"catalog": "simulated:r1_math"}}}},
                instance=instance,
                op_selection=["model_catalog"],
            )
    assert [len(list((home.store.root / "model_catalog").glob("*.parquet"))) for home in homes] == [1, 1]


def test_every_policy_of_the_table_has_its_asset_its_choice_and_its_curve() -> None:
    graph = defs.get_repository_def().asset_graph
    for name, policy in POLICIES.items():
        assert (graph.get(dg.AssetKey(f"{name}_allocation")).description or "").startswith(policy.method)
        assert PolicyName().convert(name, None, None) == name
        assert name in {routed.name for routed in ROUTED}
        assert name in ORDER
