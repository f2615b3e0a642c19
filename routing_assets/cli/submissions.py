"""The command on what was sent to providers."""

from __future__ import annotations

import json

import click

from routing_assets.batches.submissions.ledger import submissions_of
from routing_assets.batches.submissions.overview import overview
from routing_assets.cli.tables import text_table
from routing_assets.home import Home


def submissions(home: Home, batch_id: str | None, *, as_json: bool) -> None:
    """Print every submission, or those of a batch."""
    home.create().warehouse.create()
    rows = overview(submissions_of(home.warehouse, batch_id))
    if as_json:
        click.echo(json.dumps(rows, indent=1))
    else:
        click.echo(text_table(rows) or "nothing was sent to a provider")
