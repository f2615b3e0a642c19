"""Token states below the layers that are trained: computed once per text, kept in half precision, read in padded
batches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from routing_assets.foundation.progress import progress_bar
from routing_assets.prediction.encoder.encoder import (
    ROWS_PER_STEP,
    SentenceEncoder,
    Step,
    pad,
    padded_length,
    steps,
)
from routing_assets.prediction.encoder.precision import products_in
from routing_assets.prediction.encoder.threads import side_by_side

MEMORY_LIMIT_BYTES = 3 * 2**30
"""Above this the states are not kept but computed anew for each batch."""


class TokenStates:
    """States of every token after the lowest ``depth`` layers of an encoder, for a fixed list of texts.

    The layers below the trained ones never change, so they run once instead of once per epoch.
    """

    def __init__(
        self,
        encoder: SentenceEncoder,
        texts: Sequence[str],
        depth: int,
        device: str = "cpu",
        progress: bool = False,
    ) -> None:
        self._encoder, self._depth, self._device = encoder, depth, device
        self._tokens = encoder.tokenize(texts)
        self.lengths = np.array([len(row) for row in self._tokens], dtype=np.int64)
        self._starts = np.concatenate([[0], np.cumsum(self.lengths)])
        self._kept: Tensor | None = None
        if depth and 2 * encoder.width * int(self.lengths.sum()) <= MEMORY_LIMIT_BYTES:
            self._kept = self._compute_all(progress)

    def batch(self, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """(B, T, width) states in float32 and (B, T) mask, True for tokens; padded like :func:`pad`."""
        if self._kept is None:
            return self._compute(rows)
        lengths = self.lengths[rows]
        position = np.arange(padded_length(lengths.max()))
        mask = position < lengths[:, None]
        index = np.where(mask, self._starts[rows][:, None] + position, 0)
        states = self._kept[torch.from_numpy(index).to(self._device)].float()
        return states, torch.from_numpy(mask).to(self._device)

    @torch.no_grad()
    def _compute(self, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        ids, mask = pad([self._tokens[i] for i in rows], self._device)
        transformer = self._encoder.transformer
        states, keep = transformer.embeddings(input_ids=ids), mask.bool()
        with products_in(self._encoder.config.precision, self._device):
            for layer in transformer.encoder.layer[: self._depth]:
                states = layer(states, keep[:, None, None, :])
        return states.float(), keep

    def _compute_all(self, progress: bool) -> Tensor:
        kept = torch.empty(int(self._starts[-1]), self._encoder.width, dtype=torch.float16, device=self._device)
        batches = list(steps(self.lengths, ROWS_PER_STEP, self._encoder.config.precision))
        _ = self._encoder.transformer  # loaded before threads ask for it
        with progress_bar("lower layers", len(batches), "batches", shown=progress) as advance:

            def work(left: Iterator[Step]) -> None:
                for rows, computed in left:
                    states, _ = self._compute(computed)
                    for text, row in zip(rows, states[: len(rows)], strict=True):
                        kept[self._starts[text] : self._starts[text + 1]] = row[: self.lengths[text]].half()
                    advance()

            side_by_side(work, batches)
        return kept
