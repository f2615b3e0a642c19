"""A judge's requests go out and its verdicts come back: like a batch, under a budget of their own.

The requests are derived from the answers and the verdicts that are there, so they can be written again at any time.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import pyarrow as pa

from routing_assets.answers.answer import Answer
from routing_assets.answers.collect import collect
from routing_assets.answers.costs import TokenPrices
from routing_assets.answers.graders.grade import Gradable, Grade
from routing_assets.answers.graders.judge import Judge, Question, Verdicts
from routing_assets.answers.models import ModelNames
from routing_assets.batches.folders import BatchFolders
from routing_assets.batches.handoff import hand_off
from routing_assets.batches.outbox import MANIFEST, next_decision
from routing_assets.datasets.tokens import proxy_tokens_of
from routing_assets.foundation.errors import InvalidInput
from routing_assets.pricing.catalog import ModelCatalog
from routing_assets.pricing.catalog_table import catalog_table

JUDGE = "judge"
"""The folder within the outbox folder of a batch."""
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
    """

    grader: Verdicts
    to_ask: list[tuple[Question, Fraction]] = field(default_factory=list)
    withheld: int = 0
    spent: Fraction = Fraction(0)


def judging_of(
    judge: Judge, batch_id: str, answers: Sequence[Gradable], came: Iterable[Answer], catalog: ModelCatalog | None
) -> Judging:
    """Read the verdicts, and choose what to ask now, in the order of the answers: bills and estimates together keep the
    judge's budget. All questions about one answer are asked, or none.

    Args:
        came: every answer of the judge that came back.
        catalog: of the prices in force.

    Raises:
        InvalidInput: the judge has no price.
    """
    entry = catalog[judge.model] if catalog and judge.model in catalog.names else None
    if entry is None:
        raise InvalidInput(
            f"the judge {judge.model!r} has no price in the catalog in force",
            source="grader.judge.model",
            remedy="Add it to the catalog, and put that in force: routing-assets prices CATALOG.",
        )
    prices, also = {judge.model: TokenPrices.of(entry)}, {entry.api_name: judge.model} if entry.api_name else {}
    asked = judge.questions(answers, prefix_of(batch_id))
    questions = {q.id: q for of_answer in asked if not isinstance(of_answer, Grade) for q in of_answer}
    estimate = {
        name: prices[judge.model].usd(math.ceil(proxy_tokens_of(q.prompt)) + OVERHEAD_TOKENS, judge.max_tokens)
        for name, q in questions.items()
    }
    texts: dict[str, str] = {}
    why_none: dict[str, str] = {}
    spent = Fraction(0)
    found = collect(came, dict.fromkeys(questions, judge.model), ModelNames((judge.model,), also), prices)
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
    grader = Verdicts(judge, prefix_of(batch_id), texts, why_none)
    return _chosen(grader, asked, estimate, spent)


def _chosen(
    grader: Verdicts, asked: list[tuple[Question, ...] | Grade], estimate: dict[str, Fraction], spent: Fraction
) -> Judging:
    budget = Fraction(str(grader.judge.budget_usd))
    room, to_ask, withheld, seen = budget - spent, list[tuple[Question, Fraction]](), set[str](), set[str]()
    none_left = dict(grader.why_none)
    for of_answer in asked:
        if isinstance(of_answer, Grade):
            continue
        new = {q.id: q for q in of_answer if q.id not in grader.texts and q.id not in seen}
        usd = sum((estimate[name] for name in new), Fraction(0))
        if usd > room:
            withheld |= new.keys()
            continue
        room -= usd
        seen |= new.keys()
        to_ask += [(question, estimate[name]) for name, question in new.items()]
    withheld -= seen
    why = f"not judged: the judge's budget of {grader.judge.budget_usd:g} USD has too little left"
    none_left |= dict.fromkeys(withheld, why)
    return Judging(Verdicts(grader.judge, grader.prefix, grader.texts, none_left), to_ask, len(withheld), spent)


def write_questions(
    folders: BatchFolders, batch_id: str, run_id: str, judging: Judging, catalog: ModelCatalog | None
) -> None:
    """Write the requests to the judge into ``outbox/<batch>/judge``, in place of those before; none leave no folder."""
    folder = folders.outbox / batch_id / JUDGE
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
    with next_decision(folder, folders.staged / batch_id / JUDGE) as new:
        requests = _requests(judge, questions)
        hand_off(instructions, routed, new, batch_id=batch_id, run_id=run_id, originals=requests)


def _requests(judge: Judge, questions: Iterable[Question]) -> Iterator[str]:
    """Each question as a chat request, which the hand-off writes in the form of the judge's provider."""
    for question in questions:
        messages = [{"role": "user", "content": question.prompt}]
        body = {"model": judge.model, "messages": messages, "max_completion_tokens": judge.max_tokens}
        yield json.dumps({"custom_id": question.id, "method": "POST", "url": "/v1/chat/completions", "body": body})
