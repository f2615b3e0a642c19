"""Commands that end a batch: it went out, or is taken back. They change the ledger and the outbox only."""

from __future__ import annotations

from routing_assets.batches.ends import dispatch_batch, withdraw_batch
from routing_assets.cli.output import say
from routing_assets.home import Home


def dispatch(home: Home, batch_id: str) -> None:
    """Freeze the decision in force of a batch. A dispatched batch cannot be reopened."""
    run_id = dispatch_batch(home.warehouse, home.folders, batch_id)
    if run_id is None:
        say(f"batch {batch_id} is dispatched already")
    else:
        say(f"batch {batch_id} is dispatched as run {run_id} routed it")


def withdraw(home: Home, batch_id: str) -> None:
    """Withdraw a batch that was not sent out. Raises InvalidInput where it was sent out, or is unknown."""
    withdraw_batch(home.warehouse, home.folders, batch_id)
    say(f"batch {batch_id} is withdrawn: its outbox folder is removed, its reserved money released")
