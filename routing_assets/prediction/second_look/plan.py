"""What "ask j first, then decide" is worth on a new instruction, before any answer is there.

After the answer s of model j, an answer is kept or given to the model k for which P(k | x, s) less price x cost is
greatest, where the price is what a US dollar buys elsewhere in the batch. On rows with known answers that decision
is carried out with cross-fitted posteriors; ridge regression on the router's logits then gives, for a new x,

    value_j(x) = E[P(decided model | x, s)],    usage_j(x) = c_j(x) + sum_k P(escalation to k | x) c_k(x).

These are columns of the same knapsack that has one column for each model alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]

BLOCK = 1_024
LANDMARKS = 200
PENALTY = 5.0


@dataclass(frozen=True, eq=False)
class LogitFeatures:
    """Features of an instruction: its standardised logits, and its nearness to some training rows (radial basis)."""

    centre: Matrix
    scale: Matrix
    landmarks: Matrix

    def __call__(self, logits: Matrix) -> Matrix:
        """(n, F) of logits (n, K)."""
        z = np.asarray((logits - self.centre) / self.scale, dtype=np.float32)
        squares = np.square(z).sum(axis=1)[:, None] - 2 * z @ self.landmarks.T + np.square(self.landmarks).sum(axis=1)
        near = np.exp(-squares / (2 * z.shape[1]))
        return np.concatenate([z, near, np.ones((len(z), 1), dtype=np.float32)], axis=1, dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Lookahead:
    """Values and usage of second looks on new instructions; make one with :func:`fit_lookahead`.

    Attributes:
        features: of an instruction.
        operator: (F, n) from targets of the n known rows to ridge coefficients.
        after: (J, n, K) cross-fitted probabilities of the known rows after the answer of each first model.
        cost: (n, K) USD of the calls of the known rows.
        first: (J,) columns of the first models.
    """

    features: LogitFeatures
    operator: NDArray[np.float64]
    after: Matrix
    cost: NDArray[np.float64]
    first: NDArray[np.int64]

    def columns(
        self, features: Matrix, cost: NDArray[np.floating], price: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Value and usage in USD, each (m, J), of looking twice at new instructions.

        Args:
            features: (m, F) of the instructions.
            cost: (m, K) USD of their calls.
            price: expected successes that a US dollar buys.
        """
        j, k = len(self.first), cost.shape[1]
        coefficients, one = self._coefficients(price), np.ones(k, dtype=np.float32)
        value, usage = np.empty((len(features), j)), np.empty((len(features), j))
        for rows in _blocks(len(features)):
            predicted = features[rows] @ coefficients
            shares = np.clip(predicted, 0.0, 1.0, out=predicted)[:, j:].reshape(-1, j, k)
            second = np.matmul(shares, cost[rows].astype(np.float32)[:, :, None])[:, :, 0]
            value[rows] = predicted[:, :j]
            usage[rows] = cost[rows][:, self.first] + second / np.maximum(1.0, shares @ one)
        return value, usage

    def calls(self, features: Matrix, price: float) -> Matrix:
        """(m, J, K) expected second calls of each model, if ``first`` is asked and its answer looked at.

        Args:
            features: (m, F) of the instructions.
            price: expected successes that a US dollar buys.
        """
        j, k = len(self.first), self.after.shape[2]
        calls = np.clip(features @ self._coefficients(price)[:, j:], 0.0, 1.0).reshape(-1, j, k)
        return calls / np.maximum(1.0, calls.sum(axis=2, keepdims=True))

    def _coefficients(self, price: float) -> Matrix:
        """(F, J + J x K) ridge coefficients of the values, and of the shares of each second model."""
        value, decided = decide_after(self.after, self.cost, self.first, price)
        escalated = decided.T[:, :, None] == np.arange(self.after.shape[2])
        escalated[:, np.arange(len(self.first)), self.first] = False
        targets = np.concatenate([value.T, escalated.reshape(len(escalated), -1)], axis=1)
        return np.asarray(self.operator @ targets, dtype=np.float32)


@dataclass(frozen=True, eq=False)
class BatchLooks:
    """Second looks at the instructions of a batch, as :func:`~routing_assets.allocation.second_look.plan_first_round`
    takes them.

    Attributes:
        lookahead: of the first models.
        features: (N, F) of the instructions.
        cost: (N, K) USD of their calls.
    """

    lookahead: Lookahead
    features: Matrix
    cost: NDArray[np.floating]

    def __call__(self, price: float, /) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Value and usage in USD, each (N, J)."""
        return self.lookahead.columns(self.features, self.cost, price)

    def calls(self, price: float, /) -> Matrix:
        """(N, J, K) expected second calls."""
        return self.lookahead.calls(self.features, price)

    def at(self, rows: NDArray[np.integer], /) -> BatchLooks:
        """Looks at some of the instructions."""
        return BatchLooks(self.lookahead, self.features[rows], self.cost[rows])


def fit_lookahead(
    logits: Matrix, after: Matrix, cost: NDArray[np.floating], first: Sequence[int], seed: int = 0
) -> Lookahead:
    """Prepare the regressions on n rows that the router and the posterior did not learn from.

    Args:
        logits: (n, K) scaled logits of the router.
        after: (J, n, K) cross-fitted probabilities after the answer of each first model.
        cost: (n, K) USD.
        first: (J,) columns of the first models.
        seed: of the rows that are landmarks.
    """
    centre, scale = logits.mean(axis=0), np.maximum(logits.std(axis=0), 1e-6)
    chosen = np.random.default_rng(seed).permutation(len(logits))[:LANDMARKS]
    features = LogitFeatures(centre, scale, np.asarray((logits[chosen] - centre) / scale, dtype=np.float32))
    x = features(logits).astype(np.float64)
    operator = np.asarray(np.linalg.solve(x.T @ x + PENALTY * np.eye(x.shape[1]), x.T), dtype=np.float64)
    return Lookahead(features, operator, after, np.asarray(cost, np.float64), np.asarray(first, np.int64))


def decide_after(
    after: Matrix, cost: NDArray[np.floating], first: NDArray[np.int64], price: float
) -> tuple[Matrix, NDArray[np.int64]]:
    """The value (J, n) and the model (J, n) of the best decision after each first answer; keeping it costs nothing.

    Args:
        after: (J, n, K) probabilities after the answers.
        cost: (n, K) USD.
        first: (J,) columns of the first models.
        price: expected successes that a US dollar buys.
    """
    worth = after - price * cost
    rows = np.arange(len(first))
    worth[rows, :, first] = after[rows, :, first]
    decided = worth.argmax(axis=2)
    return np.take_along_axis(after, decided[:, :, None], axis=2)[:, :, 0], decided


def _blocks(rows: int) -> Iterator[slice]:
    """Some rows at a time, so that what is predicted of them stays in the processor's cache."""
    return (slice(start, start + BLOCK) for start in range(0, rows, BLOCK))
