"""Routing in a notebook: the page's own code, run without Dagster, DuckDB and MLflow, and frames of every kind."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import routing_assets
from routing_assets.allocation import InfeasibleBudget
from routing_assets.foundation.errors import InvalidInput

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "notebook.md").read_text(encoding="utf-8")
CODE, OUTPUT = re.search(r"```python\n(.*?)```.*?```text\n(.*?)```", PAGE, re.DOTALL).groups()  # type: ignore[union-attr]
NOT_NEEDED = ("dagster", "duckdb", "mlflow")
WITHOUT = f"import sys; sys.modules |= dict.fromkeys({NOT_NEEDED!r})\n"  # importing one of them raises ImportError
TEXTS = ["Solve 8x + 64 = 764 for x.", "What is half of 60 plus a quarter of 51?", "Multiply 4097 by 52 twice."]


@pytest.fixture(scope="module")
def router() -> routing_assets.Router:
    return routing_assets.Router.train("simulated:r1_math", "simulated:r1_math", size=150, method="frozen")


@pytest.mark.slow
def test_the_page_shows_what_its_code_prints_without_dagster_duckdb_and_mlflow(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_HOME")}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT + CODE],
        cwd=tmp_path,
        env={**environment, "HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["router"]
    number = r"[+-]?\d+(?:\.\d+)?"
    printed, shown = done.stdout, OUTPUT
    assert re.sub(number, "#", printed).split() == re.sub(number, "#", shown).split()
    pairs = zip(re.findall(number, printed), re.findall(number, shown), strict=True)
    assert all(float(one) == pytest.approx(float(other), rel=0.05, abs=0.02) for one, other in pairs)


def test_importing_the_package_loads_nothing() -> None:
    code = "import sys, routing_assets; assert not {'numpy', 'pyarrow', 'torch', 'narwhals'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True)


def polars_frame(table: pa.Table) -> Any:
    return pytest.importorskip("polars").from_arrow(table)


@pytest.mark.parametrize(
    "kind", [pa.Table.to_pandas, lambda table: table, polars_frame], ids=["pandas", "arrow", "polars"]
)
def test_a_frame_comes_back_as_it_came_in(router: routing_assets.Router, kind: Any) -> None:
    frame = kind(pa.table({"instruction_id": ["c", "a", "b"], "instruction": TEXTS, "note": [1, 2, 3]}))
    plan = router.route(frame, budget_fraction=0.5)
    assert type(plan.table) is type(plan.frontier()) is type(frame)
    assert list(plan.table["instruction_id"]) == list(frame["instruction_id"])
    assert sum(map(float, plan.table["cost"].to_numpy())) == pytest.approx(plan.cost)
    assert np.mean(plan.table["expected_success"].to_numpy()) == pytest.approx(plan.expected_success)


def test_a_filtered_frame_and_a_column_of_texts_are_routed_like_a_list(router: routing_assets.Router) -> None:
    frame = pd.DataFrame({"instruction_id": list("abcdef"), "instruction": [t for t in TEXTS for _ in range(2)]})
    wanted = router.route(TEXTS, budget_fraction=0.5).table[["instruction", "model", "cost"]]
    filtered = router.route(frame[[True, False] * 3], budget_fraction=0.5).table
    pd.testing.assert_frame_equal(filtered[["instruction", "model", "cost"]], wanted)
    of_column = router.route(frame["instruction"][::2], budget_fraction=0.5).table
    pd.testing.assert_frame_equal(of_column[["instruction", "model", "cost"]], wanted)


def test_the_budget_and_the_constraints_are_kept(router: routing_assets.Router) -> None:
    all_money = router.route(TEXTS, budget=1.0)
    dearest = all_money.frontier(budgets=[1.0])["expected_success"][0]
    assert dearest == pytest.approx(all_money.expected_success)
    plan = router.route(TEXTS, budget=0.6 * all_money.cost)
    assert plan.cost <= plan.budget == pytest.approx(0.6 * all_money.cost)
    assert plan.expected_success <= plan.upper_bound <= all_money.expected_success
    assert plan.gap == pytest.approx(0, abs=1e-6)
    used = all_money.table["model"][0]
    assert used not in set(router.route(TEXTS, budget=1.0, constraints={"capacity": {used: 0}}).table["model"])


def test_the_report_says_what_was_left_out(router: routing_assets.Router) -> None:
    frame = pd.DataFrame({"instruction_id": ["a", "b"], "instruction": [TEXTS[0], None]})
    plan = router.route(frame, budget=1.0)
    assert len(plan.table) == 1
    assert "1 records are set aside" in plan.report()
    assert "simulated, not measured" in plan.report()


def test_what_is_wrong_is_said_in_the_words_of_the_product(router: routing_assets.Router, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="budget_usd and budget_fraction are both given"):
        router.route(TEXTS, budget=1.0, budget_fraction=0.5)
    with pytest.raises(InvalidInput, match="Did you mean 'max_share'"):
        router.route(TEXTS, budget=1.0, constraints={"max_shares": {"R1": 0.5}})
    with pytest.raises(InvalidInput, match="texts, row 2: this is no text but 7"):
        router.route(["What is 3 + 4?", 7], budget=1.0)  # type: ignore[list-item]
    with pytest.raises(InvalidInput, match="column 'instruction': the required column is missing"):
        router.route(pd.DataFrame({"instruction_id": ["a"], "text": ["b"]}), budget=1.0)
    with pytest.raises(InfeasibleBudget, match="the cheapest feasible budget is"):
        router.route(TEXTS, budget=1e-9)
    with pytest.raises(InvalidInput, match="there is something of this name"):
        router.save(tmp_path)
    with pytest.raises(InvalidInput, match="there is no router"):
        routing_assets.Router.load(tmp_path)


def test_a_router_is_the_same_after_saving(router: routing_assets.Router, tmp_path: Path) -> None:
    router.save(tmp_path / "again")
    again = routing_assets.Router.load(tmp_path / "again")
    assert again.origin == router.origin
    assert again.catalog == replace(router.catalog, source=again.catalog.source)  # type: ignore[type-var, union-attr]
    pd.testing.assert_frame_equal(again.route(TEXTS).table, router.route(TEXTS).table)


def test_labels_and_catalog_in_memory_are_checked_before_anything_is_trained() -> None:
    labels = pd.DataFrame({"instruction_id": ["a", "b"], "instruction": ["x", "y"], "small": [0, 2], "large": [1, 1]})
    prices = {"models": {"small": {"price": 0.1}, "large": {"price": 1.0}}}
    with pytest.raises(InvalidInput, match="labels, row 2, column 'small'"):
        routing_assets.Router.train(labels, prices)
    with pytest.raises(InvalidInput, match="the model 'large' is not in the catalog"):
        routing_assets.Router.train(labels.replace(2, 1), {"models": {"small": {"price": 0.1}}})
    with pytest.raises(InvalidInput, match=r"'prize' is unknown in models\.small"):
        routing_assets.Router.train(labels.replace(2, 1), {"models": {"small": {"prize": 0.1}}})
    with pytest.raises(InvalidInput, match="no model is known to be sold at such prices"):
        routing_assets.Router.train(
            labels.replace(2, 1), {"models": {"small": {"price": 1e-7}, "large": {"price": 1e-6}}}
        )
