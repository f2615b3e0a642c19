"""A function of the user's own, ``module:function``, in a process of its own.

It is called as ``function(answer, reference, about)``: two texts (``reference`` may be None) and a dictionary with
``instruction_id``, ``instruction`` and ``model``. It returns a number in [0, 1], a bool, or None for "not graded"; or
one of these with a reason. One process grades many answers. It gets so much memory, and so long for each answer; one
that dies or hangs is replaced, and its answer stays ungraded.
"""

from __future__ import annotations

import json
import math
import select
import subprocess
import sys
from collections.abc import Iterable, Iterator
from hashlib import sha256
from importlib.machinery import PathFinder
from pathlib import Path
from typing import IO, Annotated, Any, ClassVar, cast

from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass

from routing_assets.answers.graders import python_worker
from routing_assets.answers.graders.grade import Gradable, Grade, Grader
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.schema import FORM, Text

START_S = 60.0
"""For the import of the user's module."""
MOST_FAILURES = 10
"""Processes that may be lost; then the other answers are not graded."""
_MEGABYTE = 1_000_000


def _function(text: str) -> str:
    module, _, name = text.partition(":")
    if not name.isidentifier() or not all(part.isidentifier() for part in module.split(".")):
        raise InvalidInput(f"{text!r} names no function", remedy="Write module:function, such as my_graders:grade.")
    return text


@dataclass(frozen=True, config=FORM)
class PythonFunction(Grader):
    """A function of the user's own says how right the answer is."""

    name: ClassVar[str] = "python"
    uses_reference: ClassVar[bool] = False

    function: Annotated[Text, AfterValidator(_function)] = Field(
        description="module:function, importable from the working directory or the environment."
    )
    timeout_s: Annotated[float, Field(strict=True, gt=0, le=3600)] = Field(
        default=10.0, description="Seconds for one answer."
    )
    memory_mb: Annotated[float, Field(strict=True, ge=64)] = Field(
        default=2000.0, description="Megabytes of address space for the process."
    )

    @property
    def settings(self) -> dict[str, Any]:
        """The settings, and the hash of the module's file, so that changed code is another version."""
        source = _source_of(self.function.partition(":")[0])
        return super().settings | {"source_sha256": sha256(source.read_bytes()).hexdigest() if source else None}

    def grades(self, answers: Iterable[Gradable]) -> Iterator[Grade]:
        """A grade for each answer.

        Raises:
            InvalidInput: the function cannot be imported.
        """
        failures, worker = 0, None
        try:
            for answer in answers:
                if failures >= MOST_FAILURES:
                    yield Grade(None, f"not tried: {self.function} failed {failures} times")
                    continue
                if worker is None:
                    worker = _Worker(self)
                try:
                    yield self._read(worker.ask(answer), answer)
                except _Lost as lost:
                    worker.stop()
                    failures, worker = failures + 1, None
                    yield Grade(None, f"{self.function} on instruction '{answer.instruction_id}': {lost}")
        finally:
            if worker is not None:
                worker.stop()

    def _read(self, said: dict[str, Any], answer: Gradable) -> Grade:
        where = f"{self.function} on instruction '{answer.instruction_id}'"
        if "error" in said:
            return Grade(None, f"{where}: {said['error']}")
        value, reason = said["grade"], said["reason"]
        if value is not None and not (math.isfinite(value) and 0 <= value <= 1):
            return Grade(None, f"{where}: it returned {value:g}, which is not between 0 and 1")
        return Grade(value, reason or f"{self.function} says {'nothing' if value is None else f'{value:g}'}")


class _Lost(Exception):
    """The process came to an end, or took too long."""


class _Worker:
    """A process that runs the function."""

    def __init__(self, grader: PythonFunction) -> None:
        self._timeout_s = grader.timeout_s
        command = [sys.executable, python_worker.__file__, grader.function, str(int(grader.memory_mb * _MEGABYTE))]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self._in, self._out = cast(IO[bytes], self._process.stdin), cast(IO[bytes], self._process.stdout)
        try:
            said = self._answer(START_S)
        except _Lost as lost:
            said = {"error": str(lost)}
        if "error" in said:
            self.stop()
            raise InvalidInput(
                f"{grader.function} cannot be loaded: {said['error']}",
                source="grader.python",
                remedy="Give a function that can be imported from the working directory, as module:function.",
            )

    def ask(self, answer: Gradable) -> dict[str, Any]:
        """What the function says of an answer. Raises _Lost where the process does not reply."""
        about = {"instruction_id": answer.instruction_id, "instruction": answer.instruction, "model": answer.model}
        line = json.dumps([answer.text, answer.reference, about]) + "\n"
        try:
            self._in.write(line.encode())
            self._in.flush()
        except OSError as error:
            raise _Lost(self._end()) from error
        return self._answer(self._timeout_s)

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()

    def _answer(self, seconds: float) -> dict[str, Any]:
        if not select.select([self._out], [], [], seconds)[0]:
            raise _Lost(f"it took longer than {seconds:g} s")
        line = self._out.readline()
        if not line.endswith(b"\n"):
            raise _Lost(self._end())
        said: dict[str, Any] = json.loads(line)
        return said

    def _end(self) -> str:
        code = self._process.wait()
        return f"its process was ended by signal {-code}" if code < 0 else f"its process ended with code {code}"


def _source_of(module: str) -> Path | None:
    """The file of a module, without importing it; None where it has none."""
    path: list[str] | None = [str(Path.cwd()), *sys.path]
    spec = None
    parts = module.split(".")
    for end in range(1, len(parts) + 1):
        spec = PathFinder.find_spec(".".join(parts[:end]), path)
        if spec is None:
            return None
        path = list(spec.submodule_search_locations or ())
    return Path(spec.origin) if spec and spec.origin and Path(spec.origin).is_file() else None
