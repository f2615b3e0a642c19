"""Decisions and populations with and without planted drift."""

import numpy as np

from routing_assets.monitoring import Decisions, Embeddings, Occupancy

MODELS = ("large", "middle", "small")


def decisions(seed: int, n: int = 1500, *, drop: float = 0.0, drop_of: str = "", shuffle: float = 0.0) -> Decisions:
    """Predictions of a calibrated router, and outcomes that keep them but for the planted drift.

    ``drop`` lowers the success probability (of one model, if ``drop_of``); ``shuffle`` is the share of instructions
    whose success no longer has to do with the prediction.
    """
    rng = np.random.default_rng(seed)
    model = rng.choice(MODELS, n)
    predicted = np.round(rng.beta(4, 2, n), 2)
    true = np.where(rng.random(n) < shuffle, rng.permutation(predicted), predicted)
    true = np.where((model == drop_of) | (drop_of == ""), true - drop, true)
    return Decisions(predicted, (rng.random(n) < true).astype(float), model)


def occupancy(seed: int, n: int = 2000, m: int = 1000, *, harder: float = 0.0) -> Occupancy:
    rng = np.random.default_rng(seed)
    draw = lambda rows, shift: 1 / (1 + np.exp(-(rng.normal(0.8 - shift, 1.2, (rows, 3)))))  # noqa: E731
    return Occupancy(draw(n, 0.0), draw(m, harder), MODELS)


def embeddings(seed: int, n: int = 600, m: int = 400, *, new: float = 0.0, dimension: int = 64) -> Embeddings:
    """Unit vectors of five topics; a share ``new`` of the current ones is of a sixth."""
    rng = np.random.default_rng(seed)
    topics = np.random.default_rng(99).normal(size=(6, dimension))
    topic = np.where(rng.random(m) < new, 5, rng.integers(0, 5, m))
    points = topics[np.concatenate([rng.integers(0, 5, n), topic])] + rng.normal(size=(n + m, dimension))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return Embeddings(points[:n].astype(np.float32), points[n:].astype(np.float32))
