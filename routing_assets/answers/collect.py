"""The answers to a batch: from all its files, each once, matched with the models that the batch was routed to."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

import pyarrow as pa

from routing_assets.answers.answer import Answer
from routing_assets.answers.costs import Cost, cost_of
from routing_assets.answers.models import ModelNames
from routing_assets.pricing.token_prices import TokenPrices

SCHEMA = pa.schema(
    [
        ("instruction_id", pa.string()),
        ("model", pa.string()),
        ("attempt", pa.int32()),
        ("newest", pa.bool_()),
        ("text", pa.string()),
        ("other_texts", pa.list_(pa.string())),
        ("finish_reason", pa.string()),
        ("input_tokens", pa.int64()),
        ("cached_tokens", pa.int64()),
        ("output_tokens", pa.int64()),
        ("reasoning_tokens", pa.int64()),
        ("latency_s", pa.float64()),
        ("cost", pa.float64()),
        ("cost_unknown", pa.string()),
        ("error", pa.string()),
    ]
)
"""The table of answers has a row for each call, including failed ones. ``newest`` marks the row that counts for an
instruction and its model: the newest answer, or the newest failure where there is no answer. ``cost`` is in USD;
``cost_unknown`` says why it is null. ``other_texts`` are those of further answers, where a request asked for several.
"""
Pair = tuple[str, str | None]


@dataclass(frozen=True, eq=False)
class Collected:
    """Every call of a batch with its cost, by instruction and model, oldest first."""

    calls: dict[Pair, list[tuple[Answer, Cost]]]

    def to_arrow(self) -> pa.Table:
        """The table of answers, in the order in which instructions and models first occur."""
        rows: dict[str, list[object]] = {name: [] for name in SCHEMA.names}
        for calls in self.calls.values():
            counts = _newest(calls)
            for answer, cost in calls:
                usd = None if cost.usd is None else float(cost.usd)
                about: dict[str, object] = {"newest": answer is counts, "cost": usd, "cost_unknown": cost.unknown}
                about["other_texts"] = answer.other_texts or None
                for name, values in rows.items():
                    values.append(about[name] if name in about else getattr(answer, name))
        return pa.table(rows, schema=SCHEMA)

    @property
    def spent(self) -> Fraction:
        """USD of all calls whose cost is known, exactly."""
        return sum(
            (cost.usd for calls in self.calls.values() for _, cost in calls if cost.usd is not None), Fraction(0)
        )


def collect(
    answers: Iterable[Answer],
    routed: Mapping[str, str],
    names: ModelNames,
    prices: Mapping[str, TokenPrices],
    second: Mapping[str, str] | None = None,
    since: float = math.inf,
) -> Collected:
    """Match answers with the models of a decision, drop repeated ones, number attempts and price them.

    Args:
        answers: of all files, in any order. The same call in two files counts once.
        routed: by instruction, the model that it was routed to. It is taken where the provider names no model.
        second: by instruction, the model that was asked after the first answer. It is taken for a new answer of no
            named model that was made after ``since`` (seconds since 1970).
    """
    calls: dict[Pair, dict[Answer, Answer]] = {}
    for answer in answers:
        sent = routed.get(answer.instruction_id)
        if answer.model is None and second and answer.instruction_id in second and (answer.created or 0.0) > since:
            first = replace(answer, model=sent, created=None)
            if first not in calls.get((answer.instruction_id, sent), {}):
                sent = second[answer.instruction_id]
        model = sent if answer.model is None else names.model(answer.model, sent) or answer.model
        named = answer if answer.model == model else replace(answer, model=model)
        calls.setdefault((named.instruction_id, model), {}).setdefault(replace(named, created=None), named)
    return Collected(
        {pair: [(a, cost_of(a, prices)) for a in _numbered(found.values())] for pair, found in calls.items()}
    )


def _numbered(found: Iterable[Answer]) -> list[Answer]:
    ordered = sorted(found, key=lambda answer: answer.created or 0.0)
    return [answer if answer.attempt == n else replace(answer, attempt=n) for n, answer in enumerate(ordered, start=1)]


def _newest(calls: list[tuple[Answer, Cost]]) -> Answer:
    """The newest answer; where there is none, the newest failure."""
    answers = [answer for answer, _ in calls]
    return next((answer for answer in reversed(answers) if answer.error is None), answers[-1])
