"""P(success of every model | the instruction, the answer of a first model), cross-fitted.

The prior is the router: its scaled logits of an instruction that it did not learn from. For each first model a network
corrects them by the signals of its answer. One more network reads no answer: it is the control, as it has all the other
advantages of the posterior.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from routing_assets.prediction.calibration.temperatures import sigmoid
from routing_assets.prediction.encoder.threads import one_thread
from routing_assets.prediction.panel_refit.networks import (
    CorrectionConfig,
    Corrections,
    component_folds,
    train_corrections,
)
from routing_assets.prediction.second_look.encoding import SignalEncoding, Signals, fit_encoding

Matrix = NDArray[np.float32]
AT_ONCE = 16_384


@dataclass(frozen=True, eq=False)
class Posterior:
    """Networks that correct the router's logits by the answer of a first model.

    Attributes:
        models: K names, in column order.
        first: J of them, whose answers are read.
        encoding: of the signals.
        centre: (K,) mean of the logits; ``scale`` (K,) their standard deviation.
        members: one set of J + 1 networks per fold; the last network of each reads no answer.
    """

    models: tuple[str, ...]
    first: tuple[str, ...]
    encoding: SignalEncoding
    centre: Matrix
    scale: Matrix
    members: tuple[Corrections, ...]

    def after(self, first: str, logits: Matrix, signals: Signals) -> Matrix:
        """(n, K) probabilities once the answer of ``first`` is there.

        Args:
            logits: (n, K) scaled logits of the router.
            signals: by name, (n,) of the answers of ``first``.
        """
        return self._predict(self.first.index(first), logits, self.encoding.encode(signals))

    def without_answer(self, logits: Matrix) -> Matrix:
        """(n, K) probabilities of the control, which reads no answer."""
        return self._predict(len(self.first), logits, np.zeros((len(logits), self.encoding.width), dtype=np.float32))

    def _predict(self, network: int, logits: Matrix, answer: Matrix) -> Matrix:
        parts = [
            np.mean([self._corrected(m, network, logits[rows], answer[rows]) for m in self.members], axis=0)
            for rows in np.array_split(np.arange(len(logits)), max(1, -(-len(logits) // AT_ONCE)))
        ]
        return sigmoid(np.concatenate(parts))

    @torch.no_grad()
    def _corrected(self, member: Corrections, network: int, logits: Matrix, answer: Matrix) -> Matrix:
        inputs = np.concatenate([(logits - self.centre) / self.scale, answer], axis=1)
        with one_thread():
            corrected = member(torch.from_numpy(inputs)[None], torch.from_numpy(logits), slice(network, network + 1))
        return corrected[0].numpy()


@dataclass(frozen=True, eq=False)
class CrossFit:
    """A posterior, and what networks that had not seen the n rows of its training say about them.

    Attributes:
        after: (J, n, K) probabilities after the answer of each first model.
        without_answer: (n, K) probabilities of the control.
    """

    posterior: Posterior
    after: Matrix
    without_answer: Matrix


def fit_posterior(
    models: Sequence[str],
    logits: Matrix,
    success: Matrix,
    signals: Signals,
    component: NDArray[np.integer],
    first: Sequence[str] | None = None,
    config: CorrectionConfig | None = None,
) -> CrossFit:
    """Train on n rows that the router did not learn from.

    Args:
        logits: (n, K) scaled logits of the router.
        success: (n, K), NaN where unlabelled.
        signals: by name, (n, K) of the answers of all models.
        component: (n,) equal for related rows, which share a fold.
        first: the models whose answers are read; all by default.
    """
    config = config or CorrectionConfig()
    first = tuple(first or models)
    columns = [list(models).index(name) for name in first]
    encoding = fit_encoding(signals)
    answers = encoding.encode(signals)[:, columns].transpose(1, 0, 2)
    centre, scale = logits.mean(axis=0), np.maximum(logits.std(axis=0), 1e-6)
    prior = np.broadcast_to((logits - centre) / scale, (len(first) + 1, *logits.shape))
    none = np.zeros((1, *answers.shape[1:]), dtype=np.float32)
    inputs = torch.from_numpy(np.concatenate([prior, np.concatenate([answers, none])], axis=2).astype(np.float32))
    z, target = torch.from_numpy(logits), torch.from_numpy(success)
    fold = component_folds(component, config.folds, config.seed)
    unseen = np.full((len(first) + 1, *logits.shape), np.nan, dtype=np.float32)
    members = []
    with one_thread():  # the steps are too short for several threads
        for part in range(config.folds):
            rest, left_out = np.flatnonzero(fold != part), np.flatnonzero(fold == part)
            networks = train_corrections(
                inputs[:, rest], z[rest], target[rest], replace(config, seed=config.seed * 101 + part)
            )
            with torch.no_grad():
                unseen[:, left_out] = torch.sigmoid(networks(inputs[:, left_out], z[left_out])).numpy()
            members.append(networks)
    posterior = Posterior(tuple(models), first, encoding, centre, scale, tuple(members))
    return CrossFit(posterior, unseen[:-1], unseen[-1])
