"""What a process and those that it started use, moment by moment, from ``/proc`` (Linux)."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Sample:
    """What was used until a moment, and the memory at that moment."""

    time: float
    processor_s: float
    moved_bytes: int
    """Read from files and written to them, wherever they lie."""
    memory_gib: float
    """Of all processes together; pages that they share count once."""


class Usage:
    """Samples over the life of this process: on a busy machine the clock says little."""

    def __init__(self, every_s: float = 0.2) -> None:
        self.samples = [sample()]
        self._every_s = every_s
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            time.sleep(self._every_s)
            self.samples.append(sample())

    def processor_s(self, start: float, end: float) -> float:
        """Processor seconds of all processes between two moments (seconds since the epoch)."""
        return self._between(start, end, [one.processor_s for one in self.samples])

    def moved_bytes(self, start: float, end: float) -> float:
        """Bytes that all processes read and wrote between two moments."""
        return self._between(start, end, [one.moved_bytes for one in self.samples])

    def peak_gib(self, start: float, end: float) -> float:
        """Most memory of all processes together between two moments."""
        return max((one.memory_gib for one in self.samples if start <= one.time <= end), default=float("nan"))

    def _between(self, start: float, end: float, so_far: list[float]) -> float:
        moments = [one.time for one in self.samples]
        return float(np.diff(np.interp([start, end], moments, so_far))[0])


def sample() -> Sample:
    """What this process and its descendants used so far."""
    own = os.times()
    processor_s = own.user + own.system + own.children_user + own.children_system
    moved = pss_kib = 0
    for process in [Path("/proc/self"), *descendants(os.getpid())]:
        with suppress(FileNotFoundError, ProcessLookupError):
            if process.name != "self":
                processor_s += sum(map(int, _stat(process)[11:13])) / os.sysconf("SC_CLK_TCK")
            moved += _figure(process / "io", "rchar") + _figure(process / "io", "wchar")
            pss_kib += _figure(process / "smaps_rollup", "Pss")
    return Sample(time.time(), processor_s, moved, pss_kib / 2**20)


def descendants(pid: int) -> list[Path]:
    """The processes that a process started, and those that they started."""
    children: dict[int, list[int]] = {}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError):
            children.setdefault(int(_stat(process)[1]), []).append(int(process.name))
    found = list(children.get(pid, []))
    for one in found:
        found += children.get(one, [])
    return [Path("/proc") / str(one) for one in found]


def own_peak_gib() -> float:
    """Greatest resident memory of this process so far (of ``getrusage``, a child inherits its parent's)."""
    return _figure(Path("/proc/self/status"), "VmHWM") / 2**20


def _stat(process: Path) -> list[str]:
    """The fields of ``/proc/<pid>/stat`` from the third on: state, parent, ..."""
    return (process / "stat").read_text().rsplit(")", 1)[1].split()


def _figure(path: Path, name: str) -> int:
    """The number in a line such as ``Pss:  12 kB``."""
    lines = (line.split(":", 1) for line in path.read_text().splitlines() if ":" in line)
    return int(dict(lines)[name].split()[0])
