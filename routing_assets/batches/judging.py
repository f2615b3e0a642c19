"""A judge's requests go out and its verdicts come back: like a batch, under a budget of their own.

The requests are derived from the answers and the verdicts that are there, so they can be written again at any time.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import pyarrow as pa

from routing_assets.answers.answer import Answer
from routing_assets.answers.collect import Collected, collect
from routing_assets.answers.costs import token_prices
from routing_assets.answers.graders.grade import Gradable, Grade
from routing_assets.answers.graders.judge import BothOrders, Judge, Question, Verdicts
from routing_assets.answers.models import ModelNames
from routing_assets.batches.folders import BatchFolders
from routing_assets.batches.handoff import hand_off
from routing_assets.batches.outbox import JUDGE, MANIFEST, next_decision
from routing_assets.datasets.tokens import proxy_tokens_of
from routing_assets.foundation.errors import InvalidInput
from routing_assets.pricing.catalog import ModelCatalog
from routing_assets.pricing.catalog_table import catalog_table

NO_PAIRS = BothOrders(0, 0)
OVERHEAD_TOKENS = 16
"""Of a request, beyond its text."""


def prefix_of(batch_id: str) -> str:
    """What the ids of a batch's questions to judges begin with; letters and digits, which every provider takes."""
    return f"judge{hashlib.sha256(batch_id.encode()).hexdigest()[:8]}"


def is_verdict(name: str, batch_id: str) -> bool:
    """Whether an answer is a verdict on one of this batch's answers."""
    return name.startswith(prefix_of(batch_id)) and len(name) == len(prefix_of(batch_id)) + 24


@dataclass(frozen=True, eq=False)
class Judging:
    """What is known of a batch's verdicts.

    Attributes:
        grader: the judge with the verdicts that came back.
        to_ask: the questions that are handed off now, each with its estimated USD.
        withheld: questions for which the budget has nothing left.
        spent: USD of the verdicts so far.
        orders: how often they change with the order of two texts.
    """

    grader: Verdicts
    to_ask: list[tuple[Question, Fraction]] = field(default_factory=list)
    withheld: int = 0
    spent: Fraction = Fraction(0)
    orders: BothOrders = NO_PAIRS

    @property
    def asked_usd(self) -> Fraction:
        """Estimated USD of the questions that are handed off now."""
        return sum((usd for _, usd in self.to_ask), Fraction(0))


@dataclass(frozen=True, eq=False)
class Questions:
    """Everything that a judge is to say of a batch.

    Attributes:
        grader: the judge with the verdicts that came back.
        asked: for each answer its questions, or why there are none.
        estimate: USD by question.
        spent: USD of the verdicts so far.
    """

    grader: Verdicts
    asked: list[tuple[Question, ...] | Grade]
    estimate: dict[str, Fraction]
    spent: Fraction

    def chosen(self, month_usd: Fraction | None = None) -> Judging:
        """What to ask now, in the order of the answers: all questions about one answer, or none. Bills and estimates
        together keep the judge's budget and, for what is asked now, ``month_usd``.
        """
        own = Fraction(str(self.grader.judge.budget_usd))
        short = month_usd is not None and month_usd < own
        room = (month_usd if month_usd is not None and short else own) - self.spent
        to_ask, withheld, seen = list[tuple[Question, Fraction]](), set[str](), set[str]()
        for of_answer in self.asked:
            if isinstance(of_answer, Grade):
                continue
            new = {q.id: q for q in of_answer if q.id not in self.grader.texts and q.id not in seen}
            usd = sum((self.estimate[name] for name in new), Fraction(0))
            if usd > room:
                withheld |= new.keys()
                continue
            room -= usd
            seen |= new.keys()
            to_ask += [(question, self.estimate[name]) for name, question in new.items()]
        withheld -= seen
        whose = "the month's money" if short else f"the judge's budget of {self.grader.judge.budget_usd:g} USD"
        why = dict.fromkeys(withheld, f"not judged: {whose} has too little left")
        grader = replace(self.grader, why_none={**self.grader.why_none, **why})
        return Judging(grader, to_ask, len(withheld), self.spent, grader.both_orders(self.asked))


