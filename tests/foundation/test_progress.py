"""Progress bars are drawn in a terminal, never twice, and not into files."""

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
