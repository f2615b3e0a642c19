"""The requests of a label plan are sent once each, within the month's limit, and their answers come into its folder."""

from __future__ import annotations

import json
from collections import deque
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from batch_apis import BatchApis
from submitted import CATALOG, desk, usd

from routing_assets.batches.label_plan import plan_labels, write_plan
from routing_assets.batches.submissions.label_files import ANSWERS, send_labels
from routing_assets.batches.submissions.look import look
from routing_assets.datasets import BatchInstructions
from routing_assets.home import Home

SIZE = 5


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A plan that has five instructions answered by three models."""
    texts = [f"question {n}" for n in range(SIZE)]
    file = tmp_path / "questions.jsonl"
    rows = [{"instruction_id": f"q{n}", "instruction": text} for n, text in enumerate(texts)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    batch = BatchInstructions(np.array([row["instruction_id"] for row in rows], object), np.array(texts, object))
    write_plan(plan_labels(batch, CATALOG, Fraction(1)), file, tmp_path / "first")
    return tmp_path / "first"


def lines(folder: Path) -> int:
    return sum(len(path.read_text().splitlines()) for path in folder.glob(ANSWERS))


def test_each_request_is_sent_once_and_its_answer_fetched(home: Home, apis: BatchApis, folder: Path) -> None:
    at = desk(home, apis)
    apis.faults["create"] = deque(["cut"])  # the job is created, and its answer does not come
    send_labels(at, folder)
    assert look(at).batches == {}  # the sensor has nothing to do with it
    for _ in range(3):
        apis.pass_time(31)
        found, _ = send_labels(at, folder)
    assert [of.state for of in found] == ["fetched"] * 3
    assert all(of.batch_id.startswith("labels:first-") for of in found)
    assert lines(folder) == 3 * SIZE
    assert set(apis.paid.values()) == {3}
    assert len(apis.jobs) == 3


def test_the_months_limit_holds_and_a_copy_of_the_folder_is_not_sent_again(
    home: Home, apis: BatchApis, folder: Path
) -> None:
    at = desk(home, apis, most_usd=float(SIZE * usd("large")) / 100)
    found, remarks = send_labels(at, folder)
    assert sum(Fraction(of.usd) for of in found) <= Fraction(str(at.settings.most_usd))
    assert any("USD would be sent this month" in remark for remark in remarks)
    at = desk(home, apis)
    send_labels(at, folder)
    send_labels(at, folder.rename(folder.with_name("copy")))
    assert len(apis.jobs) == 3
    assert set(apis.paid.values()) == {3}
