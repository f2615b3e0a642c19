"""ParetoBandit (arXiv 2604.00136) as a peer: instructions one after another, each with its outcome told at once.

The package is used by its public names. Its contexts are principal components of any features; its priors are learnt
from traffic whose outcomes of all models are known, as its paper does.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from pareto_bandit import BanditRouter
from pareto_bandit.budget_pacer import BudgetPacer, PacingMode
from pareto_bandit.calibration import generate_warmup_priors
from pareto_bandit.config import BEST_K3_HPARAMS
from pareto_bandit.feature_service import FeatureService
from pareto_bandit.types import RouterConfig
from sklearn.decomposition import PCA

logging.getLogger("pareto_bandit").setLevel(logging.ERROR)


@dataclass(frozen=True)
class BanditSettings:
    """The defaults are those the package ships, tuned by its author."""

    forgetting: float = BEST_K3_HPARAMS["forgetting_factor"]
    cost_penalty: float = 0.3
    mode: PacingMode = PacingMode.ADAPTIVE
    own_anchors: bool = False
    """Costs are scaled between the portfolio's cheapest and dearest model, not between 1e-4 and 0.1 USD."""
    alpha: float = BEST_K3_HPARAMS["alpha"]
    prior_strength: float = BEST_K3_HPARAMS["prior_n_effective"]

    def __str__(self) -> str:
        return ", ".join(f"{k} {getattr(v, 'value', v)}" for k, v in asdict(self).items())


GRID = tuple(
    BanditSettings(forgetting, penalty, mode, own_anchors)
    for forgetting, (penalty, own_anchors), mode in itertools.product(
        (BEST_K3_HPARAMS["forgetting_factor"], 1.0), ((0.3, False), (0.0, True)), (PacingMode.ADAPTIVE, PacingMode.SOFT)
    )
)


@dataclass(frozen=True, eq=False)
class Traffic:
    """N instructions in order of arrival: features (N, D), successes (N, K), and USD (N, K) of the calls."""

    features: np.ndarray
    success: np.ndarray
    cost: np.ndarray

    def take(self, rows: np.ndarray) -> Traffic:
        return Traffic(self.features[rows], self.success[rows], self.cost[rows])


class Prior:
    """What past traffic teaches: components of its features, and the bandit's statistics of each model."""

    def __init__(self, history: Traffic, components: int = BEST_K3_HPARAMS["pca_components"]) -> None:
        self.price = history.cost.mean(axis=0)
        self.models = [f"m{k:02d}" for k in range(len(self.price))]
        self.pca = PCA(min(components, history.features.shape[1]), whiten=True, random_state=0).fit(history.features)
        names = [str(i) for i in range(len(history.features))]
        known = [
            {"prompt": name, "rewards": dict(zip(self.models, map(float, row), strict=True))}
            for name, row in zip(names, history.success, strict=True)
        ]
        keys = [hashlib.sha256(name.encode()).hexdigest() for name in names]
        self._folder = tempfile.TemporaryDirectory()
        self.path = Path(self._folder.name) / "priors.joblib"
        embeddings = dict(zip(keys, history.features, strict=True))
        generate_warmup_priors(known, "none", self.pca, output_path=self.path, precomputed_raw_embeddings=embeddings)

    def contexts(self, features: np.ndarray) -> np.ndarray:
        return np.column_stack([self.pca.transform(features), np.ones(len(features))])

    def router(self, usd_per_call: float, settings: BanditSettings, seed: int) -> BanditRouter:
        """A call counts as 1,000 tokens, so that a price per 1,000 tokens is a mean price per call."""
        config = RouterConfig()
        if settings.own_anchors:
            config = replace(
                config, market_cost_floor=float(self.price.min()), market_cost_ceiling=float(self.price.max())
            )
        per_million = [float(usd) * 1000 for usd in self.price]
        return BanditRouter.create(
            {
                model: {"input_cost_per_m": usd, "output_cost_per_m": usd}
                for model, usd in zip(self.models, per_million, strict=True)
            },
            priors=str(self.path),
            prior_n_effective=settings.prior_strength,
            feature_service=FeatureService.for_precomputed(self.pca.n_components_ + 1),
            alpha=settings.alpha,
            forgetting_factor=settings.forgetting,
            cost_penalty=settings.cost_penalty,
            budget_pacer=BudgetPacer(usd_per_call, settings.mode),
            bandit_seed=seed,
            config=config,
        )


def follow(prior: Prior, now: Traffic, budget: float, settings: BanditSettings, seed: int = 0) -> np.ndarray:
    """(N,) models chosen. The budget is told as USD per call; each call's true cost and success are told at once."""
    router = prior.router(budget / len(now.cost), settings, seed)
    index = {model: k for k, model in enumerate(prior.models)}
    choice = np.empty(len(now.cost), int)
    for i, context in enumerate(prior.contexts(now.features)):
        model, log = router.route(context)
        choice[i] = index[model]
        log.cost_usd = float(now.cost[i, choice[i]])
        router.process_feedback(log.request_id, float(now.success[i, choice[i]]))
    return choice


def tuned(prior: Prior, trial: Traffic, budget: float, grid: Sequence[BanditSettings] = GRID) -> BanditSettings:
    """The settings with the most successes on trial traffic among those that keep its budget within 2 %; else those
    that exceed it least.
    """

    def worth(settings: BanditSettings) -> tuple[float, float]:
        choice = follow(prior, trial, budget, settings)
        rows = np.arange(len(choice))
        over = max(0.0, float(trial.cost[rows, choice].sum()) / budget - 1.02)
        return -over, float(trial.success[rows, choice].sum())

    return max(grid, key=worth)


def most_chosen(chosen: Sequence[BanditSettings]) -> Iterator[str]:
    """What was chosen how often, for the caption of a table."""
    for settings in dict.fromkeys(chosen):
        yield f"{chosen.count(settings)} x ({settings})"
