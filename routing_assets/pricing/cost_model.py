"""What a call costs for an instruction that no model has answered yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from routing_assets.datasets.batch import BatchInstructions
from routing_assets.datasets.codes import text_codes
from routing_assets.datasets.labels import LabelledInstructions
from routing_assets.datasets.tokens import proxy_tokens
from routing_assets.pricing.call_parts import (
    PROXY_ERROR,
    AnswerTokens,
    CallParts,
    call_parts,
    implied_parts,
    output_shares,
    price_parts,
)
from routing_assets.pricing.catalog import ModelCatalog
from routing_assets.pricing.length_regression import LengthRegression, fit_length_regression
from routing_assets.pricing.recorded_costs import ASSUMED_OUTPUT_TOKENS, MIN_CALLS, RecordedCosts, recorded_costs
from routing_assets.pricing.spend import CostEstimate

CostMode = Literal["auto", "mean", "per_instruction"]
RIDGE_STRENGTHS = (0.01, 1.0, 10.0, 100.0)
ABOUT_AS_GOOD = 1.02  # of the least held-out error: the more regular of two equal fits extrapolates better
FOLDS = 5
MIN_EXPLAINED = 0.05  # share of the variance that per-instruction estimates must explain to be worth their risk
ASSUMED_ERROR = 1.0
"""Standard error of the assumed number of output tokens, relative to it: twice as many is plausible. The 11
models of RouterBench answer multiple choice with one token and write code with 131 to 308: the errors have one sign.
"""
SURPRISE = 2.0
"""Relative error of one pseudo-observation that is added to the recorded calls. With it, even after a single recorded
call, more than 92 % of simulated batches stay within a budget that is to be kept with 95 % (tests/pricing).
"""
MOST_UNLIKE = 2.0  # ratio of text lengths, either way, beyond which the labelled texts' mean cost is a poor estimate


@dataclass(frozen=True)
class CostError:
    """Held-out error of a way to estimate recorded costs, averaged over the models with ``MIN_CALLS`` of them.

    ``relative_mae``: mean absolute error of a call over the model's mean cost. ``explained``: share of the variance
    between calls that is predicted (0 for the mean). ``total_bias``: error of the sum over all calls, relative.
    """

    relative_mae: float
    explained: float
    total_bias: float


@dataclass(frozen=True, eq=False)
class OutputLength:
    """How many tokens an answer has.

    Attributes:
        by_length: tokens of one answer, from the text alone.
        by_task: likewise, from text and task; None where the labels have no tasks.
        relative_std: (K,) standard deviation of an answer's tokens around them, relative to them.
    """

    by_length: LengthRegression
    by_task: LengthRegression | None
    relative_std: np.ndarray

    def answer(self, instruction: np.ndarray, task: np.ndarray | None) -> AnswerTokens:
        """How long the answers to N texts are."""
        tokens = _predicted(self.by_length, self.by_task, instruction, task)
        return AnswerTokens(np.maximum(tokens, 1e-9), self.relative_std)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return {
            "by_length": self.by_length.to_dict(),
            "by_task": self.by_task and self.by_task.to_dict(),
            "relative_std": self.relative_std.tolist(),
        }

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> OutputLength:
        """Inverse of :meth:`to_dict`."""
        return cls(
            LengthRegression.from_dict(stored["by_length"]),
            stored["by_task"] and LengthRegression.from_dict(stored["by_task"]),
            np.asarray(stored["relative_std"], np.float64),
        )


@dataclass(frozen=True, eq=False)
class CostModel:
    """Expected cost of a call, per model, or per model and instruction.

    Attributes:
        models: the K models, in the column order of every estimate.
        mode: "mean" (the article's protocol: one cost per model) or "per_instruction" (token-aware).
        mean_cost: (K,) USD, mean over the labelled calls, at the prices of short ones.
        relative_std: (K,) held-out standard deviation of a call around its estimate, relative to the estimate.
        shared_error: (K,) relative standard error of the model's level, as far as it was recorded.
        assumed_error: (K,) USD, standard error of what was assumed of a call; see :class:`CostEstimate`. Zero in cost
            models of earlier versions.
        by_length: regression on the text alone, or None in mode "mean".
        by_task: regression on text and task, or None where the labels have no tasks.
        held_out: error of each mode on texts left out of its fit, where costs were measured.
        source: where the costs come from, in words.
        why: why this mode was chosen, in words.
        priced: the models whose estimates follow the catalog's prices; those of the others are costs that the labels
            record. None in cost models of earlier versions.
        mean_tokens: mean proxy tokens of the labelled texts; None in cost models of earlier versions.
        parts: prices of what is sent and asked for beyond a text; for cost models of earlier versions they are derived
            from the mean costs.
        output: how many tokens an answer has, where that was learnt from counted ones.
    """

    models: tuple[str, ...]
    mode: Literal["mean", "per_instruction"]
    mean_cost: np.ndarray
    relative_std: np.ndarray
    shared_error: np.ndarray
    assumed_error: np.ndarray
    by_length: LengthRegression | None
    by_task: LengthRegression | None
    held_out: dict[str, CostError]
    source: str
    why: str
    priced: tuple[str, ...] | None = None
    mean_tokens: float | None = None
    parts: CallParts | None = None
    output: OutputLength | None = None

    @property
    def unmoved_by_prices(self) -> tuple[str, ...]:
        """The models whose estimates do not depend on a catalog; empty if that is unknown."""
        return () if self.priced is None else tuple(model for model in self.models if model not in self.priced)

    def doubt(self, mean_tokens: float, beyond_text: Mapping[str, float] | None = None) -> str | None:
        """Why estimates for a batch may be far off, in words; None without a reason.

        Args:
            mean_tokens: mean tokens of the batch's texts.
            beyond_text: what else is sent and asked for, see ``BatchInstructions``.
        """
        return (
            " ".join(filter(None, (self._doubt_of_texts(mean_tokens), self._doubt_of_rates(beyond_text or {})))) or None
        )

    def _doubt_of_texts(self, mean_tokens: float) -> str | None:
        if self.mode != "mean" or self.mean_tokens is None:
            return None
        times = max(mean_tokens, 1.0) / self.mean_tokens
        if 1 / MOST_UNLIKE <= times <= MOST_UNLIKE:
            return None
        length = f"{times:.1f} times as long" if times > 1 else f"{1 / times:.1f} times as short"
        return (
            f"the texts of this batch are {length} as the labelled ones, but every call is priced like the labelled "
            f"calls of its model ({self.source}). Train on labels of such texts that record costs or tokens."
        )

    def _doubt_of_rates(self, beyond_text: Mapping[str, float]) -> str | None:
        implied = [model for model, by_mean in zip(self.models, self._parts.implied, strict=True) if by_mean]
        if not implied or not beyond_text.keys() & {"input_tokens", "answers"}:
            return None
        return (
            f"what the requests send beside their texts, and further answers, are priced by the mean cost of labelled "
            f"calls of {', '.join(implied)}, for no price of theirs is known. Give a catalog with prices."
        )

    @property
    def _parts(self) -> CallParts:
        return self.parts or implied_parts(self.mean_cost, self.mean_tokens or ASSUMED_OUTPUT_TOKENS)

    def estimate_requests(self, batch: BatchInstructions) -> CostEstimate:
        """Costs of sending each of N whole requests to each of K models: all that they send and ask for."""
        mean, parts = self._mean(batch.instruction, batch.task), self._parts
        of_texts = CostEstimate(mean, mean * self.relative_std, self.shared_error, self.assumed_error)
        if self.output is None:
            return price_parts(of_texts, batch, self.mean_cost, parts)
        answer = self.output.answer(batch.instruction, batch.task)
        written = mean * output_shares(mean, answer.tokens, self.mean_cost, parts)
        if batch.text_tokens is not None:
            mean = written + (batch.text_tokens[:, None] + parts.sent_beside) * parts.input_rate
        std = np.hypot(self.output.relative_std * written, PROXY_ERROR * (mean - written))
        return price_parts(replace(of_texts, mean=mean, std=std), batch, self.mean_cost, parts, answer)

    def estimate(self, instruction: np.ndarray, task: np.ndarray | None = None) -> CostEstimate:
        """Costs of sending each of N texts to each of K models; ``task`` (N,) sharpens them where tasks are known."""
        return self.estimate_requests(BatchInstructions(instruction, instruction, task))

    def _mean(self, instruction: np.ndarray, task: np.ndarray | None) -> np.ndarray:
        if self.by_length is None:
            return np.tile(self.mean_cost, (len(instruction), 1))
        return _predicted(self.by_length, self.by_task, instruction, task)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return {
            "models": list(self.models),
            "mode": self.mode,
            "mean_cost": self.mean_cost.tolist(),
            "relative_std": self.relative_std.tolist(),
            "shared_error": self.shared_error.tolist(),
            "assumed_error": self.assumed_error.tolist(),
            "by_length": self.by_length and self.by_length.to_dict(),
            "by_task": self.by_task and self.by_task.to_dict(),
            "held_out": {mode: asdict(error) for mode, error in self.held_out.items()},
            "source": self.source,
            "why": self.why,
            "priced": self.priced,
            "mean_tokens": self.mean_tokens,
            "parts": self.parts and self.parts.to_dict(),
            **({"output": self.output.to_dict()} if self.output else {}),
        }

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> CostModel:
        """Inverse of :meth:`to_dict`."""
        return cls(
            models=tuple(stored["models"]),
            mode=stored["mode"],
            mean_cost=np.asarray(stored["mean_cost"], dtype=np.float64),
            relative_std=np.asarray(stored["relative_std"], dtype=np.float64),
            shared_error=np.asarray(stored["shared_error"], dtype=np.float64),
            assumed_error=np.asarray(stored.get("assumed_error", [0.0] * len(stored["models"])), dtype=np.float64),
            by_length=stored["by_length"] and LengthRegression.from_dict(stored["by_length"]),
            by_task=stored["by_task"] and LengthRegression.from_dict(stored["by_task"]),
            held_out={mode: CostError(**error) for mode, error in stored["held_out"].items()},
            source=stored["source"],
            why=stored["why"],
            priced=None if stored.get("priced") is None else tuple(stored["priced"]),
            mean_tokens=stored.get("mean_tokens"),
            parts=None if stored.get("parts") is None else CallParts.from_dict(stored["parts"]),
            output=OutputLength.from_dict(stored["output"]) if "output" in stored else None,
        )


def fit_cost_model(labels: LabelledInstructions, catalog: ModelCatalog | None, mode: CostMode = "auto") -> CostModel:
    """Learn the cost of calls from labelled calls (see :func:`recorded_costs`) and, if given, the catalog's prices.

    "mean" gives every call of a model its mean cost. "per_instruction" predicts each call from the length of its text
    and its task. "auto" takes "per_instruction" if it predicts held-out calls better, and "mean" if costs were not
    measured call by call. Both fall back to "mean" if a model has labelled calls of under ``MIN_CALLS`` texts;
    ``why`` says so. Errors are measured on recorded calls; an assumed cost has a relative standard error of 1. Pass
    the training rows only. What a whole call costs (tiers, a price per request) is added to the estimates, not learnt.
    Raises InvalidInput if some model's costs are unknown.
    """
    recorded = recorded_costs(labels, catalog and catalog.by_token)
    by_mean = _mean_model(labels, recorded, call_parts(labels, recorded, catalog))
    if mode == "mean":
        return by_mean
    if mode == "auto" and not recorded.measured:
        return replace(by_mean, why="costs were not measured call by call")
    texts = _fewest_texts(labels, recorded.cost)
    if texts < MIN_CALLS:
        return replace(by_mean, why=f"too few labelled texts to tell instructions apart: {texts}")
    strength, predicted = _cross_validated(labels, recorded)
    if recorded.measured:
        held_out = {
            "mean": _error(recorded, np.broadcast_to(by_mean.mean_cost, predicted.shape)),
            "per_instruction": _error(recorded, predicted),
        }
        explained = held_out["per_instruction"].explained
        why = f"per-instruction estimates explain {explained:.1%} of the variance of held-out calls"
        by_mean = replace(by_mean, held_out=held_out, why=why)
        if mode == "auto" and explained < MIN_EXPLAINED:
            return by_mean
    relative_std, shared_error = _uncertainty(recorded, predicted)
    return replace(
        by_mean,
        mode="per_instruction",
        relative_std=relative_std,
        shared_error=shared_error,
        by_length=fit_length_regression(labels.instruction, None, recorded.cost, strength),
        by_task=_by_task(labels, recorded.cost, strength),
        output=_output_length(labels, recorded, strength),
    )


def _output_length(labels: LabelledInstructions, recorded: RecordedCosts, strength: float) -> OutputLength | None:
    """How long answers are, where tokens of every model's calls were counted and are paid by the catalog."""
    counted = labels.output_tokens
    if counted is None or recorded.priced != labels.models or not np.isfinite(counted).any(axis=0).all():
        return None
    by_length, by_task = (
        fit_length_regression(labels.instruction, None, counted, strength),
        _by_task(labels, counted, strength),
    )
    predicted = _predicted(by_length, by_task, labels.instruction, labels.task)
    missed = SURPRISE**2 / np.isfinite(counted).sum(axis=0)
    per_call = _ratio(_root_mean_square(counted - predicted), _root_mean_square(predicted))
    return OutputLength(by_length, by_task, np.sqrt(per_call**2 + missed))


def _predicted(
    by_length: LengthRegression, by_task: LengthRegression | None, instruction: np.ndarray, task: np.ndarray | None
) -> np.ndarray:
    """(N, K) from text and task where the task is known, else from the text alone."""
    predicted = by_length.predict(instruction)
    if task is not None and by_task is not None:
        known = np.isin(np.asarray(task).astype(str), by_task.tasks)
        predicted[known] = by_task.predict(instruction[known], np.asarray(task)[known])
    return predicted


def _mean_model(labels: LabelledInstructions, recorded: RecordedCosts, parts: CallParts) -> CostModel:
    mean_cost = np.nanmean(recorded.cost, axis=0)
    relative_std, shared_error = _uncertainty(recorded, np.broadcast_to(mean_cost, recorded.cost.shape))
    return CostModel(
        models=labels.models,
        mode="mean",
        mean_cost=mean_cost,
        relative_std=relative_std,
        shared_error=shared_error,
        assumed_error=ASSUMED_ERROR * recorded.assumed,
        by_length=None,
        by_task=None,
        held_out={},
        source=recorded.source,
        why="asked for",
        priced=recorded.priced,
        mean_tokens=float(proxy_tokens(labels.instruction).mean()),
        parts=parts,
    )


def _fewest_texts(labels: LabelledInstructions, cost: np.ndarray) -> int:
    """The least number of distinct texts with a known cost that any model has."""
    text = text_codes(labels.instruction)
    return min(len(np.unique(text[known])) for known in np.isfinite(cost).T)


def _by_task(labels: LabelledInstructions, cost: np.ndarray, strength: float) -> LengthRegression | None:
    return None if labels.task is None else fit_length_regression(labels.instruction, labels.task, cost, strength)


def _cross_validated(labels: LabelledInstructions, recorded: RecordedCosts) -> tuple[float, np.ndarray]:
    """Strongest ridge that is about as good as the best, and its (N, K) predictions for texts left out of the fit."""
    text, cost = text_codes(labels.instruction), recorded.cost
    fold = np.random.default_rng(0).permutation(text.max() + 1)[text] % FOLDS
    predicted = {strength: np.empty_like(cost) for strength in RIDGE_STRENGTHS}
    for left_out in np.unique(fold):
        rest, held = fold != left_out, fold == left_out
        task = (None, None) if labels.task is None else (labels.task[rest], labels.task[held])
        for strength, prediction in predicted.items():
            fitted = fit_length_regression(labels.instruction[rest], task[0], cost[rest], strength)
            prediction[held] = fitted.predict(labels.instruction[held], task[1])
    unexplained = {strength: 1.0 - _error(recorded, prediction).explained for strength, prediction in predicted.items()}
    limit = ABOUT_AS_GOOD * min(unexplained.values())
    strength = max(strength for strength, error in unexplained.items() if error <= limit)
    return strength, predicted[strength]


def _error(recorded: RecordedCosts, predicted: np.ndarray) -> CostError:
    # A handful of recorded calls says nothing about variance. If no call was recorded, assumed costs are used.
    judged = recorded.calls >= min(MIN_CALLS, recorded.calls.max())
    cost, predicted = recorded.observed[:, judged], predicted[:, judged]
    predicted = np.where(np.isfinite(cost), predicted, np.nan)
    mean = np.nanmean(cost, axis=0)
    variance = np.nanvar(cost, axis=0)
    return CostError(
        relative_mae=float(np.mean(_ratio(np.nanmean(np.abs(cost - predicted), axis=0), mean))),
        explained=float(np.mean(1.0 - _ratio(np.nanmean((cost - predicted) ** 2, axis=0), variance, empty=1.0))),
        total_bias=float(np.nansum(predicted) / np.nansum(cost) - 1.0) if np.nansum(cost) else 0.0,
    )


def _uncertainty(recorded: RecordedCosts, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(K,) relative standard deviation of a call around its prediction, and relative standard error of the level.

    Few calls may agree by chance, so one more call with a relative error of ``SURPRISE`` is added. With n equal calls
    the level's relative standard error is then ``SURPRISE`` / n. It is zero if no call was recorded: then the whole
    cost is assumed, and ``assumed_error`` covers it.
    """
    observed, calls = recorded.observed, recorded.calls
    residual = _root_mean_square(observed - predicted)
    missed = SURPRISE**2 / np.maximum(calls, 1)
    per_call = _ratio(residual, _root_mean_square(np.where(np.isfinite(observed), predicted, np.nan)))
    of_level = _ratio(residual, np.nanmean(recorded.cost, axis=0))
    return np.sqrt(per_call**2 + missed), _ratio(np.sqrt(of_level**2 + missed), np.sqrt(calls))


def _root_mean_square(values: np.ndarray) -> np.ndarray:
    return np.sqrt(np.nanmean(values**2, axis=0))


def _ratio(numerator: np.ndarray, denominator: np.ndarray, empty: float = 0.0) -> np.ndarray:
    """Elementwise ratio; ``empty`` where the denominator is zero (a model that is free, a cost that never varies)."""
    return np.divide(numerator, denominator, out=np.full_like(numerator, empty), where=denominator > 0)
