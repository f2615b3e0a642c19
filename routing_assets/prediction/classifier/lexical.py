"""A linear model on words and character sequences, for what sentence embeddings miss: rare words, names, spelling.

Bags of n-grams are hashed (Weinberger et al. 2009), weighted by TF-IDF and joined with the instruction features;
one L2-penalised logistic regression per model is fitted, all of them in one L-BFGS run. Networks on the embedding and
this model err differently, so their stacked mean is better than either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array, hstack
from torch import Tensor, nn

from routing_assets.prediction.classifier.hashed_ngrams import count_sequences, count_words
from routing_assets.prediction.classifier.training_texts import TrainingTexts

Matrix = NDArray[np.float32]
Rows = NDArray[np.int64]

BUCKETS = 2**16
"""Hash buckets of each of the two bags; 2**18 gave the same loss."""
LEAST_TEXTS = 2
"""N-grams that occur in fewer training texts are left out."""
PENALTIES = (10.0, 3.0, 1.0, 0.3)
"""Strengths of the L2 penalty that validation chooses among, strongest first."""
PARTS = 5
MOST_ITERATIONS = 100
TOLERANCE = 1e-4
"""Relative decrease of the loss at which a fit stops; going on takes twice the time and does not predict better."""
MOST_CHARACTERS = 7_000_000
"""Where the training texts are longer in total, only words are read: character sequences would take minutes."""


@dataclass(frozen=True, eq=False)
class LexicalInputs:
    """What the lexical model reads of N texts: logarithmic counts of words and of character sequences, (N, BUCKETS)
    each, and the instruction features (N, F).
    """

    words: csr_array
    characters: csr_array
    features: Matrix
    rows_at_once: int = 1_024

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Texts need no padding."""
        return np.ones(len(self.features), dtype=np.int64)

    def __call__(self, networks: Sequence[nn.Module], rows: Rows) -> list[Tensor]:
        batch = self.take(rows)
        return [network(batch) for network in networks]

    def take(self, rows: Rows) -> LexicalInputs:
        """The given texts."""
        return LexicalInputs(self.words[rows], self.characters[rows], self.features[rows])


def reads_characters(training_texts: Sequence[str]) -> bool:
    """Whether a model trained on these texts reads character sequences besides words."""
    return sum(map(len, training_texts)) <= MOST_CHARACTERS


def lexical_inputs(texts: Sequence[str], features: Matrix, *, characters: bool = True) -> LexicalInputs:
    """Count words and pairs of them, and, with ``characters``, sequences of 3 to 5 characters within words, by hash."""
    words = _log_counts(count_words(texts, BUCKETS))
    if not characters:
        return LexicalInputs(words, csr_array(words.shape, dtype=np.float32), features)
    return LexicalInputs(words, _log_counts(count_sequences(texts, BUCKETS)), features)


