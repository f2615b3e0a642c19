"""The control that a trained router must beat: nearest neighbours in the frozen encoder's space, well tuned."""

from __future__ import annotations

import numpy as np
import torch

from routing_assets.prediction.classifier.neighbours import NeighbourVotes, TunedNeighbours, tune_neighbours


def knn_estimates(
    train: np.ndarray,
    train_success: np.ndarray,
    validation: np.ndarray,
    validation_success: np.ndarray,
    test: np.ndarray,
) -> tuple[np.ndarray, TunedNeighbours]:
    """(n, K) smoothed success rates among each test embedding's neighbours; tuned on the validation split.

    Embeddings are (N, D) rows of unit length, success (N, K) with NaN where unlabelled.
    """
    references = (torch.from_numpy(train), *_labels(train_success))
    tuned = tune_neighbours(*references, torch.from_numpy(validation), *_labels(validation_success))
    return NeighbourVotes.tuned(*references, tuned).rates(torch.from_numpy(test)).numpy(), tuned


def _labels(success: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Success with 0 where unlabelled, and 1 where there is a label."""
    return (
        torch.from_numpy(np.nan_to_num(success).astype(np.float32)),
        torch.from_numpy(np.isfinite(success).astype(np.float32)),
    )
