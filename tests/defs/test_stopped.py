"""A command that is stopped while its run is under way."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from routing_assets.cli.main import main
from routing_assets.home import Home


@pytest.mark.usefixtures("heeds_the_keyboard")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_ends_in_one_line_and_is_made_again(
    trained: Home, batch_file: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> None:
        os.kill(os.getpid(), number)
        time.sleep(30)

    arguments = ["route", str(batch_file), "--budget-fraction", "0.4"]
    with monkeypatch.context() as patch:
        patch.setattr("routing_assets.batches.matrices.score_batch", stopped)
        result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 128 + number
    assert "Interrupted" not in result.output
    assert (
        result.output.strip().splitlines()[-1].startswith(f"stopped by {'the keyboard' if number == 2 else 'another'}")
    )
    again = CliRunner().invoke(main, arguments)
    assert again.exit_code == 0, again.output
