"""The parts of a call's cost, for requests that send or ask for more than the text they are routed by.

A cost model estimates a call that sends one text and gets one answer. Everything else that is sent is priced by the
token, every answer is priced, and an output bound caps each answer: a number of tokens in [0, b] with mean m has a
variance of at most m (b - m) (Bhatia and Davis, 2000).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import ndtr

from routing_assets.datasets.batch import BatchInstructions
from routing_assets.datasets.labels import LabelledInstructions
from routing_assets.datasets.request_content import CAPABILITY
from routing_assets.datasets.tokens import proxy_tokens
from routing_assets.pricing.catalog import ModelCatalog, ModelEntry
from routing_assets.pricing.long_calls import Step, price_long_calls, steps_of
from routing_assets.pricing.recorded_costs import ASSUMED_OUTPUT_TOKENS, RecordedCosts
from routing_assets.pricing.spend import CostEstimate
from routing_assets.pricing.token_prices import TokenPrices

PROXY_ERROR = 0.25
"""Relative standard error of token counts estimated from the length of JSON: a token has three to five bytes."""
_PER_MILLION = 1e-6
_BESIDE_QUANTILE = 0.05


@dataclass(frozen=True, eq=False)
class CallParts:
    """What the parts of a call cost, for each of K models.

    Attributes:
        input_rate: (K,) USD per input token that is sent beside the text.
        implied: (K,) whether that rate is derived from the mean cost of calls, because no price is known.
        sent_beside: (K,) input tokens that nearly all labelled calls sent beside their text; their costs include them.
        output_tokens: (K,) expected output tokens of an answer.
        output_share: (K,) share of the mean cost that pays for output; NaN where unknown.
        attachment_price: by kind (``images``, ``audio``, ``files``), (K,) USD of each; NaN where there is no price.
        request_price: (K,) USD of each call besides its tokens; None where no model has such a price.
        steps: of each of the K models, what calls with a long input cost more; None where no price depends on it.
    """

    input_rate: np.ndarray
    implied: np.ndarray
    sent_beside: np.ndarray
    output_tokens: np.ndarray
    output_share: np.ndarray
    attachment_price: dict[str, np.ndarray]
    request_price: np.ndarray | None = None
    steps: tuple[tuple[Step, ...], ...] | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form; without the prices that no model has."""
        arrays = {name: _plain(value) for name, value in vars(self).items() if isinstance(value, np.ndarray)}
        prices = {kind: _plain(price) for kind, price in self.attachment_price.items()}
        return {**arrays, "attachment_price": prices, **({} if self.steps is None else {"steps": self.steps})}

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> CallParts:
        """Inverse of :meth:`to_dict`."""
        prices = {kind: np.array(price, np.float64) for kind, price in stored["attachment_price"].items()}
        others = ("attachment_price", "steps")
        arrays: dict[str, Any] = {k: np.array(value, np.float64) for k, value in stored.items() if k not in others}
        arrays["implied"] = arrays["implied"].astype(bool)
        steps = stored.get("steps") and tuple(tuple(map(tuple, of_model)) for of_model in stored["steps"])
        return cls(**arrays, attachment_price=prices, steps=steps)


@dataclass(frozen=True, eq=False)
class AnswerTokens:
    """How long one answer is to each of N texts, by each of K models.

    Attributes:
        tokens: (N, K) expected output tokens, above 0.
        relative_std: (K,) standard deviation around them, relative to them.
    """

    tokens: np.ndarray
    relative_std: np.ndarray

    def within(self, bound: np.ndarray) -> np.ndarray:
        """(N, K) expected tokens where an answer is cut at ``bound``: those of a lognormal length of this spread."""
        spread = np.sqrt(np.log1p(self.relative_std**2))
        with np.errstate(divide="ignore", invalid="ignore"):
            room = np.log(bound / self.tokens)
            cut = self.tokens * ndtr(room / spread - spread / 2) + bound * ndtr(-room / spread - spread / 2)
        return np.where(np.isfinite(bound), np.minimum(cut, np.minimum(self.tokens, bound)), self.tokens)


def implied_parts(mean_cost: np.ndarray, mean_tokens: float) -> CallParts:
    """The parts if no price is known: a token beside the text costs the mean cost of a call per token of its text.

    Args:
        mean_cost: (K,) USD of a labelled call.
        mean_tokens: mean tokens of the labelled texts.
    """
    unknown = np.full(len(mean_cost), np.nan)
    return CallParts(
        input_rate=mean_cost / mean_tokens,
        implied=np.ones(len(mean_cost), bool),
        sent_beside=np.zeros(len(mean_cost)),
        output_tokens=np.full(len(mean_cost), ASSUMED_OUTPUT_TOKENS),
        output_share=unknown,
        attachment_price=dict.fromkeys(CAPABILITY, unknown),
    )


