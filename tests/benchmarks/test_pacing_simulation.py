"""Pacing against the offline optimum and equal splitting, 200 batches, ten seeds: prints the table."""

from pathlib import Path

import numpy as np
import pytest
from pacing_simulation import draw, simulate, table


@pytest.mark.benchmark
def test_pacing_is_within_two_percent_of_the_offline_optimum(tmp_path: Path) -> None:
    runs = {fraction: [simulate(seed, budget_fraction=fraction) for seed in range(10)] for fraction in (0.1, 0.25, 0.5)}
    print("\n" + table(runs))
    draw(runs, tmp_path / "pacing.png")
    assert (tmp_path / "pacing.png").stat().st_size > 10_000
    for of_budget in runs.values():
        paced = np.mean([run.relative("paced") for run in of_budget])
        assert paced > 0.98
        for equal in ("equal per instruction", "equal per batch"):
            assert paced > np.mean([run.relative(equal) for run in of_budget]) + 0.01
        assert all(np.nansum(run.months["paced"].usd) <= run.budget for run in of_budget)
