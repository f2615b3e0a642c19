"""What the answer of a first model tells about the success of every model, and what a look at it is worth."""

from routing_assets.prediction.second_look.plan import BatchLooks, Lookahead, decide_after, fit_lookahead
from routing_assets.prediction.second_look.posterior import CrossFit, Posterior, fit_posterior
from routing_assets.prediction.second_look.quality import FirstModelQuality, judge_first_models

__all__ = [
    "BatchLooks",
    "CrossFit",
    "FirstModelQuality",
    "Lookahead",
    "Posterior",
    "decide_after",
    "fit_lookahead",
    "fit_posterior",
    "judge_first_models",
]
