"""Who succeeds on what: an item-response model whose means are the published success rates.

The three-parameter logistic model (Birnbaum, 1968) with a specialisation per family of instructions:

    P(model k succeeds on item i) = guess + (1 - guess) * sigmoid(a_k * (ability_kt + skill_kf - difficulty_i))
    difficulty_i = d(rung, length) + hidden_i,    hidden_i ~ Normal(0, hidden_sd)

Rung, length and family f can be read in the text; ``hidden`` cannot, and it makes models fail together on the same
items, as real models do. ``ability`` is solved for each model and task t so that the mean over all texts the grammar
can make is exactly the target: what is left between a sample and the published rate is sampling error.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(31)


@dataclass(frozen=True)
class ResponseParameters:
    """The parameters of a twin's response model.

    Attributes:
        guess: Success rate by guessing, the floor of every probability.
        rung_step: Difficulty added per rung, in logits of a model of discrimination 1.
        length_step: Difficulty added per additional sentence.
        discrimination: Least and greatest discrimination ``a`` over the models.
        skill_sd: Standard deviation of a model's skill per family.
        hidden_sd: Standard deviation of the hidden difficulty, which cannot be read in the text.
        world_seed: Seed of discriminations and skills, so that every sample has the same models.
    """

    guess: float
    rung_step: float
    length_step: float
    discrimination: tuple[float, float]
    skill_sd: float
    hidden_sd: float
    world_seed: int


@dataclass(frozen=True, eq=False)
class ResponseModel:
    """A fitted response model.

    Attributes:
        guess: As in :class:`ResponseParameters`.
        discrimination: (K,) discrimination of each model.
        ability: (K, T, F) ability plus skill of each model on each family of each task.
        difficulty: (R, L) difficulty of each rung and length.
        hidden_sd: As in :class:`ResponseParameters`.
    """

    guess: float
    discrimination: np.ndarray
    ability: np.ndarray
    difficulty: np.ndarray
    hidden_sd: float

    def success_probability(self, task: np.ndarray, family: np.ndarray, difficulty: np.ndarray) -> np.ndarray:
        """(N, K) probability of success on items of the given (N,) task, family and difficulty (visible or whole)."""
        logit = self.discrimination * (self.ability[:, task, family].T - difficulty[:, None])
        return self.guess + (1 - self.guess) / (1 + np.exp(-logit))

    def readable_probability(self, task: np.ndarray, family: np.ndarray, visible: np.ndarray) -> np.ndarray:
        """(N, K) probability given the text alone: the mean over the hidden difficulty (Gauss-Hermite quadrature)."""
        weights = _WEIGHTS / _WEIGHTS.sum()
        return sum(
            weight * self.success_probability(task, family, visible + self.hidden_sd * node)
            for node, weight in zip(_NODES, weights, strict=True)
        )


def fit_response_model(
    target: np.ndarray, families: int, rungs: int, lengths: int, parameters: ResponseParameters
) -> ResponseModel:
    """Solves the (K, T) abilities by bisection so that the mean success over all texts is ``target`` (K, T)."""
    k, t = len(target), len(target[0])
    random = np.random.default_rng(parameters.world_seed)
    least, greatest = parameters.discrimination
    discrimination = random.uniform(least, greatest, size=k)
    skill = random.normal(0, parameters.skill_sd, size=(k, t, families))
    difficulty = np.add.outer(parameters.rung_step * _centred(rungs), parameters.length_step * _centred(lengths))
    nodes, weights = _NODES * parameters.hidden_sd, _WEIGHTS / _WEIGHTS.sum()
    low, high = np.full((k, t), -40.0), np.full((k, t), 40.0)
    for _ in range(60):
        ability = (low + high) / 2
        logit = discrimination[:, None, None, None, None, None] * (
            (ability[:, :, None] + skill)[..., None, None, None] - difficulty[..., None] - nodes
        )
        success = parameters.guess + (1 - parameters.guess) / (1 + np.exp(-logit))
        too_low = (success @ weights).mean(axis=(2, 3, 4)) < target
        low, high = np.where(too_low, ability, low), np.where(too_low, high, ability)
    return ResponseModel(parameters.guess, discrimination, low[:, :, None] + skill, difficulty, parameters.hidden_sd)


def _centred(count: int) -> np.ndarray:
    return np.arange(count) - (count - 1) / 2
