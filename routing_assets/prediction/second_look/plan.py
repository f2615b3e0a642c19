"""What "ask j first, then decide" is worth on a new instruction, before any answer is there.

After the answer s of model j, an answer is kept or given to the model k for which P(k | x, s) less price x cost is
greatest, where the price is what a US dollar buys elsewhere in the batch. On rows with known answers that decision is
carried out with cross-fitted posteriors. Least squares then give, for a new x,

    value_j(x) = E[P(decided model | x, s)],    usage_j(x) = c_j(x) + sum_k P(escalation to k | x) c_k(x).

The value less price x second calls is regressed, and the calls. What they are regressed on is what a look decides
between: the success p of model j, and the best net value a of another model; a polynomial of both, and their maximum.
An expectation that is a function of the very numbers it competes with keeps what it promises; one of other features is
chosen where it errs upward.

These are columns of the same knapsack that has one column for each model alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from routing_assets.prediction.calibration.temperatures import sigmoid

Matrix = NDArray[np.float32]

BLOCK = 1_024
PENALTY = 1e-5
"""Of the squared coefficients, per known row: only so that a term that never varies does no harm."""


@dataclass(frozen=True, eq=False)
class Lookahead:
    """Values and usage of second looks on new instructions; make one with :func:`fit_lookahead`.

    Attributes:
        alone: (n, K) probabilities of the known rows before any answer.
        after: (J, n, K) their cross-fitted probabilities after the answer of each first model.
        cost: (n, K) USD of their calls.
        first: (J,) columns of the first models.
        success: (n, K) labels of the known rows, NaN where unlabelled.
    """

    alone: Matrix
    after: Matrix
    cost: NDArray[np.float64]
    first: NDArray[np.int64]
    success: Matrix

    def columns(
        self, alone: Matrix, cost: NDArray[np.floating], price: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Value and usage in USD, each (m, J), of looking twice at new instructions.

        Args:
            alone: (m, K) probabilities of the instructions before any answer, by which one call is planned.
            cost: (m, K) USD of their calls.
            price: expected successes that a US dollar buys.
        """
        coefficients = self._coefficients(price)
        value, usage = (np.empty((len(alone), len(self.first))) for _ in range(2))
        for rows in _blocks(len(alone)):
            net, calls = self._predict(alone[rows], cost[rows], price, coefficients)
            second = np.einsum("jmk,mk->mj", calls, cost[rows])
            value[rows] = np.clip(net.T + price * second, 0.0, 1.0)
            usage[rows] = cost[rows][:, self.first] + second
        return value, usage

    def calls(self, alone: Matrix, cost: NDArray[np.floating], price: float) -> Matrix:
        """(m, J, K) expected second calls of each model if ``first`` is asked and its answer looked at.

        Args:
            alone, cost, price: as for :meth:`columns`.
        """
        coefficients = self._coefficients(price)
        calls = np.empty((len(alone), *self.after.shape[::2]), dtype=np.float32)
        for rows in _blocks(len(alone)):
            calls[rows] = self._predict(alone[rows], cost[rows], price, coefficients)[1].transpose(1, 0, 2)
        return calls

    def optimism(self, price: float) -> float:
        """What the best columns of the known rows promise on average at this price, less what they keep.

        The best of several estimates is too high by their errors, for one call as for two. So much is to be taken from
        what a plan at this price promises.
        """
        value, usage = self.columns(self.alone, self.cost, price)
        worth = np.hstack([self.alone - price * self.cost, value - price * usage])
        best, rows, k = worth.argmax(axis=1), np.arange(len(worth)), self.cost.shape[1]
        after_look = decide_after(self.after, self.cost, self.first, price)[1][np.maximum(best - k, 0), rows]
        kept = self.success[rows, np.where(best < k, best, after_look)]
        labelled = np.isfinite(kept)
        promised = np.hstack([self.alone, value])[rows, best]
        return float((promised - kept)[labelled].mean()) if labelled.any() else 0.0

    def _coefficients(self, price: float) -> Matrix:
        """(J, B, 2 + K) of the net value, and of the second calls: to the best other model, to each further one."""
        value, decided = decide_after(self.after, self.cost, self.first, price)
        basis, other = _basis(self.alone, self.cost, self.first, price)
        kept = decided == self.first[:, None]
        to_other = (decided == other) & ~kept
        further = (decided[:, :, None] == np.arange(self.after.shape[2])) & ~(kept | to_other)[:, :, None]
        second = np.where(kept, 0.0, np.take_along_axis(self.cost.T, decided, axis=0))
        targets = np.concatenate([(value - price * second)[:, :, None], to_other[:, :, None], further], axis=2)
        transposed = basis.transpose(0, 2, 1).astype(np.float64)
        squares = transposed @ basis + PENALTY * len(self.alone) * np.eye(basis.shape[2])
        return np.asarray(np.linalg.solve(squares, transposed @ targets), dtype=np.float32)

    def _predict(
        self, alone: Matrix, cost: NDArray[np.floating], price: float, coefficients: Matrix
    ) -> tuple[Matrix, Matrix]:
        """Net values (J, m) and expected second calls (J, m, K)."""
        basis, other = _basis(alone, cost, self.first, price)
        predicted = basis @ coefficients
        to_other, further = predicted[:, :, 1:2], predicted[:, :, 2:]
        calls = np.concatenate([further, to_other], axis=2)  # the last column: to none
        np.put_along_axis(calls, other[:, :, None], to_other, axis=2)
        calls = np.clip(calls[:, :, :-1], 0.0, 1.0)
        return predicted[:, :, 0], calls / np.maximum(1.0, calls.sum(axis=2, keepdims=True))


