"""What a judge costs is part of the month's money and of the journal, whether or not it is a batch of its own."""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from helpers import decide
from provider_lines import chat

from routing_assets.allocation import AllocationProblem
from routing_assets.answers.answer import Answer
from routing_assets.answers.forms import read_answer
from routing_assets.answers.graders.grade import Gradable
from routing_assets.answers.graders.judge import Judge
from routing_assets.audit.chain import audit_journal
from routing_assets.batches.judge_money import commit_judging
from routing_assets.batches.judging import Judging, Questions, questions_of
from routing_assets.batches.money import commit_budget, month_state, release_commitments, standing, undecided_runs
from routing_assets.batches.policy import RoutingSettings
from routing_assets.home import Home
from routing_assets.pacing import PastBatch, PeriodBudget, PeriodExhausted
from routing_assets.pricing.catalog import ModelCatalog, ModelEntry

CATALOG = ModelCatalog((ModelEntry("large", 2.5, 10.0), ModelEntry("judge-1", 1000.0, 4000.0)))
ANSWERS = [Gradable(f"q{n}", "large", f"answer {n}", None, f"instruction {n}") for n in range(4)]
MARCH, APRIL = datetime(2026, 3, 5, tzinfo=UTC), datetime(2026, 4, 1, 9, tzinfo=UTC)
JUDGE = Judge(model="judge-1", budget_usd=10.0, max_tokens=100)


def questions(came: list[Answer] | None = None, judge: Judge = JUDGE) -> Questions:
    return questions_of(judge, "weekly", ANSWERS, came or [], CATALOG)


ONE = questions().chosen().asked_usd / 4
"""USD: the questions are equally long."""


def verdicts(judging: Judging, tokens: int, model: str = "judge-1") -> list[Answer]:
    usage = {"prompt_tokens": 0, "completion_tokens": tokens}
    return [read_answer(chat(question.id, "Verdict: right", model, usage=usage)) for question, _ in judging.to_ask]


def month(usd: float, **more: Any) -> RoutingSettings:
    return RoutingSettings(period={"budget_usd": usd, **more})


def routed(home: Home) -> Home:
    home.create()
    home.warehouse.create()
    decide(home.warehouse, "weekly", "run", home.root / "routed.parquet")
    return home


def held(home: Home) -> dict[str, PastBatch]:
    with home.warehouse.reader() as connection:
        return dict(standing(connection))


def test_estimates_are_committed_at_the_hand_off_and_give_way_to_bills(home: Home) -> None:
    first = commit_judging(routed(home).warehouse, "weekly", questions(), month(10.0), MARCH)
    assert held(home)["weekly/judge"].usd == pytest.approx(float(4 * ONE))
    came = verdicts(first, tokens=5)
    second = commit_judging(home.warehouse, "weekly", questions(came[:3]), month(10.0), MARCH)
    assert second.spent == 3 * 5 * Fraction(4000, 10**6)
    assert held(home)["weekly/judge"].usd == pytest.approx(float(second.spent + ONE))
    commit_judging(home.warehouse, "weekly", questions(came), month(10.0), MARCH)
    assert held(home)["weekly/judge"].usd == pytest.approx(4 * 5 * 0.004)
    assert audit_journal(home.warehouse, home.folders).found == ()
    with home.warehouse.transaction() as connection:
        connection.execute("update commitments set usd = 0 where batch_id = 'weekly/judge'")
    assert any("batch weekly/judge" in fault for fault in audit_journal(home.warehouse, home.folders).found)


def test_batches_get_only_what_the_judge_leaves_of_the_month(home: Home) -> None:
    room = float(4 * ONE) + 0.5
    commit_judging(routed(home).warehouse, "weekly", questions(), month(room), MARCH)
    problem = AllocationProblem(np.full((8, 2), [0.5, 0.9]), np.array([0.01, 1.0]), np.inf)
    paced = commit_budget(home.warehouse, "next", "other", problem, month(room), MARCH)
    assert 0.08 <= paced.budget_usd <= 0.5
    with pytest.raises(PeriodExhausted):
        commit_budget(home.warehouse, "next", "other", problem, month(float(4 * ONE) + 0.01), MARCH)


def test_a_judge_asks_no_more_than_the_month_can_pay_and_says_so(home: Home) -> None:
    for usd, asked in ((0.0, 0), (float(ONE) * 2.5, 2), (float(ONE) * 0.9, 2)):
        judging = commit_judging(routed(home).warehouse, "weekly", questions(), month(usd), MARCH)
        assert (len(judging.to_ask), judging.withheld) == (asked, 4 - asked), "what is held stays"
        assert "the month's money has too little left" in list(judging.grader.grades(ANSWERS))[3].reason


def test_bills_count_although_the_month_cannot_pay_them(home: Home) -> None:
    first = commit_judging(routed(home).warehouse, "weekly", questions(), month(10.0), MARCH)
    dear = verdicts(first, tokens=1000)[:1]
    second = commit_judging(home.warehouse, "weekly", questions(dear), month(float(ONE)), MARCH)
    assert second.to_ask == []
    assert held(home)["weekly/judge"].usd == pytest.approx(4.0)


def test_the_bills_of_an_earlier_judge_stay_counted(home: Home) -> None:
    other = Judge(model="large", budget_usd=10.0, max_tokens=100)
    came = verdicts(questions(judge=other).chosen(), tokens=50, model="large-2026-01-01")
    judging = commit_judging(routed(home).warehouse, "weekly", questions(came), month(10.0), MARCH)
    assert judging.spent == 4 * 50 * Fraction(10, 10**6)
    assert len(judging.to_ask) == 4


def test_money_counts_to_the_month_that_paid_until_more_is_asked(home: Home) -> None:
    first = commit_judging(routed(home).warehouse, "weekly", questions(), month(10.0), MARCH)
    came = verdicts(first, tokens=5)
    commit_judging(home.warehouse, "weekly", questions(came), month(10.0), APRIL)
    assert held(home)["weekly/judge"].at == MARCH
    dear = verdicts(first, tokens=1000)
    commit_judging(home.warehouse, "weekly", questions(dear), month(10.0), APRIL)
    assert held(home)["weekly/judge"].at == APRIL
    state = month_state(PeriodBudget(10.0), list(held(home).values()), APRIL)
    assert float(state.committed()) == pytest.approx(16.0)


def test_a_new_decision_on_the_batch_frees_none_of_it(home: Home) -> None:
    commit_judging(routed(home).warehouse, "weekly", questions(), month(10.0), MARCH)
    decide(home.warehouse, "weekly", "second round", home.root / "routed.parquet")
    assert held(home)["weekly/judge"].usd == pytest.approx(float(4 * ONE))


def test_without_a_period_the_money_is_still_in_the_ledger(home: Home) -> None:
    commit_judging(routed(home).warehouse, "weekly", questions(), RoutingSettings(), MARCH)
    release_commitments(home.warehouse, undecided_runs(home.warehouse))
    assert held(home)["weekly/judge"].usd == pytest.approx(float(4 * ONE))
    before = home.warehouse.journal_head()
    commit_judging(home.warehouse, "weekly", questions(), RoutingSettings(), MARCH)
    assert home.warehouse.journal_head() == before, "nothing new was asked"
