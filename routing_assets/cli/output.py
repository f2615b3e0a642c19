"""What commands print: words and tables or, with ``--json``, one JSON object on stdout and the words on stderr."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import wraps
from typing import Any

import click

from routing_assets.cli.errors import Command
from routing_assets.cli.tables import text_table

_SHOWN = f"{__name__}.shown"


def say(text: str = "", *, bold: bool = False) -> None:
    """Print words."""
    click.secho(text, bold=bold or None, err=_shown() is not None)


def show(name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Print a table; ``name`` is its key in the JSON object. Without rows nothing is printed for people."""
    if not shown_as_json({name: list(rows)}) and rows:
        click.echo(text_table(rows))


def shown_as_json(content: Mapping[str, Any]) -> bool:
    """Add ``content`` to the JSON object; False where the command prints none."""
    shown = _shown()
    if shown is not None:
        shown.update(content)
    return shown is not None


def with_json(command: Command) -> Command:
    """The option ``--json`` of a command that shows tables."""

    @wraps(command)
    def wrapped(*args: Any, as_json: bool, **options: Any) -> bool | None:
        shown: dict[str, Any] = {}
        if as_json:
            click.get_current_context().meta[_SHOWN] = shown
        well = command(*args, **options)
        if as_json:
            click.echo(json.dumps(shown, indent=1, default=str, ensure_ascii=False))
        return well

    help_ = "Print the tables as one JSON object, and all words on stderr."
    return click.option("--json", "as_json", is_flag=True, help=help_)(wrapped)


def _shown() -> dict[str, Any] | None:
    """The tables so far, where the command prints JSON."""
    context = click.get_current_context(silent=True)
    return context.meta.get(_SHOWN) if context else None
