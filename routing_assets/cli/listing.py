"""Commands that list what the ledger knows: routers and batches. They read the warehouse only."""

from __future__ import annotations

from datetime import datetime

from routing_assets.cli.output import say, show
from routing_assets.foundation.errors import InvalidInput
from routing_assets.home import Home

OF_ROUTER = ("router_version", "origin", "labels", "mlflow", "state", "since", "reason", "parent", "ece", "brier")


def routers(home: Home) -> None:
    """List every router that passed its checks."""
    rows = home.warehouse.fetch("routers")
    if not rows:
        raise InvalidInput(
            "no router has been trained yet", source=str(home.root), remedy="Run routing-assets train first."
        )
    shown = (*OF_ROUTER, "log_loss")
    show("routers", [{name: row[name] for name in shown} | {"since": _minute(row["since"])} for row in rows])
    for row in rows:
        if row["state"] == "never" and row["why"]:
            say(f"{row['router_version']} is not in force: {row['why']}")


def batches(home: Home) -> None:
    """List every batch, the newest first."""
    rows = home.warehouse.fetch("batches")
    show("batches", [row | {"received": _minute(row["received"])} for row in rows])
    if not rows:
        say("no batch yet. Give one with routing-assets route FILE, or put a file into the inbox.")


def _minute(time: datetime | None) -> str | None:
    return None if time is None else f"{time:%Y-%m-%d %H:%M} UTC"
