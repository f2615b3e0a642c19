"""Batches that reuse ids: a provider's output that fits two of them is not taken for the wrong one in silence."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from provider_lines import chat

from routing_assets.answers.answer import Answer
from routing_assets.answers.forms import read_answer
from routing_assets.batches.folders import BatchFolders
from routing_assets.batches.same_ids import batches_with, remark_on_same_ids
from routing_assets.foundation.errors import InvalidInput


@pytest.fixture
def folders(tmp_path: Path) -> BatchFolders:
    folders = BatchFolders(tmp_path)
    for name, ids in (("monday", "abc"), ("tuesday", "abc"), ("other", "abx")):
        (folders.outbox / name).mkdir(parents=True)
        pq.write_table(pa.table({"instruction_id": list(ids)}), folders.outbox / name / "routed.parquet")
    return folders


ANSWERS: list[Answer] = [read_answer(chat(name, created=1_000_000)) for name in "abc"]


def test_an_output_that_fits_another_batch_is_said(folders: BatchFolders) -> None:
    assert batches_with(folders, "monday", list("abc")) == ["tuesday"]
    assert sorted(batches_with(folders, "monday", list("ab"))) == ["other", "tuesday"]
    (said,) = remark_on_same_ids(folders, "monday", ANSWERS, decided_at=999_000)
    assert said.startswith("the ids are also those of batch 'tuesday'")
    assert remark_on_same_ids(folders, "monday", [read_answer(chat("q"))], decided_at=0) == []


def test_answers_from_before_the_batch_are_those_of_the_other(folders: BatchFolders) -> None:
    with pytest.raises(InvalidInput, match=r"made before batch 'tuesday' was routed.*also those of 'monday'"):
        remark_on_same_ids(folders, "tuesday", ANSWERS, decided_at=1_100_000)
    alone = remark_on_same_ids(folders, "other", [read_answer(chat("x", created=5))], decided_at=1_100_000)
    assert alone == [], "no other batch has this id"
