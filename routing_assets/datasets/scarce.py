"""Models with too few labels in a label table."""

from __future__ import annotations

import numpy as np

from routing_assets.datasets.labels import LabelledInstructions
from routing_assets.foundation.errors import InvalidInput

LEAST_LABELS = 20


def refuse_scarce_models(labels: LabelledInstructions) -> None:
    """Raise InvalidInput for a model with under 20 labels where others have ten times as many.

    One lucky label under a misspelt name would look like a model that always succeeds, and get all the traffic.
    """
    counts = (~np.isnan(labels.success)).sum(axis=0)
    scarce = np.flatnonzero((counts < LEAST_LABELS) & (10 * counts < counts.max(initial=0)))
    if len(scarce):
        named = ", ".join(f"'{labels.models[k]}' has {counts[k]}" for k in scarce)
        raise InvalidInput(
            f"too few labels to learn from: {named}, other models up to {counts.max()}",
            source=labels.name,
            remedy=f"Correct the name, or label at least {LEAST_LABELS} instructions, or leave the model out.",
        )
