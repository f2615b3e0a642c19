"""What a batch has spent and what is under way, request by request, in exact arithmetic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from routing_assets.answers.collect import Collected, collect
from routing_assets.batches.answers import Sent, collect_answers, sent_by
from routing_assets.batches.request_ids import replaced_ids
from routing_assets.batches.submissions.desk import Desk
from routing_assets.batches.submissions.ledger import SET_ASIDE, Submission
from routing_assets.batches.submissions.sent_files import ids_in, sent_file


@dataclass(frozen=True)
class Progress:
    """How far the requests of a batch have come.

    Attributes:
        estimate: by instruction, USD of the decision.
        answered: instructions with an answer from their model.
        under_way: instructions that a provider may be answering.
        times_sent: by instruction, how often it was sent.
        spent: USD of all calls that came back.
        budget: USD of the decision.
    """

    sent: Sent
    estimate: Mapping[str, Fraction]
    answered: frozenset[str]
    under_way: frozenset[str]
    times_sent: Mapping[str, int]
    spent: Fraction
    budget: Fraction

    @property
    def room(self) -> Fraction:
        """USD that are neither spent nor needed for what is under way."""
        return self.budget - self.spent - self.estimated(self.under_way)

    def with_under_way(self, instructions: Iterable[str]) -> Progress:
        """The same once these are sent, too."""
        return replace(self, under_way=self.under_way | frozenset(instructions))

    def estimated(self, instructions: Iterable[str]) -> Fraction:
        """USD that these instructions are estimated to cost."""
        return sum((self.estimate[name] for name in instructions), Fraction(0))


def progress_of(desk: Desk, decision: Mapping[str, Any], submissions: Iterable[Submission]) -> Progress:
    """The progress of a batch, from the files that were sent and those that were received."""
    sent, batch_id = sent_by(desk.store, decision), decision["batch_id"]
    estimate = estimates(sent)
    times, under_way = Counter[str](), set[str]()
    for of in submissions:
        if of.state == SET_ASIDE:
            continue
        names = instructions_in(ids_in(sent_file(desk.folders, of), of.provider), sent)
        times.update(names)
        under_way |= set(names) if of.is_open else set()
    found = collect_answers(desk.warehouse, desk.store, desk.folders, batch_id)
    answered = {
        name
        for (name, model), calls in found.calls.items()
        if sent.model.get(name) == model and any(answer.error is None for answer, _ in calls)
    }
    budget = Fraction(decision["budget"])
    return Progress(sent, estimate, frozenset(answered), frozenset(under_way), times, spent_on(found, estimate), budget)


def instructions_in(ids: list[str], sent: Sent) -> list[str]:
    """The instructions of requests."""
    replaced = replaced_ids(ids, sent.model)
    return [replaced.get(name, name) for name in ids]


def estimates(sent: Sent) -> dict[str, Fraction]:
    """By instruction, USD of the decision."""
    names, costs = (sent.routed[column].to_pylist() for column in ("instruction_id", "cost"))
    return {name: Fraction(cost) for name, cost in zip(names, costs, strict=True)}


def billed(sent: Sent, results: Path) -> Fraction:
    """USD of the results in a file."""
    estimate = estimates(sent)
    found = collect(sent.answers_in(results).answers, sent.model, sent.names, sent.prices)
    return spent_on(found, estimate)


def spent_on(found: Collected, estimate: Mapping[str, Fraction]) -> Fraction:
    """USD of calls. An answer that does not tell counts as estimated, and a call that failed counts nothing then."""
    total = found.spent
    for (name, _), calls in found.calls.items():
        unknown = sum(cost.usd is None and answer.error is None for answer, cost in calls)
        total += unknown * estimate.get(name, Fraction(0))
    return total