def questions_of(
    judge: Judge, batch_id: str, answers: Sequence[Gradable], came: Iterable[Answer], catalog: ModelCatalog | None
) -> Questions:
    """What to ask about the answers, and the verdicts and bills that came back.

    Args:
        came: every answer of a judge of this batch that came back, of an earlier judge too.
        catalog: of the prices in force.

    Raises:
        InvalidInput: the judge has no price.
    """
    if catalog is None or judge.model not in catalog.names:
        raise InvalidInput(
            f"the judge {judge.model!r} has no price in the catalog in force",
            source="grader.judge.model",
            remedy="Add it to the catalog, and put that in force: routing-assets prices CATALOG.",
        )
    prices = token_prices(catalog)
    asked = judge.questions(answers, prefix_of(batch_id))
    questions = {q.id: q for of_answer in asked if not isinstance(of_answer, Grade) for q in of_answer}
    estimate = {
        name: prices[judge.model].usd(math.ceil(proxy_tokens_of(q.prompt)) + OVERHEAD_TOKENS, judge.max_tokens)
        for name, q in questions.items()
    }
    texts: dict[str, str] = {}
    why_none: dict[str, str] = {}
    spent = Fraction(0)
    found = bills(came, dict.fromkeys(questions, judge.model), catalog)
    for (name, model), calls in found.calls.items():
        for call, cost in calls:
            # What a verdict without token counts cost is unknown, and not nothing.
            spent += cost.usd if cost.usd is not None else estimate.get(name, Fraction(0)) if not call.error else 0
            if model != judge.model:
                why_none.setdefault(name, f"the verdict is of {model}, not of the judge")
            elif call.error is None:
                texts[name] = call.text or ""
            else:
                why_none[name] = f"the judge's call failed: {call.error}"
    return Questions(Verdicts(judge, prefix_of(batch_id), texts, why_none), asked, estimate, spent)


def bills(verdicts: Iterable[Answer], asked: Mapping[str, str], catalog: ModelCatalog) -> Collected:
    """The verdicts with their costs.

    Args:
        asked: by question, the judge that was asked.
        catalog: of the prices in force.
    """
    also = {entry.api_name: entry.name for entry in catalog.models if entry.api_name}
    return collect(verdicts, asked, ModelNames(catalog.names, also), token_prices(catalog))


def write_questions(
    folders: BatchFolders, batch_id: str, run_id: str, judging: Judging, catalog: ModelCatalog | None
) -> None:
    """Write the requests to the judge into ``outbox/<batch>/judge``, in place of those before; none leave no folder."""
    folder, staged = folders.outbox / batch_id / JUDGE, folders.staged / batch_id / JUDGE
    replace_questions(folder, staged, batch_id, run_id, judging, catalog)


def replace_questions(
    folder: Path, staged: Path, batch_id: str, run_id: str | None, judging: Judging, catalog: ModelCatalog | None
) -> None:
    """Write the requests to the judge into ``folder``, by way of ``staged``; none leave no folder."""
    if not judging.to_ask:
        (folder / MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        return
    judge, questions = judging.grader.judge, [question for question, _ in judging.to_ask]
    ids = pa.array([question.id for question in questions], pa.string())
    instructions = pa.table({"instruction_id": ids, "instruction": [question.prompt for question in questions]})
    routed = pa.table(
        {
            "instruction_id": ids,
            "model": [judge.model] * len(questions),
            "expected_success": pa.array([0.0] * len(questions)),
            "cost": [float(usd) for _, usd in judging.to_ask],
        }
    ).replace_schema_metadata({"summary": json.dumps({"catalog": catalog_table(catalog).to_pylist()})})
    with next_decision(folder, staged) as new:
        requests = _requests(judge, questions)
        hand_off(instructions, routed, new, batch_id=batch_id, run_id=run_id, originals=requests)


def _requests(judge: Judge, questions: Iterable[Question]) -> Iterator[str]:
    """Each question as a chat request, which the hand-off writes in the form of the judge's provider."""
    for question in questions:
        messages = [{"role": "user", "content": question.prompt}]
        body = {"model": judge.model, "messages": messages, "max_completion_tokens": judge.max_tokens}
        yield json.dumps({"custom_id": question.id, "method": "POST", "url": "/v1/chat/completions", "body": body})
