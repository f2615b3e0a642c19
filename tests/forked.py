"""Work in forked processes: everything is imported once, each process starts at once, and any of them can be killed."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any


def start(work: Callable[[], Any], log: Path, *, answer: int | None = None) -> int:
    """Start ``work`` in a child; its output goes to ``log``, its result as JSON into the descriptor ``answer``."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(output, 1)
        os.dup2(output, 2)
        result = work()
        if answer is not None:
            os.write(answer, json.dumps(result).encode())
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def killed_after(work: Callable[[], Any], seconds: float, log: Path) -> bool:
    """Whether SIGKILL, ours after so many seconds or its own, came before ``work`` was done."""
    pid = start(work, log)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.WIFSIGNALED(status)
        time.sleep(0.002)
    os.kill(pid, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(pid, 0)[1])


def done(work: Callable[[], Any], log: Path) -> bool:
    """Whether ``work`` ended without an error."""
    return os.waitpid(start(work, log), 0)[1] == 0


def result_of(work: Callable[[], Any], log: Path) -> Any:
    """What ``work`` returns, through JSON. Raises RuntimeError with the child's output when it fails."""
    reader, writer = os.pipe()
    pid = start(work, log, answer=writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read()
    if os.waitpid(pid, 0)[1]:
        raise RuntimeError(log.read_text()[-6000:])
    return json.loads(said)
