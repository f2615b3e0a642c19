"""Ranges of neighbours on a grid, in words."""

from __future__ import annotations

from collections.abc import Sequence


def ranges(chosen: Sequence[float], grid: Sequence[float]) -> str:
    """Budget fractions as ranges of neighbours on the grid: "5 %–40 % and 70 %"."""
    runs: list[list[float]] = []
    for fraction in chosen:
        if runs and grid.index(fraction) == grid.index(runs[-1][-1]) + 1:
            runs[-1].append(fraction)
        else:
            runs.append([fraction])
    return ", ".join(f"{run[0]:.0%}" if len(run) == 1 else f"{run[0]:.0%}–{run[-1]:.0%}" for run in runs)
