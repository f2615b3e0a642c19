"""Write the page of a batch: one HTML file that needs nothing else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from routing_assets.audit.page import plots
from routing_assets.audit.page.figures import BatchPage, batch_page
from routing_assets.batches.folders import BatchFolders
from routing_assets.engine import Engine
from routing_assets.foundation import pages
from routing_assets.foundation.files import atomic_path
from routing_assets.foundation.vega import script
from routing_assets.prediction.calibration.reliability_plot import reliability_plot
from routing_assets.storage.parquet_store import Store
from routing_assets.storage.warehouse import Warehouse

TEMPLATE = Path(__file__).with_name("batch.html.j2")
NUMBERS = ("budget_usd", "allocated_usd", "cost_usd", "expected_success", "upper_bound", "gap", "shadow_price")


def write_page(
    warehouse: Warehouse,
    store: Store,
    folders: BatchFolders,
    engine: Engine,
    batch_id: str,
    runs: Sequence[str] = (),
) -> Path:
    """Write ``pages/<batch>/page.html`` anew, for the decision in force and the outcomes so far; see ``batch_page``."""
    path = folders.pages / batch_id / "page.html"
    with atomic_path(path) as temporary:
        page = batch_page(warehouse, store, engine, batch_id, runs)
        temporary.write_text(as_html(page, script(folders.pages)), encoding="utf-8")
    return path


def as_html(page: BatchPage, script: str) -> str:
    """The page, whose pictures this script draws. Whatever comes from outside is escaped."""
    return pages.page(
        TEMPLATE,
        script,
        figures_of(page),
        page=page,
        bars=plots.bars(page.traffic),
        curve=plots.curve(page.place, page.curve, page.budgets, page.alone),
        reliability=reliability_plot(page.buckets, [row["model"] for row in page.traffic]),
    )


def figures_of(page: BatchPage) -> dict[str, Any]:
    """The numbers of the page, without rounding, for programs; a number without limit is null, as JSON knows none."""
    figures = {
        "batch_id": page.batch_id,
        "run": page.decision["dagster_run_id"],
        "instructions": page.summary["instructions"],
        **{name: page.summary[name] for name in NUMBERS},
        "spend_usd": page.spend_usd,
        "models": page.traffic,
        "budgets": page.budgets,
        "alone": page.alone,
        "doubtful": [{name: row[name] for name in row if name != "instruction"} for row in page.doubtful],
        "realised": None if page.realised is None else asdict(page.realised),
    }
    finite: dict[str, Any] = _finite(figures)
    return finite


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
