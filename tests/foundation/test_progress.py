"""Progress bars are drawn in a terminal, never twice; files and pipes get a line a minute instead."""

import os
import pty
import subprocess
import sys
from collections.abc import Sequence

TWO_BARS = """
import time
from routing_assets.foundation.progress import progress_bar
with progress_bar("outer", 2, "splits") as advance:
    with progress_bar("inner", 3, "texts") as step:
        step(3, note="loss [b]")
        time.sleep(0.3)
    advance()
print("done")
"""


def run(command: Sequence[str], *, in_terminal: bool) -> str:
    reader, writer = pty.openpty() if in_terminal else os.pipe()
    process = subprocess.Popen(command, stdout=writer, stderr=writer, env=os.environ | {"TERM": "xterm"})
    os.close(writer)
    said = b""
    while True:
        try:
            part = os.read(reader, 4096)
        except OSError:  # the terminal is closed
            break
        if not part:
            break
        said += part
    os.close(reader)
    assert process.wait(60) == 0, said.decode()
    return said.decode()


def test_no_bar_is_written_to_a_file() -> None:
    assert run([sys.executable, "-c", TWO_BARS], in_terminal=False) == "done\n"


def test_a_terminal_shows_nested_bars_and_removes_them_at_the_end() -> None:
    said = run([sys.executable, "-c", TWO_BARS], in_terminal=True)
    assert "outer" in said
    assert "inner" in said
    assert "loss [b]" in said
    left = said.rsplit("\x1b[2K", 1)[-1]  # what is printed after the last line that was erased
    assert "outer" not in left
    assert "inner" not in left
    assert "done" in left


STILL_WORKING = """
import time
from routing_assets.foundation import progress
progress.LINE_EVERY_S = 0.3
with progress.working("routing batch weekly", "usually 10 s"):
    with progress.progress_bar("embedding", 4000, "texts") as advance:
        advance(1000)
        time.sleep(0.5)
"""


def test_a_log_says_what_is_done_how_long_it_may_take_and_then_how_far_it_is() -> None:
    first, line = run([sys.executable, "-c", STILL_WORKING], in_terminal=False).splitlines()
    assert first == "routing batch weekly (usually 10 s)"
    assert line == "routing batch weekly: 0 s so far; embedding: 1,000 of 4,000 texts, about 1 s left"


def test_a_terminal_gets_the_bar_in_place_of_lines() -> None:
    said = run([sys.executable, "-c", STILL_WORKING], in_terminal=True)
    assert "routing batch weekly (usually 10 s)" in said
    assert "so far" not in said
