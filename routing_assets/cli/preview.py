"""What routing a file would cost and buy: nothing is entered, written or spent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from routing_assets.allocation import InfeasibleAllocation
from routing_assets.batches.plan import plan_batch
from routing_assets.batches.policy import layout_of, layout_settings, read_policy, settings_of_request
from routing_assets.batches.receive import private_copy
from routing_assets.cli.output import say, shown_as_json
from routing_assets.datasets import load_batch
from routing_assets.foundation.errors import InvalidInput
from routing_assets.home import Home
from routing_assets.routers.catalog_in_force import catalog_in_force
from routing_assets.routers.release import why_by_rates
from routing_assets.routers.shelf import load_router
from routing_assets.storage.in_force import router_in_force


def preview(home: Home, file: Path, request: Mapping[str, Any], *, encoding: str | None = None) -> None:
    """Print the plan of a batch file by the router and prices in force."""
    version = router_in_force(home.warehouse)["router_version"]
    labels = next(row for row in home.warehouse.fetch("routers") if row["router_version"] == version)
    policy = read_policy(home.policy_file)
    settings = settings_of_request(request, policy.settings, source="the command line")
    with private_copy(home.folders, file, encoding or policy.encoding, of_requests=True) as copy, copy.naming(file):
        layout = layout_of({**layout_settings(policy.layout.fitting(copy.path)), **request})
        batch = load_batch(copy.path, strict=settings.strict, layout=layout)
    simulated = labels["labels"] if labels["simulated"] else None
    settled, prices = replace(settings, confidence=None, second_look=None), home.store.read("cost_model")
    try:
        router, catalog = load_router(home.shelf, version), catalog_in_force(home.store)
        plan = plan_batch(batch, router, version, prices, catalog, settled, simulated=simulated)
    except InfeasibleAllocation as error:
        raise InvalidInput(str(error)) from error
    figures = {name: getattr(plan, name) for name in ("budget", "cost", "expected_success", "upper_bound", "gap")}
    if shown_as_json({**figures, "frontier": plan.frontier().to_dict("records")}):
        return
    say(plan.report())
    say("\nWhat other budgets would buy:")
    say(plan.frontier().to_string(index=False))
    if settings.confidence is not None:
        say("--confidence holds back part of the budget, which this preview does not.")
    if by_rates := why_by_rates(home.warehouse, home.shelf):
        say(by_rates)
    say("This was a preview: nothing is kept.")
