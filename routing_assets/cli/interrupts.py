"""A command that is stopped from outside says so in one line, and ends with the exit code that shells expect."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

STOPPED_BY = {signal.SIGINT: "by the keyboard", signal.SIGTERM: "by another program"}


@contextmanager
def exits_when_stopped() -> Iterator[None]:
    """Ends the process with 130 after SIGINT and 143 after SIGTERM, wherever in the block it came.

    For the main thread. While a job runs, Dagster does not tell the two signals apart, so the number is read from
    Python's own record of signals.
    """
    reader, writer = os.pipe()
    for end in (reader, writer):
        os.set_blocking(end, False)
    recorded_in = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    terminated = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        number = _first_of(STOPPED_BY, reader)
        click.secho(f"stopped {STOPPED_BY[number]} ({number.name}); what was finished is kept", fg="red", err=True)
        sys.exit(128 + number)
    finally:
        signal.signal(signal.SIGTERM, terminated)
        signal.set_wakeup_fd(recorded_in)
        os.close(reader)
        os.close(writer)


def _first_of(known: dict[signal.Signals, str], reader: int) -> signal.Signals:
    try:
        recorded = os.read(reader, 1024)
    except BlockingIOError:  # an interrupt that was raised without a signal
        recorded = b""
    return next((signal.Signals(number) for number in recorded if number in known), signal.SIGINT)
