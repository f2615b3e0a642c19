"""A proxy for token counts that needs no tokenizer of any particular model."""

from __future__ import annotations

import numpy as np

BYTES_PER_TOKEN = 4.0


def proxy_tokens(instruction: np.ndarray) -> np.ndarray:
    """(N,) float64 estimate of each text's tokens: its UTF-8 bytes over four, at least one.

    Four bytes per token is the rule of thumb that model vendors give for English; counting bytes instead of
    characters keeps it usable for other scripts. Each model's true scale is fitted where token counts or costs are
    recorded, so only the proportion between texts matters there.
    """
    size = np.fromiter((len(text.encode()) for text in instruction), dtype=np.float64, count=len(instruction))
    return np.maximum(size / BYTES_PER_TOKEN, 1.0)
