"""Runs that are killed with SIGKILL and resumed lose nothing, double nothing, and leave nothing half-written."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import forked
import numpy as np
import pytest
from crash_points import CrashPoints
from installation import Installation, faults_of_files, faults_of_state, interrupted_stage

Work = Callable[[], None]


def routing(installation: Installation, files: list[Path], number: int) -> Work:
    """Route one of the files; from the second round on with other settings, so that decisions are replaced."""
    request = [{}, {"policy": "ndch"}, {"budget_fraction": 0.3}][number // len(files) % 3]
    return lambda: installation.route(files[number % len(files)], request)


def training(installation: Installation, number: int) -> Work:
    """Train; with a few seeds, so that some trainings find what an earlier one left."""
    return lambda: installation.train(seed=number % 3)


def survived(installation: Installation, kill: Callable[[], bool], stages: Counter[str]) -> None:
    """Kill, and look at what can be seen; a run that was done before the kill does not count."""
    if kill():
        stages[installation.ask(interrupted_stage)] += 1
        assert installation.ask(faults_of_files) == []


def resume(installation: Installation, work: Work) -> float:
    """Seconds that ``work`` takes when nothing disturbs it."""
    started = time.monotonic()
    assert forked.done(work, installation.log), installation.log.read_text()[-4000:]
    return time.monotonic() - started


def random_kills(installation: Installation, files: list[Path], kills: int, seed: int) -> Counter[str]:
    """So many runs killed at random moments: four in five route, the others train.

    Each is resumed; one to four attempts are killed before the last one is let through.
    """
    draw, stages = random.Random(seed), Counter[str]()
    typical = {
        False: resume(installation, training(installation, 0)),
        True: resume(installation, routing(installation, files, 0)),
    }
    number = 0
    while stages.total() < kills:
        number += 1
        is_routing = number % 5 > 0
        work = routing(installation, files, number) if is_routing else training(installation, number)
        for _ in range(draw.randint(1, 4)):
            moment = draw.uniform(0.02, 1.0) * typical[is_routing]
            survived(installation, partial(forked.killed_after, work, moment, installation.log), stages)
        resume(installation, work)
    resume(installation, installation.reroute)  # batches older than the router in force, as the schedule would
    return stages


def kills_at_crash_points(installation: Installation, work: Work, stages: Counter[str]) -> str:
    """A kill just before and after each rename, link, commit and MLflow write of ``work``, or at eighty of them spread
    evenly where there are more (a training has one per epoch); returns how many of how many.
    """

    def watched() -> list[str]:
        points = CrashPoints().install()
        work()
        return points.names

    def armed(fatal: int) -> None:
        CrashPoints(fatal).install()
        work()

    points = len(forked.result_of(watched, installation.log))
    taken = np.unique(np.linspace(0, points - 1, 80).round().astype(int)).tolist()
    for number, fatal in enumerate(taken):
        survived(installation, partial(forked.killed_after, partial(armed, fatal), 600.0, installation.log), stages)
        if number % 5 == 4:
            resume(installation, work)
    resume(installation, work)
    return f"{len(taken)} of {points}"


@pytest.mark.faults
def test_a_few_runs_killed_at_random_are_resumed(installation: Installation, batch_files: list[Path]) -> None:
    random_kills(installation, batch_files[:2], 3, seed=1)
    assert installation.ask(faults_of_state) == []


@pytest.mark.faults
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("quarter", range(4))
def test_two_hundred_runs_killed_at_random_moments(
    quarter: int, installation: Installation, batch_files: list[Path], report: list[tuple[str, str]]
) -> None:
    stages = random_kills(installation, batch_files[:10], 50, seed=quarter)
    faults = installation.ask(faults_of_state)
    spread = ", ".join(f"{n} in {stage}" for stage, n in stages.most_common())
    report.append(
        (
            f"50 runs killed with SIGKILL at random moments, then resumed ({quarter + 1}/4)",
            f"{len(faults)} faults; {spread}",
        )
    )
    assert faults == []
    assert {"training", "scoring", "allocation"} <= set(stages)


@pytest.mark.faults
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("work", ["a batch", "another policy", "a training"])
def test_a_kill_at_every_crash_point(
    work: str, installation: Installation, batch_files: list[Path], report: list[tuple[str, str]]
) -> None:
    if work == "another policy":
        resume(installation, partial(installation.route, batch_files[0]))
    runs: dict[str, Work] = {
        "a batch": partial(installation.route, batch_files[0]),
        "another policy": partial(installation.route, batch_files[0], {"policy": "ndch"}),
        "a training": partial(installation.train, seed=1),
    }
    stages = Counter[str]()
    points = kills_at_crash_points(installation, runs[work], stages)
    faults = installation.ask(faults_of_state)
    spread = ", ".join(f"{n} in {stage}" for stage, n in stages.most_common())
    report.append(
        (f"{work} killed before or after {points} of its writes, then resumed", f"{len(faults)} faults; {spread}")
    )
    assert faults == []
