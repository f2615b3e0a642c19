"""The command that writes the page of a batch."""

from __future__ import annotations

from routing_assets.audit.page import write_page
from routing_assets.batches.known import decision_in_force
from routing_assets.cli.audit import runs_that_scored
from routing_assets.cli.output import say, shown_as_json
from routing_assets.engine import LocalEngine
from routing_assets.home import Home


def page(home: Home, batch_id: str) -> None:
    """Write the page of a batch anew, and print where it is."""
    decided_by = decision_in_force(home.warehouse, batch_id)["dagster_run_id"]
    runs = runs_that_scored(home, batch_id, decided_by)
    path = write_page(home.warehouse, home.store, home.folders, LocalEngine(), batch_id, runs)
    if not shown_as_json({"page": str(path)}):
        say(str(path))
