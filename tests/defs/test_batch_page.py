"""The page of a batch: its numbers are those of the tables, what comes from outside is escaped, a browser shows it."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest
from click.testing import CliRunner
from helpers import copy_installation

from routing_assets.audit.page import write as page_file
from routing_assets.audit.page import write_page
from routing_assets.batches.route import summary_of
from routing_assets.batches.routed_table import spend_of
from routing_assets.cli import batches as batch_commands
from routing_assets.cli.main import main
from routing_assets.cli.run_job import instance_of
from routing_assets.datasets import BatchInstructions, write_batch
from routing_assets.engine import LocalEngine
from routing_assets.foundation.vega import script
from routing_assets.home import Home

HOSTILE = "</script><script>document.title = 'taken over'</script> <b>"


class Figures(HTMLParser):
    """Reads the JSON block, the specifications of pictures, the tags, and everything that the page would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loaded: list[str] = []
        self.scripts: list[tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "script":
            self.scripts.append((dict(attrs).get("id") or dict(attrs).get("type") or "", ""))
        self.loaded += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] == "script":
            kind, text = self.scripts.pop()
            self.scripts.append((kind, text + data))

    @property
    def figures(self) -> dict[str, Any]:
        return json.loads(dict(self.scripts)["figures"])

    @property
    def pictures(self) -> list[dict[str, Any]]:
        return [json.loads(text) for kind, text in self.scripts if kind == "application/json"]


def page_of(home: Home, batch_id: str = "weekly") -> str:
    path = write_page(home.warehouse, home.store, home.folders, LocalEngine(), batch_id)
    return path.read_text(encoding="utf-8")


def check_numbers(home: Home, text: str) -> None:
    """The page's numbers are those of the routed table."""
    routed, figures = home.store.read("routed_batch", "weekly"), Figures(text).figures
    summary = summary_of(routed)
    assert {name: figures[name] for name in ("instructions", "budget_usd", "expected_success", "gap")} == {
        name: summary[name] for name in ("instructions", "budget_usd", "expected_success", "gap")
    }
    assert figures["spend_usd"] == float(spend_of(routed))
    models, success, cost = (np.array(routed[name].to_pylist()) for name in ("model", "expected_success", "cost"))
    assert {row["model"]: row["instructions"] for row in figures["models"]} == {
        str(model): int((models == model).sum()) for model in np.unique(models)
    }
    for row in figures["models"]:
        assert row["cost_usd"] == pytest.approx(math.fsum(cost[models == row["model"]]), rel=1e-12)
        assert row["expected_success"] == pytest.approx(success[models == row["model"]].mean(), rel=1e-12)
        assert f"<td>{row['model']}</td><td>{row['instructions']:,}</td>" in text
    rows = sorted(
        (row for row in routed.to_pylist() if row["runner_up"] is not None),
        key=lambda row: (row["switching_price"], row["instruction_id"]),
    )
    assert [row["instruction_id"] for row in figures["doubtful"]] == [row["instruction_id"] for row in rows[:10]]
    assert figures["doubtful"][0] == {name: rows[0][name] for name in figures["doubtful"][0]}


def test_the_page_has_the_numbers_of_the_routed_table_and_the_job_writes_it(
    routed: Home,
) -> None:
    made = routed.folders.pages / "weekly" / "page.html"
    assert made.exists()
    with instance_of(routed) as instance:
        event = instance.get_latest_materialization_event(dg.AssetKey("batch_page"))
    assert event is not None
    assert event.asset_materialization is not None
    assert event.asset_materialization.metadata["page"].value.endswith("/pages/weekly/page.html")
    text = page_of(routed)
    check_numbers(routed, text)
    read = Figures(text)
    assert [picture["title"] for picture in read.pictures] == [
        "Instructions per model",
        "Best expected success by budget",
        "Reliability of the predictions",
    ]
    assert all(picture["description"] for picture in read.pictures)
    assert read.pictures[0]["data"]["values"][0]["instructions"] == read.figures["models"][0]["instructions"]
    assert all(target.startswith(("#", "data:")) for target in read.loaded)
    now = next(row for row in read.figures["budgets"] if row["budget"] == 1)
    summary = summary_of(routed.store.read("routed_batch", "weekly"))
    assert now["budget_usd"] == summary["budget_usd"]
    assert now["expected_success"] == summary["expected_success"]
    assert now["gain"] == 0
    assert "10 % more money" in text
    assert "10 % less money" in text
    assert "simulated labels" in text
    assert "No outcomes have come yet." in text


