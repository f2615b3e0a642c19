"""Few labels of added models: the newest counts, what tests a router teaches nothing, tables stay as they were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from routing_assets.datasets import LabelledInstructions
from routing_assets.foundation.errors import InvalidInput
from routing_assets.pricing.catalog import ModelCatalog, ModelEntry
from routing_assets.routers.few_labels import learnable, merged, priced_models, read_few, with_added, without_added
from routing_assets.routers.texts_learnt import learnt_table


def labels(models: tuple[str, ...], success: dict[str, list[float]], **columns: np.ndarray) -> LabelledInstructions:
    texts = np.array(list(success), dtype=object)
    ids = np.array([f"id {i}" for i in range(len(texts))], dtype=object)
    return LabelledInstructions("t", models, ids, texts, np.array(list(success.values())), **columns)


NAN = np.nan


def test_the_last_label_of_a_pair_counts_and_none_is_lost() -> None:
    kept = merged(None, labels(("new",), {"one": [0], "two": [1], "ONE ": [1]}))
    assert kept.success[:, 0].tolist() == [1, 1]
    more = labels(("new", "other"), {"two": [0, 1], "three": [NAN, 0]}, cost=np.array([[0.5, 0.1], [NAN, 0.2]]))
    both = merged(kept, more)
    assert both.models == ("new", "other")
    found = {
        (model, text): row[k]
        for text, row in zip(both.instruction, both.success, strict=True)
        for k, model in enumerate(both.models)
        if not np.isnan(row[k])
    }
    assert found == {("new", "ONE "): 1, ("new", "two"): 0, ("other", "two"): 1, ("other", "three"): 0}
    assert np.nansum(both.cost) == pytest.approx(0.8)  # type: ignore[arg-type]
    assert len(merged(both, more)) == len(both)


def test_they_join_a_label_table_and_leave_it_again() -> None:
    table = labels(("a",), {"one": [1], "two": [0]})
    kept = merged(None, labels(("new", "a"), {"one": [1, 0], "three": [0, NAN]}))
    joined = with_added(table, kept, ["new"])
    assert joined.models == ("a", "new")
    np.testing.assert_array_equal(joined.success, [[1, NAN], [0, NAN], [NAN, 1], [NAN, 0]])
    alone = without_added(joined)
    assert (alone.models, alone.content_hash) == (table.models, table.content_hash)
    assert with_added(table, None, []) is table


def test_only_models_that_the_catalog_names_count() -> None:
    kept = merged(None, labels(("new", "gone"), {"one": [1, 0]}))
    catalog = ModelCatalog((ModelEntry("new", 1.0, 1.0),))
    assert priced_models(kept, catalog) == ["new"]
    assert priced_models(kept, None) == ["new", "gone"]
    assert priced_models(None, catalog) == []


def test_instructions_that_the_router_was_tested_on_are_held_back() -> None:
    texts = [f"text {i}" for i in range(60)]
    known = labels(("a",), {text: [1] for text in texts})
    learnt = learnt_table(known, {"train": np.arange(30), "test": np.arange(30, 60)})
    few = labels(("new",), {text: [1] for text in [*texts[10:40], "a new one"]})
    fit, held_back = learnable(few, learnt)
    assert fit.instruction.tolist() == [*texts[10:30], "a new one"]
    assert held_back.instruction.tolist() == texts[30:40]
    with pytest.raises(InvalidInput, match="11 labels to learn the model 'new' from are too few; 10 more are of instr"):
        learnable(few.take(slice(10, 31)), learnt)


def test_rows_without_a_label_and_other_columns_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "few.csv"
    path.write_text("instruction_id,instruction,new,other,notes\n1,One?,1,0,by hand\n2,Two?,,1,\n")
    few = read_few(str(path), ["new"])
    assert (few.models, few.instruction.tolist()) == (("new",), ["One?"])
    with pytest.raises(InvalidInput, match=r"few.csv: there is no label of the model 'nwe'; labelled are new, other"):
        read_few(str(path), ["nwe"])
    path.write_text("instruction_id,instruction,model,success,by\n1,One?,new,1,me\n2,Two?,other,1,you\n")
    assert read_few(str(path), ["new"]).instruction.tolist() == ["One?"]
    with pytest.raises(InvalidInput, match=r"few.csv: there is no label of the model 'nwe'; labelled are new, other"):
        read_few(str(path), ["nwe"])


def test_few_labels_are_read_under_the_names_of_their_own_table(tmp_path: Path) -> None:
    path = tmp_path / "few.csv"
    path.write_bytes("prompt;llm;points\nWas heißt 'müde'?;new;85\nTwo?;other;0\n".encode("cp1252"))
    columns = {"instruction": "prompt", "model": "llm", "success": "points"}
    few = read_few(str(path), ["new"], columns=columns, made_ids="row", success_scale=100, encoding="cp1252")
    assert few.instruction.tolist() == ["Was heißt 'müde'?"]
    assert few.success == pytest.approx(0.85)
    with pytest.raises(InvalidInput, match=r"add --text-column prompt"):
        read_few(str(path), ["new"], columns={"model": "llm", "success": "points"}, encoding="cp1252", made_ids="row")
