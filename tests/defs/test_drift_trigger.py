"""Drift is judged again for outcomes that arrive while it is being judged."""

from __future__ import annotations

from collections.abc import Callable

import dagster as dg
import pytest

from routing_assets.defs.outcomes.outcomes import UNSEEN_OUTCOMES


@dg.asset
def outcomes() -> None: ...


during: list[Callable[[], None]] = []
"""What happens while drift is judged."""


@dg.asset(deps=[outcomes], automation_condition=UNSEEN_OUTCOMES)
def drift() -> None:
    for happen in during:
        happen()


DEFS = dg.Definitions(assets=[outcomes, drift], jobs=[dg.define_asset_job("judge", [drift])])


def test_outcomes_that_arrive_during_a_run_are_judged_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
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

        def arrive_under_way() -> None:
            arrive()
            under_way.append(requested())

        under_way: list[int] = []
        monkeypatch.setitem(globals(), "during", [arrive_under_way])
        assert DEFS.resolve_job_def("judge").execute_in_process(instance=instance).success
        assert under_way == [0]
        assert requested() == 1
        assert requested() == 0
