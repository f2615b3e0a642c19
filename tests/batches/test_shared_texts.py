from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest

from routing_assets.batches import shared_texts
from routing_assets.batches.shared_texts import embed_shared_texts
from routing_assets.engine import LocalEngine
from routing_assets.storage.draft import Draft, write_table


@pytest.mark.parametrize(
    ("texts", "reads_embeddings", "expected"),
    [
        (["a", "b", "c", "a", "d", "d", "e", "c", "a"], True, ["a", "c"]),
        (["a", "b", "c", "d", "d", "e"], True, []),
        (["a", "a", "b"], True, []),  # one part
        (["a", "b", "c", "a"], False, []),
    ],
)
def test_only_what_several_parts_have_is_embedded_beforehand_and_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, texts: list[str], reads_embeddings: bool, expected: list[str]
) -> None:
    embedded: list[str] = []
    classifier = SimpleNamespace(
        reads_embeddings=reads_embeddings, embeddings=lambda part: embedded.extend(part) or part
    )
    monkeypatch.setattr(shared_texts, "router_kept_in", lambda *_: SimpleNamespace(classifier=classifier))
    table = pa.table({"instruction": texts})
    batch = write_table(Draft(str(tmp_path / "batch"), table.schema), [table], part_rows=3)
    assert embed_shared_texts(LocalEngine(), batch, tmp_path / "router", tmp_path / "cache") == len(expected)
    assert sorted(embedded) == expected
    assert not list(tmp_path.glob("cache/*"))
