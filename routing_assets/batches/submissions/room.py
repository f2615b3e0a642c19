"""What a batch has spent and what is under way, request by request, in exact arithmetic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from routing_assets.answers.collect import Collected, collect
from routing_assets.batches.answers import Sent, answers_to
from routing_assets.batches.request_ids import replaced_ids
from routing_assets.batches.submissions.desk import Desk
from routing_assets.batches.submissions.ledger import SET_ASIDE, Submission
from routing_assets.batches.submissions.sent_files import ids_in, sent_file

Call = tuple[str, str]
"""An instruction, and the model that is asked."""


@dataclass(frozen=True)
class Progress:
    """How far the calls of a batch have come.

    Attributes:
        estimate: USD of each call of the decision.
        answered: calls that have an answer.
        under_way: calls that a provider may be answering, or that it answered in a form that cannot be read.
        times_sent: how often each call was sent.
        spent: USD of all calls that came back.
        budget: USD of the decision.
    """

    sent: Sent
    estimate: Mapping[Call, Fraction]
    answered: frozenset[Call]
    under_way: frozenset[Call]
    times_sent: Mapping[Call, int]
    spent: Fraction
    budget: Fraction

    @property
    def room(self) -> Fraction:
        """USD that are neither spent nor needed for what is under way."""
        return self.budget - self.spent - self.estimated(self.under_way)

    def with_under_way(self, calls: Iterable[Call]) -> Progress:
        """The same once these are sent, too."""
        return replace(self, under_way=self.under_way | frozenset(calls))

    def estimated(self, calls: Iterable[Call]) -> Fraction:
        """USD that these calls are estimated to cost."""
        return sum((self.estimate[call] for call in calls), Fraction(0))


def progress_of(desk: Desk, decision: Mapping[str, Any], sent: Sent, submissions: Iterable[Submission]) -> Progress:
    """The progress of a batch, from the files that were sent and those that were received."""
    times, under_way = Counter[Call](), set[Call]()
    for of in submissions:
        if of.state == SET_ASIDE or of.of_judge:
            continue
        calls = calls_in(sent_file(desk.folders, of), of.provider, of.model, sent)
        times.update(calls)
        under_way |= set(calls) if of.holds_calls else set()
    estimate = estimates(sent)
    found = answers_to(sent, desk.folders)
    answered = frozenset(
        (name, str(model))
        for (name, model), calls in found.calls.items()
        if any(answer.error is None for answer, _ in calls)
    )
    spent, budget = spent_on(found, estimate), Fraction(decision["budget"])
    return Progress(sent, estimate, answered, frozenset(under_way - answered), times, spent, budget)


def calls_in(path: Path, provider: str, model: str, sent: Sent) -> list[Call]:
    """The calls of a request file."""
    ids = ids_in(path, provider)
    replaced = replaced_ids(ids, sent.model)
    return [(replaced.get(name, name), model) for name in ids]


def estimates(sent: Sent) -> dict[Call, Fraction]:
    """USD of each call of a decision, and of its second round."""
    return {
        (name, model): Fraction(cost)
        for calls in (sent.routed, sent.second.calls)
        if calls is not None
        for name, model, cost in zip(*(calls[c].to_pylist() for c in ("instruction_id", "model", "cost")), strict=True)
    }


def billed(sent: Sent, results: Path) -> Fraction:
    """USD of the results in a file."""
    answers, second = sent.answers_in(results).answers, sent.second
    found = collect(answers, sent.model, sent.names, sent.prices, second.model, second.since)
    return spent_on(found, estimates(sent))


def spent_on(found: Collected, estimate: Mapping[Call, Fraction]) -> Fraction:
    """USD of calls. An answer that does not tell counts as estimated, and a call that failed counts nothing then."""
    total = found.spent
    for (name, model), calls in found.calls.items():
        unknown = sum(cost.usd is None and answer.error is None for answer, cost in calls)
        total += unknown * estimate.get((name, str(model)), Fraction(0))
    return total