def _basis(
    alone: Matrix, cost: NDArray[np.floating], first: NDArray[np.int64], price: float
) -> tuple[Matrix, NDArray[np.int64]]:
    """(J, m, B) what the columns of each first model are regressed on, and (J, m) the best other model.

    Not to ask again is worth 0, and is "model" K: another model that is worth less does not matter.
    """
    net = np.concatenate([alone - price * cost, np.zeros((len(alone), 1))], axis=1)
    second, best = np.argpartition(net, -2, axis=1)[:, -2:].T
    other = np.where(best == first[:, None], second, best)
    p = np.asarray(alone[:, first].T, dtype=np.float32)
    a = np.take_along_axis(net.T, other, axis=0).astype(np.float32)
    return np.stack([np.ones_like(p), p, a, np.maximum(p, a), p * a, p * p, a * a], axis=2), other


@dataclass(frozen=True, eq=False)
class BatchLooks:
    """Second looks at the instructions of a batch, as :func:`~routing_assets.allocation.second_look.plan_first_round`
    takes them.

    Attributes:
        lookahead: of the first models.
        alone: (N, K) probabilities of the instructions before any answer.
        cost: (N, K) USD of their calls.
    """

    lookahead: Lookahead
    alone: Matrix
    cost: NDArray[np.floating]

    def __call__(self, price: float, /) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Value and usage in USD, each (N, J)."""
        return self.lookahead.columns(self.alone, self.cost, price)

    def calls(self, price: float, /) -> Matrix:
        """(N, J, K) expected second calls."""
        return self.lookahead.calls(self.alone, self.cost, price)

    def at(self, rows: NDArray[np.integer], /) -> BatchLooks:
        """Looks at some of the instructions."""
        return BatchLooks(self.lookahead, self.alone[rows], self.cost[rows])


def fit_lookahead(
    logits: Matrix,
    after: Matrix,
    cost: NDArray[np.floating],
    first: Sequence[int],
    success: Matrix | None = None,
) -> Lookahead:
    """Prepare the regressions on n rows that the router and the posterior did not learn from.

    Args:
        logits: (n, K) scaled logits of the router.
        after: (J, n, K) cross-fitted probabilities after the answer of each first model.
        cost: (n, K) USD.
        first: (J,) columns of the first models.
        success: (n, K) labels, by which :meth:`Lookahead.optimism` is measured; NaN where unlabelled.
    """
    before = np.asarray(sigmoid(logits), dtype=np.float32)
    labels = np.full_like(before, np.nan) if success is None else success
    return Lookahead(before, after, np.asarray(cost, np.float64), np.asarray(first, np.int64), labels)


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
