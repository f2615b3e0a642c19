"""A model with hardly a label is refused before anything is learnt from it."""

from __future__ import annotations

import numpy as np
import pytest

from routing_assets.datasets import LabelledInstructions, refuse_scarce_models
from routing_assets.foundation.errors import InvalidInput


def table(labels_of_b: int, rows: int = 300) -> LabelledInstructions:
    success = np.ones((rows, 2), dtype=np.float32)
    success[labels_of_b:, 1] = np.nan
    ids = np.array([f"i{i}" for i in range(rows)], dtype=object)
    return LabelledInstructions(
        name="table", models=("large", "Large"), instruction_id=ids, instruction=ids, success=success
    )


def test_a_name_with_one_label_is_refused_and_named() -> None:
    with pytest.raises(InvalidInput, match=r"table.*'Large' has 1, other models up to 300.*Correct the name"):
        refuse_scarce_models(table(1))


@pytest.mark.parametrize(("labels", "rows"), [(20, 300), (10, 90), (300, 300)])
def test_models_with_enough_labels_or_small_tables_pass(labels: int, rows: int) -> None:
    refuse_scarce_models(table(labels, rows))
