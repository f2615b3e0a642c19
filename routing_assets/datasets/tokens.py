"""A proxy for token counts that needs no tokenizer of any particular model."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

BYTES_PER_TOKEN = 4.0


def proxy_tokens(instruction: np.ndarray) -> np.ndarray:
    """(N,) float64 estimate of each text's tokens: its UTF-8 bytes over four, at least one.

    Four bytes per token is the rule of thumb that model vendors give for English; counting bytes instead of
    characters keeps it usable for other scripts. Each model's true scale is fitted where token counts or costs are
    recorded, so only the proportion between texts matters there.
    """
    size = pc.binary_length(pa.array(instruction, pa.string())).to_numpy(zero_copy_only=False).astype(np.float64)
    return np.maximum(size / BYTES_PER_TOKEN, 1.0)


def proxy_tokens_of(text: str) -> float:
    """Estimated tokens of a single text, as :func:`proxy_tokens`; the text need not be valid Unicode."""
    return max(len(text.encode(errors="surrogatepass")) / BYTES_PER_TOKEN, 1.0)