def test_the_page_of_outcomes_sets_what_was_promised_against_what_came(routed: Home, tmp_path: Path) -> None:
    table = routed.store.read("routed_batch", "weekly")
    success = np.arange(60) % 2
    lines = [
        json.dumps({"instruction_id": row["instruction_id"], "model": row["model"], "success": int(s), "cost": 0.001})
        for row, s in zip(table.to_pylist(), success, strict=True)
    ]
    (tmp_path / "came.jsonl").write_text("\n".join(lines))
    batch_commands.outcomes(routed, "weekly", tmp_path / "came.jsonl")
    text = (routed.folders.pages / "weekly" / "page.html").read_text()
    realised = Figures(text).figures["realised"]
    assert (realised["judged"], realised["realised_success"]) == (60, 0.5)
    assert realised["realised_usd"] == pytest.approx(0.06)
    assert realised["predicted_success"] == pytest.approx(np.mean(table["expected_success"].to_pylist()), rel=1e-6)
    assert "Fewer answers were right than was promised" in text
    assert "<td>50.0%</td>" in text


def test_the_command_writes_the_page_anew_and_prints_its_path(routed: Home) -> None:
    path = routed.folders.pages / "weekly" / "page.html"
    path.unlink()
    result = CliRunner().invoke(main, ["page", "weekly"])
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == str(path)
    check_numbers(routed, path.read_text())


def test_a_batch_in_parts_with_hostile_texts_has_a_page_too(
    trained: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("routing_assets.storage.partitioned.PART_ROWS", 4)
    trained.policy_file.write_text("engine: {workers: 1}\n")
    n = 9
    ids = np.array([f"{HOSTILE}{row}" for row in range(n)], dtype=object)
    texts = np.array([f"{HOSTILE} What is {row} plus {row}?" for row in range(n)], dtype=object)
    write_batch(BatchInstructions(ids, texts), tmp_path / "weekly.parquet")
    batch_commands.route(trained, tmp_path / "weekly.parquet", {"budget_fraction": 0.4})
    assert len(trained.store.parts("routed_batch", "weekly").parts) == 3
    text = page_of(trained)
    check_numbers(trained, text)
    assert [kind for kind, _ in Figures(text).scripts] == [*["application/json"] * 3, "figures", "module"]
    assert "&lt;/script&gt;&lt;script&gt;" in text
    assert len(Figures(text).figures["budgets"]) >= 5


def test_limits_that_tie_instructions_together_are_on_the_page_in_words(
    trained: Home, batch_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("routing_assets.defs.batches.allocations.around_budget", lambda *_: [])
    trained.policy_file.write_text("constraints: {max_share: {R1-32B: 0.25}}\nbudget_fraction: 0.9\n")
    batch_commands.route(trained, batch_file, {})
    summary = summary_of(trained.store.read("routed_batch", "weekly"))
    text = page_of(trained)
    check_numbers(trained, text)
    assert Figures(text).figures["budgets"] == []
    assert "each other budget is a problem of its own" in text
    for name in summary["binding"]:
        assert (f"{name} binds" if name != "budget" else "The budget binds") in text


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium: apt-get install chromium")
@pytest.mark.parametrize("width", [360, 1100])
def test_a_browser_shows_the_page_without_a_complaint(
    home: Home, routed_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    copy_installation(routed_once, home)
    monkeypatch.setattr(page_file, "script", script)
    page_of(home)
    browser = shutil.which("chromium")
    assert browser is not None
    shown = subprocess.run(
        [
            *(browser, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"),
            *("--enable-logging=stderr", "--v=0", f"--window-size={width},900", "--dump-dom"),
            (home.folders.pages / "weekly" / "page.html").as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "CONSOLE" not in shown.stderr
    check_numbers(home, shown.stdout)
    assert shown.stdout.count('role="graphics-document"') == 3
