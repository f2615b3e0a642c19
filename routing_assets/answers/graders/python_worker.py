"""Runs a user's grading function in a process of its own, see ``python.py``. Started as a script: it imports nothing of
this project, so that it starts at once.

Arguments: the function as ``module:function``, and the memory in bytes that the process may take. Each line of the
standard input is ``[answer, reference, about]``. For each, a line ``{"grade", "reason"}`` or ``{"error"}`` is written
to what was the standard output. What the function itself prints goes to the standard error.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
from typing import Any


def main(function: str, memory: int) -> None:
    """Load the function, say so, and grade line after line."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.path[0] = os.getcwd()
    module, _, name = function.partition(":")
    try:
        grade = getattr(importlib.import_module(module), name)
    except BaseException as error:
        say(out, {"error": f"{type(error).__name__}: {error}"})
        return
    say(out, {"ready": True})
    for line in sys.stdin:
        say(out, graded(grade, *json.loads(line)))


def graded(grade: Any, answer: str, reference: str | None, about: dict[str, str]) -> dict[str, Any]:
    """What the function says of an answer: a number in [0, 1], None, or one of these and a reason."""
    try:
        found = grade(answer, reference, about)
        value, reason = found if isinstance(found, tuple) else (found, "")
        return {"grade": None if value is None else float(value), "reason": str(reason)}
    except MemoryError:
        return {"error": "MemoryError"}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


def say(out: Any, what: dict[str, Any]) -> None:
    """Write a line at once."""
    out.write(json.dumps(what) + "\n")
    out.flush()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