def call_parts(labels: LabelledInstructions, recorded: RecordedCosts, catalog: ModelCatalog | None) -> CallParts:
    """The parts of a call, from the catalog's prices and the token counts of labelled calls."""
    mean_cost, tokens = np.nanmean(recorded.cost, axis=0), proxy_tokens(labels.instruction)
    parts = implied_parts(mean_cost, float(tokens.mean()))
    for k in range(len(labels.models)):
        if labels.output_tokens is not None and np.isfinite(known := labels.output_tokens[:, k]).any():
            parts.output_tokens[k] = np.nanmean(known)
        if labels.input_tokens is not None and np.isfinite(beside := labels.input_tokens[:, k] - tokens).any():
            parts.sent_beside[k] = max(np.nanquantile(beside, _BESIDE_QUANTILE), 0.0)
    if catalog is None:
        return parts
    entries = {entry.name: entry for entry in catalog.models}
    priced = np.array([model in entries for model in labels.models])
    input_price, output_price = (
        np.array(
            [
                getattr(entry, name) * entry.share_paid * _PER_MILLION if (entry := entries.get(model)) else np.nan
                for model in labels.models
            ]
        )
        for name in ("input_price", "output_price")
    )
    output = parts.output_tokens * output_price
    share = np.clip(np.divide(output, mean_cost, out=np.zeros_like(output), where=mean_cost > 0), 0.0, 1.0)
    by_catalog = np.array([model in recorded.priced for model in labels.models])
    prices = [TokenPrices.of(entries[model]) if model in entries else None for model in labels.models]
    steps = tuple(steps_of(of_model) if of_model else () for of_model in prices)
    fees = np.array([float(p.request) if p and paid else 0.0 for p, paid in zip(prices, by_catalog, strict=True)])
    return replace(
        parts,
        input_rate=np.where(priced, input_price, parts.input_rate),
        implied=~priced,
        output_share=np.where(by_catalog, share, np.nan),
        attachment_price={
            kind: np.array([_attachment_price(entries.get(model), kind) for model in labels.models])
            for kind in CAPABILITY
        },
        request_price=fees if fees.any() else None,
        steps=steps if any(steps) else None,
    )


def price_parts(
    estimate: CostEstimate,
    batch: BatchInstructions,
    mean_cost: np.ndarray,
    parts: CallParts,
    answer: AnswerTokens | None = None,
) -> CostEstimate:
    """The estimate for whole requests, from the estimate for one answer to each of their texts.

    If nothing is sent or asked for beyond the texts, and calls have neither a price of their own nor tiers, the
    estimate is returned unchanged. Models whose costs the labels record have no price of a call: their costs include
    it. Their longest calls cost more for what is sent beside the text.

    Args:
        estimate: the estimate for the batch's texts.
        mean_cost: (K,) USD of a labelled call.
        answer: how long one answer is; None where it is in proportion to the cost.
    """
    if not batch.beyond_text and parts.request_price is None and parts.steps is None:
        return estimate
    n = len(batch)
    answers = np.nan_to_num(_or(batch.answers, n), nan=1.0)[:, None]
    bound = np.nan_to_num(_or(batch.output_bound, n), nan=np.inf)[:, None]
    known = np.isfinite(parts.output_share)
    if answer is None:
        level = np.divide(estimate.mean, mean_cost, out=np.ones_like(estimate.mean), where=mean_cost > 0)
        tokens, share = np.maximum(parts.output_tokens * level, 1e-9), np.where(known, parts.output_share, 1.0)
        capped = np.where(known, np.minimum(tokens, bound), tokens)
    else:
        tokens, share = answer.tokens, output_shares(estimate.mean, answer.tokens, mean_cost, parts)
        capped = answer.within(bound)
    output = share * estimate.mean
    times = answers * capped / tokens
    tokens_beside = np.maximum(batch.tokens_beside_text[:, None] - parts.sent_beside, 0.0)
    beside = tokens_beside * parts.input_rate
    attached = sum(
        np.nan_to_num(_or(getattr(batch, kind), n))[:, None] * np.nan_to_num(price)
        for kind, price in parts.attachment_price.items()
    )
    room = np.where(np.isfinite(bound), bound, 0.0) - np.minimum(capped, bound)
    most = answers * output / tokens * np.sqrt(capped * np.maximum(room, 0.0))
    most = np.where(known & np.isfinite(bound), most, np.inf)
    input_std = estimate.std * (1.0 - share)
    std = estimate.std * (1.0 + share * (times - 1.0))
    assumed = np.minimum(np.broadcast_to(estimate.assumed_error, estimate.mean.shape) * times, most)
    whole = replace(
        estimate,
        mean=estimate.mean + output * (times - 1.0) + beside + attached,
        std=np.minimum(std, np.hypot(input_std, most)),
        assumed_error=np.hypot(assumed, PROXY_ERROR * beside),
    )
    if parts.request_price is not None:
        whole = replace(whole, mean=whole.mean + parts.request_price)
    if parts.steps is None:
        return whole
    of_text = batch.tokens - batch.tokens_beside_text
    length = of_text[:, None] + parts.sent_beside + tokens_beside
    read, written = np.where(known, length, tokens_beside), np.where(known, answers * capped, 0.0)
    return price_long_calls(whole, parts.steps, length, read, written, PROXY_ERROR)


def output_shares(mean: np.ndarray, tokens: np.ndarray, mean_cost: np.ndarray, parts: CallParts) -> np.ndarray:
    """(N, K) share of each call's ``mean`` cost that pays for so many output ``tokens``; 1 where no price is known."""
    known = np.isfinite(parts.output_share) & (parts.output_tokens > 0)
    rate = np.divide(parts.output_share * mean_cost, parts.output_tokens, out=np.zeros_like(mean_cost), where=known)
    share = np.divide(rate * tokens, mean, out=np.zeros_like(mean), where=mean > 0)
    return np.where(known, np.minimum(share, 1.0), 1.0)


def _attachment_price(entry: ModelEntry | None, kind: str) -> float:
    price = None if entry is None else entry.attachment_price(kind)
    return np.nan if price is None else price


def _or(values: np.ndarray | None, n: int) -> np.ndarray:
    return np.full(n, np.nan) if values is None else values


def _plain(values: np.ndarray) -> list[float | None]:
    return [None if value != value else value for value in values.tolist()]
