"""A label table with faults in several cells is refused once, with all their places."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from routing_assets.datasets import load_labels
from routing_assets.foundation.errors import InvalidInput


def table(tmp_path: Path, *rows: str) -> Path:
    path = tmp_path / "labels.csv"
    path.write_text("\n".join(["instruction_id,instruction,small,large", *rows]), encoding="utf-8")
    return path


def test_faults_of_several_rows_and_columns_are_named_at_once(tmp_path: Path) -> None:
    path = table(tmp_path, "q1,one,1,0", "q2,two,abc,1", "q3,three,12x,xyz", "q4,four,0,1.5")
    with pytest.raises(
        InvalidInput, match=r"row 3, column 'small': 'abc' is not a number \(the same fault: row 4\)"
    ) as said:
        load_labels(path)
    assert "Faults of other columns: row 4, column 'large': 'xyz' is not a number" in str(said.value)


def test_a_column_of_nothing_but_faults_names_the_first_few(tmp_path: Path) -> None:
    path = table(tmp_path, *(f"q{n},text {n},abc,1" for n in range(20)))
    with pytest.raises(InvalidInput, match="the same fault: row 3, 4, 5, 6, 7 and others"):
        load_labels(path)


def test_truths_of_spreadsheets_in_other_languages_are_read(tmp_path: Path) -> None:
    path = table(tmp_path, "q1,one,WAHR,100%", "q2,two,FALSCH,50 %", "q3,three,vrai,0%", "q4,four,Falso,100%")
    assert np.array_equal(load_labels(path).success, [[1, 1], [0, 0.5], [1, 0], [0, 1]])
