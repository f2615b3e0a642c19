"""Drift is judged again for outcomes that arrive while it is being judged."""

from __future__ import annotations

import dagster as dg
from dagster._core.events import AssetMaterializationPlannedData, DagsterEvent, DagsterEventType

from routing_assets.defs.outcomes.outcomes import UNSEEN_OUTCOMES


@dg.asset
def outcomes() -> None: ...


@dg.asset(deps=[outcomes], automation_condition=UNSEEN_OUTCOMES)
def drift() -> None: ...


DEFS = dg.Definitions(assets=[outcomes, drift], jobs=[dg.define_asset_job("judge", [drift])])


def test_outcomes_that_arrive_during_a_run_are_judged_after_it() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        cursor = None

        def requested() -> int:
            nonlocal cursor
            result = dg.evaluate_automation_conditions(DEFS, instance=instance, cursor=cursor)
            cursor = result.cursor
            return result.total_requested

        def arrive() -> None:
            instance.report_runless_asset_event(dg.AssetMaterialization("outcomes"))

        assert requested() == 0
        arrive()
        assert requested() == 1
        assert requested() == 0

        job = DEFS.resolve_job_def("judge")
        run = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
        planned = AssetMaterializationPlannedData(drift.key)
        event = DagsterEvent(DagsterEventType.ASSET_MATERIALIZATION_PLANNED.value, "judge", event_specific_data=planned)
        instance.report_dagster_event(event, run.run_id)
        arrive()
        assert requested() == 0  # the run is still under way
        instance.report_runless_asset_event(dg.AssetMaterialization("drift"))
        instance.report_run_canceled(instance.get_run_by_id(run.run_id))
        assert requested() == 1
        assert requested() == 0
