"""How a command ends: with 0, with 1 where it found a fault, with 2 after an error, with 130 or 143 when stopped."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeAlias

import click

from routing_assets.cli.interrupts import exits_when_stopped
from routing_assets.foundation.errors import InvalidInput

Command: TypeAlias = Callable[..., bool | None]
"""What a command does; it returns False where it found a fault."""


class RunFailed(RuntimeError):
    """A Dagster run failed; the message is the reason that the failing step gave."""


def says_what_is_wrong(command: Command) -> Callable[..., None]:
    """Print an error that has a remedy in one line and exit with 2; exit with 1 where the command returns False."""

    @wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            with exits_when_stopped():
                well = command(*args, **kwargs)
        except (InvalidInput, RunFailed, OSError) as error:
            click.secho(f"error: {error}", fg="red", err=True)
            sys.exit(2)
        if well is False:
            sys.exit(1)

    return wrapped
