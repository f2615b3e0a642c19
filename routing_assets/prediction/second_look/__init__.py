"""What the answer of a first model tells about the success of every model, and what a look at it is worth."""

from routing_assets.prediction.second_look.gain import Gain, KeptSecondLook
from routing_assets.prediction.second_look.plan import BatchLooks, Lookahead, decide_after, fit_lookahead
from routing_assets.prediction.second_look.posterior import CrossFit, Posterior, fit_posterior
from routing_assets.prediction.second_look.quality import FirstModelQuality, judge_first_models
from routing_assets.prediction.second_look.second_look import SecondLook, second_look_of

__all__ = [
    "BatchLooks",
    "CrossFit",
    "FirstModelQuality",
    "Gain",
    "KeptSecondLook",
    "Lookahead",
    "Posterior",
    "SecondLook",
    "decide_after",
    "fit_lookahead",
    "fit_posterior",
    "judge_first_models",
    "second_look_of",
]