class LexicalModel(nn.Module):
    """Linear logits (N, K) of TF-IDF vectors and features.

    ``idf`` (2, BUCKETS) is 0 for n-grams that are left out; ``weight`` (2 x BUCKETS + F, K); ``bias`` (K,).
    """

    idf: Tensor
    weight: Tensor
    bias: Tensor

    def __init__(self, idf: Tensor, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        for name, value in (("idf", idf), ("weight", weight), ("bias", bias)):
            self.register_buffer(name, value)

    @property
    def reads_characters(self) -> bool:
        """Whether the model reads character sequences."""
        return bool(self.idf[1].any())

    def forward(self, inputs: LexicalInputs) -> Tensor:
        """(N, K) logits."""
        return torch.from_numpy(_design(inputs, self.idf.numpy()) @ self.weight.numpy() + self.bias.numpy())


def train_lexical(inputs: LexicalInputs, texts: TrainingTexts) -> tuple[LexicalModel, Matrix]:
    """Fit on the training texts, and for each text (D, K) the logits by a model that had not seen its part.

    The model returned is the mean of the models that each left one part out. Out-of-fold logits are NaN for validation
    texts.
    """
    idf = np.stack([_idf(block[texts.train]) for block in (inputs.words, inputs.characters)])
    design = _design(inputs, idf)
    seen = np.flatnonzero(np.bincount(design[texts.train].indices, minlength=design.shape[1]))
    design = csr_array(design[:, seen])
    out_of_fold = np.full(texts.success.shape, np.nan, dtype=np.float32)
    fits: list[Matrix] = []
    penalty = None
    for part in range(PARTS):
        rows = texts.train[texts.fold[texts.train] % PARTS != part]
        if not len(rows):  # all related texts lie in this part
            rows = texts.train
        left_out = np.setdiff1d(texts.train, rows)
        if penalty is None:
            penalty, fit = _choose_penalty(design, texts, rows)
        else:
            # does not start from the fit before, which has seen the part left out now
            fit = _fit(design[rows], texts.success[rows], texts.weight[rows], penalty)
        fits.append(fit)
        out_of_fold[left_out] = _logits(design[left_out], fit)
    mean = np.asarray(np.mean(fits, axis=0, dtype=np.float32))
    weight = np.zeros((2 * BUCKETS + inputs.features.shape[1], mean.shape[1]), dtype=np.float32)
    weight[seen] = mean[:-1]
    return LexicalModel(*(torch.from_numpy(array) for array in (idf, weight, mean[-1]))), out_of_fold


def _choose_penalty(design: csr_array, texts: TrainingTexts, rows: Rows) -> tuple[float, Matrix]:
    """The penalty with the least loss on the validation texts, and its fit; each fit starts from a stronger one's."""
    truth, labels = texts.success[texts.validation], texts.weight[texts.validation]
    fits: list[Matrix] = []
    losses: list[float] = []
    for penalty in PENALTIES:
        start = fits[-1] if fits else None
        fits.append(_fit(design[rows], texts.success[rows], texts.weight[rows], penalty, start))
        losses.append(float((_losses(_logits(design[texts.validation], fits[-1]), truth) * labels).sum()))
        if losses[-1] > min(losses):
            break
    best = int(np.argmin(losses))
    return PENALTIES[best], fits[best]


def _fit(design: csr_array, success: Matrix, weight: Matrix, penalty: float, start: Matrix | None = None) -> Matrix:
    """Coefficients (columns + 1, K), the bias last: least cross-entropy + penalty / 2 x squared weights."""
    shape = (design.shape[1] + 1, success.shape[1])
    transposed = csr_array(design.T)
    if start is None:
        start = np.zeros(shape, dtype=np.float32)
        right = (success * weight).sum(0)
        start[-1] = np.log((right + 1) / (weight.sum(0) - right + 1))

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        coefficients = flat.astype(np.float32).reshape(shape)
        logits = _logits(design, coefficients)
        residual = (_sigmoid(logits) - success) * weight
        gradient = np.vstack([transposed @ residual + penalty * coefficients[:-1], residual.sum(0)])
        size = float(np.square(coefficients[:-1]).sum(dtype=np.float64))
        total = float((_losses(logits, success) * weight).sum(dtype=np.float64)) + penalty * size / 2
        return total, gradient.ravel().astype(np.float64)

    options = {"maxiter": MOST_ITERATIONS, "maxcor": 5, "ftol": TOLERANCE}
    from scipy.optimize import minimize  # loads only where something is fitted

    found = minimize(loss, start.ravel().astype(np.float64), jac=True, method="L-BFGS-B", options=options)
    return np.asarray(found.x.reshape(shape), dtype=np.float32)


def _design(inputs: LexicalInputs, idf: Matrix) -> csr_array:
    """(N, 2 x BUCKETS + F): each bag of unit length, then the features."""
    bags = []
    for counts, idf_of_bag in zip((inputs.words, inputs.characters), idf, strict=True):
        bag = csr_array((counts.data * idf_of_bag[counts.indices], counts.indices, counts.indptr), shape=counts.shape)
        length = np.sqrt(np.maximum(bag.power(2).sum(axis=1), 1e-12)).astype(np.float32)
        bag.data /= np.repeat(length, np.diff(bag.indptr))
        bag.eliminate_zeros()
        bags.append(bag)
    return csr_array(hstack([*bags, csr_array(inputs.features)], format="csr"))


def _log_counts(counts: csr_array) -> csr_array:
    counts.data = 1 + np.log(counts.data)
    return counts


def _idf(counts: csr_array) -> Matrix:
    found = np.bincount(counts.indices, minlength=BUCKETS)
    idf = np.log((1 + counts.shape[0]) / (1 + found)) + 1
    return np.where(found >= LEAST_TEXTS, idf, 0).astype(np.float32)


def _logits(design: csr_array, coefficients: Matrix) -> Matrix:
    return np.asarray(design @ coefficients[:-1] + coefficients[-1], dtype=np.float32)


def _sigmoid(logits: Matrix) -> Matrix:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * logits)), dtype=np.float32)


def _losses(logits: Matrix, success: Matrix) -> Matrix:
    return np.asarray(np.logaddexp(0, logits) - success * logits, dtype=np.float32)
