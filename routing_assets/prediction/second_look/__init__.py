"""What the answer of a first model tells about the success of every model, and what a look at it is worth."""

from routing_assets.prediction.second_look.gain import Gain, TriedRounds, judge_gains
from routing_assets.prediction.second_look.plan import BatchLooks, Lookahead, decide_after, fit_lookahead
from routing_assets.prediction.second_look.posterior import CrossFit, Posterior, fit_posterior
from routing_assets.prediction.second_look.quality import FirstModelQuality, judge_first_models, telling
from routing_assets.prediction.second_look.rounds import carry_out
from routing_assets.prediction.second_look.second_look import KeptSecondLook, SecondLook, second_look_of
from routing_assets.prediction.second_look.verdict import NOTHING_TOLD, SecondLookVerdict, second_look_verdict

__all__ = [
    "NOTHING_TOLD",
    "BatchLooks",
    "CrossFit",
    "FirstModelQuality",
    "Gain",
    "KeptSecondLook",
    "Lookahead",
    "Posterior",
    "SecondLook",
    "SecondLookVerdict",
    "TriedRounds",
    "carry_out",
    "decide_after",
    "fit_lookahead",
    "fit_posterior",
    "judge_first_models",
    "judge_gains",
    "second_look_of",
    "second_look_verdict",
    "telling",
]
