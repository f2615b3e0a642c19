"""A dispatched batch is sent within its money, found again after a crash, fetched, and what failed is sent again."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest
from batch_apis import BatchApis, Plan
from submitted import MODELS, desk, history, route, states, take_in, usd

from routing_assets.answers.graders.judge import Judge
from routing_assets.audit.chain import audit_journal
from routing_assets.audit.daily_report import day_report
from routing_assets.batches.known import outcome_files
from routing_assets.batches.outcomes import receive_outcomes
from routing_assets.batches.submissions import advance as advancing
from routing_assets.batches.submissions.advance import advance
from routing_assets.batches.submissions.ledger import submissions_of
from routing_assets.batches.submissions.look import look
from routing_assets.cli.doctor import results
from routing_assets.foundation.errors import InvalidInput
from routing_assets.home import Home
from routing_assets.storage.warehouse import Warehouse

ALL = ("anthropic", "gemini", "openai")
JUDGE = Judge(model="large", budget_usd=1.0, prompt="{instruction} {answer} Verdict: right", max_tokens=50)


@pytest.fixture
def batch(home: Home) -> str:
    """A batch of three requests to each of three providers, dispatched."""
    return route(home)


def test_a_batch_is_sent_fetched_and_graded(home: Home, apis: BatchApis, batch: str) -> None:
    at = desk(home, apis)
    assert look(at).batches.keys() == {batch}
    assert advance(at, batch) == []
    assert states(home) == [(provider, 0, "submitted") for provider in ALL]
    assert look(at).batches == {}
    apis.pass_time(31)
    assert look(at).batches.keys() == {batch}
    advance(at, batch)
    assert states(home) == [(provider, 0, "fetched") for provider in ALL]
    recorded = take_in(home)
    assert (recorded.realised.judged, recorded.realised.realised_success, recorded.to_resend) == (9, 1.0, 0)
    assert set(apis.paid.values()) == {1}
    assert look(at).batches == {}
    for of in submissions_of(home.warehouse):
        assert history(home, of) == ["intended", "sending", "submitted", "fetched"]
        assert of.usd == pytest.approx(float(3 * usd(of.model)))
    assert audit_journal(home.warehouse, home.folders).found == ()


def test_a_batch_that_is_not_dispatched_is_sent_only_where_the_policy_says_so(home: Home, apis: BatchApis) -> None:
    batch = route(home, dispatch=False)
    assert look(desk(home, apis)).batches == {}
    with pytest.raises(InvalidInput, match="batch 'weekly' is not dispatched"):
        advance(desk(home, apis), batch)
    at = desk(home, apis, when="routed")
    assert look(at).batches.keys() == {batch}
    advance(at, batch)
    assert len(apis.jobs) == 3


def test_what_failed_is_sent_again_within_the_money_until_it_is_set_aside(home: Home, apis: BatchApis) -> None:
    batch, at = route(home, models=["large"], size=4), desk(home, apis, resends=2)
    apis.fails = lambda prompt: prompt.endswith("question 3")
    said = []
    while batch in look(at).batches:
        said += advance(at, batch)
        apis.pass_time(31)
        said += advance(at, batch)
        assert take_in(home).to_resend == 1
    assert "is set aside: some of its requests were sent 3 times and failed" in said[-1]
    assert states(home) == [("openai", n, "fetched") for n in range(3)] + [("openai", 3, "set aside")]
    assert advance(at, batch) == []
    assert [len(job.requests) for job in apis.jobs] == [4, 1, 1]
    assert set(apis.paid.values()) == {1}


ALL_FAIL = Plan(failing=frozenset({0, 1, 2}))
ONCE_EACH = {("openai", 0), ("gemini", 1), ("anthropic", 2)}


@pytest.mark.parametrize(
    ("provider", "plan"),
    [
        pytest.param(provider, plan, marks=() if (provider, n) in ONCE_EACH else pytest.mark.slow)
        for provider in ("openai", "gemini", "anthropic")
        for n, plan in enumerate((Plan("expired"), Plan("failed"), ALL_FAIL))
    ],
)
def test_what_expired_or_failed_as_a_whole_is_sent_again(
    home: Home, apis: BatchApis, provider: str, plan: Plan
) -> None:
    model = MODELS[["openai", "anthropic", "gemini"].index(provider)]
    batch, at = route(home, models=[model], size=3), desk(home, apis)
    apis.plans.append(plan)
    for _ in range(2):
        advance(at, batch)
        apis.pass_time(31)
        advance(at, batch)
        take_in(home)
    first, second = (of.state for of in submissions_of(home.warehouse))
    assert second == "fetched"
    assert first == {"done": "fetched", "failed": "fetched" if provider == "anthropic" else "failed"}.get(
        plan.state, "expired"
    )
    assert sorted(apis.paid.values()) == [1, 1, 1]
    assert take_in(home).realised.judged == 3


def test_results_that_are_not_whole_are_waited_for(home: Home, apis: BatchApis, batch: str) -> None:
    at = desk(home, apis)
    apis.plan = lambda: Plan(lacking=frozenset({1}))
    advance(at, batch)
    apis.pass_time(31)
    assert len([line for line in advance(at, batch) if "the results are not whole yet" in line]) == 3
    assert states(home) == [(provider, 0, "submitted") for provider in ALL]
    apis.pass_time(10)
    advance(at, batch)
    assert take_in(home).realised.judged == 9


def test_results_that_are_cut_off_are_fetched_again_and_kept_once(home: Home, apis: BatchApis, batch: str) -> None:
    at = desk(home, apis)
    advance(at, batch)
    apis.pass_time(31)
    apis.faults["results"] = deque(["half", "503", "half"])
    assert len(advance(at, batch)) == 3
    assert outcome_files(home.folders, batch) == []
    advance(at, batch)
    assert len(outcome_files(home.folders, batch)) == 3
    assert take_in(home).realised.judged == 9


@pytest.mark.parametrize("provider", ["openai", "gemini", "anthropic"])
def test_a_job_whose_creation_was_not_answered_is_found_and_not_paid_for_again(
    home: Home, apis: BatchApis, provider: str
) -> None:
    model = MODELS[["openai", "anthropic", "gemini"].index(provider)]
    batch, at = route(home, models=[model], size=3), desk(home, apis)
    apis.faults["create"] = deque(["cut"])
    assert "waits" in advance(at, batch)[0]
    assert states(home) == [(provider, 0, "sending")]
    for _ in range(5):  # Anthropic's job is known for sure only by its results
        advance(at, batch)
        apis.pass_time(16)
    advance(at, batch)
    assert states(home) == [(provider, 0, "fetched")]
    assert sorted(apis.paid.values()) == [1, 1, 1]
    assert len(apis.jobs) == 1


@pytest.mark.parametrize("provider", ["openai", "gemini", "anthropic"])
def test_a_call_that_created_nothing_is_made_again_once_that_is_certain(
    home: Home, apis: BatchApis, provider: str
) -> None:
    model = MODELS[["openai", "anthropic", "gemini"].index(provider)]
    batch, at = route(home, models=[model], size=3), desk(home, apis)
    apis.faults["create"] = deque(["500"])
    other = [(name, "of another program") for name in ("a", "b", "c")]
    apis.add(provider, "{}" if provider == "openai" else "", other)
    advance(at, batch)
    apis.pass_time(10)
    assert "may still have created a job" in " ".join(advance(at, batch)) or provider == "anthropic"
    assert len(apis.jobs) == 1
    apis.pass_time(21)
    assert look(at).batches.keys() == {batch}
    advance(at, batch)
    assert states(home) == [(provider, 0, "submitted")]
    assert [len(job.requests) for job in apis.jobs] == [3, 3]


def test_two_batches_that_look_alike_are_not_taken_for_each_other(home: Home, apis: BatchApis) -> None:
    """Anthropic names no jobs: after a crash, no other job of as many requests is sent until its fate is known."""
    at = desk(home, apis)
    for batch in ("one", "two"):
        route(home, batch, 3, models=["medium"])
    apis.faults["create"] = deque(["cut"])
    advance(at, "one")
    assert "one of as many requests may be under way" in advance(at, "two")[0]
    for _ in range(8):
        apis.pass_time(16)
        for batch in look(at).batches:
            advance(at, batch)
    assert states(home, None) == [("anthropic", 0, "fetched")] * 2
    for batch in ("one", "two"):
        assert take_in(home, batch).realised.realised_success == 1.0
    assert set(apis.paid.values()) == {1}


def test_results_are_taken_though_another_batch_has_the_same_ids(home: Home, apis: BatchApis) -> None:
    """The job tells of which batch they are, even if the provider's clock is behind ours."""
    at = desk(home, apis, providers=("openai",))
    for batch in ("monday", "tuesday"):
        route(home, batch, 3, models=["large"])
        advance(at, batch)
    apis.pass_time(31)
    for batch in ("monday", "tuesday"):
        assert advance(at, batch) == []
    assert states(home, None) == [("openai", 0, "fetched")] * 2


@pytest.mark.parametrize("operation", ["upload", "create"])
def test_a_refusal_is_waited_out_as_long_as_the_provider_asks(
    home: Home, apis: BatchApis, batch: str, operation: str
) -> None:
    at = desk(home, apis, providers=("openai",))
    apis.faults[operation] = deque(["429"])
    advance(at, batch)
    (of,) = submissions_of(home.warehouse)
    assert (of.state, of.not_before) == ("intended", apis.now + timedelta(seconds=120))
    assert of.why is not None
    assert of.why.startswith("HTTP 429")
    assert look(at).batches == {}
    assert "asked to wait" in advance(at, batch)[0]
    apis.pass_time(3)
    assert look(at).batches.keys() == {batch}
    advance(at, batch)
    assert states(home) == [("openai", 0, "submitted")]


def test_a_file_that_the_provider_does_not_take_is_set_aside(home: Home, apis: BatchApis, batch: str) -> None:
    at = desk(home, apis, providers=("openai",))
    apis.faults["create"] = deque(["400"])
    advance(at, batch)
    (of,) = submissions_of(home.warehouse)
    assert (of.state, of.usd) == ("set aside", 0.0)
    assert str(of.why).startswith("HTTP 400")
    assert look(at).batches == {}


def test_nothing_is_sent_beyond_the_batchs_money(home: Home, apis: BatchApis) -> None:
    exact = 3 * sum(float(usd(model)) for model in MODELS)
    batch = route(home, budget=exact * (1 - 1e-9))
    advance(desk(home, apis), batch)
    assert sorted(state for _, _, state in states(home)) == ["set aside", "submitted", "submitted"]
    aside = next(of for of in submissions_of(home.warehouse) if of.state == "set aside")
    assert "USD left" in str(aside.why)


def test_a_batch_whose_budget_just_pays_is_sent_whole(home: Home, apis: BatchApis) -> None:
    batch = route(home, size=100)
    advance(desk(home, apis), batch)
    assert states(home) == [(provider, 0, "submitted") for provider in ALL]


def test_nothing_is_sent_beyond_the_months_limit(home: Home, apis: BatchApis, batch: str) -> None:
    at = desk(home, apis, most_usd=float(3 * usd("large")) * 1.01)
    said = advance(at, batch)
    assert states(home) == [("openai", 0, "submitted")]
    assert sum("more than" in line and "this month" in line for line in said) == 2
    apis.pass_time(31 * 24 * 60)
    advance(at, batch)
    assert len(apis.jobs) > 1


def test_without_a_key_the_others_are_sent_and_the_message_says_which_is_missing(
    home: Home, apis: BatchApis, batch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    at = desk(home, apis)
    assert any("ANTHROPIC_API_KEY" in line for line in look(at).remarks)
    assert any(
        "nothing is sent to anthropic: the environment has no ANTHROPIC_API_KEY" in s for s in advance(at, batch)
    )
    assert states(home) == [("gemini", 0, "submitted"), ("openai", 0, "submitted")]
    monkeypatch.setenv("ANTHROPIC_API_KEY", "test-key")
    assert look(desk(home, apis)).batches.keys() == {batch}
    advance(desk(home, apis), batch)
    assert len(states(home)) == 3


def test_requests_that_were_answered_by_hand_are_not_sent(home: Home, apis: BatchApis, batch: str) -> None:
    at = desk(home, apis)
    advance(at, batch)
    apis.pass_time(31)
    advance(at, batch)
    with home.warehouse.transaction() as connection:  # as if this program had sent nothing
        connection.execute("truncate submissions")
    assert advance(at, batch) == []
    assert len(apis.jobs) == 3


def test_a_file_that_was_changed_after_its_intent_is_not_sent(home: Home, apis: BatchApis, batch: str) -> None:
    at = desk(home, apis, providers=("openai",))
    apis.faults["create"] = deque(["429"])
    advance(at, batch)
    for path in (home.folders.received / batch / "sent").iterdir():
        changed = path.read_text().replace("question 0", "question 9")
        path.unlink()
        path.write_text(changed)
    apis.pass_time(3)
    advance(at, batch)
    assert states(home) == [("openai", 0, "set aside")]
    assert len(apis.jobs) == 0


def test_the_warehouse_is_asked_a_few_questions_for_any_number_of_batches_and_files(
    home: Home, apis: BatchApis, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, fetch = list[str](), Warehouse.fetch
    monkeypatch.setattr(Warehouse, "fetch", lambda self, name, *given: asked.append(name) or fetch(self, name, *given))
    at, batches = desk(home, apis), [route(home, f"b{n}", 3) for n in range(3)]

    def count(act: Callable[[], object]) -> int:
        asked.clear()
        act()
        return len(asked)

    assert count(lambda: look(at)) == 3
    assert max(count(partial(advance, at, batch)) for batch in batches) <= 9
    apis.pass_time(31)
    assert count(lambda: look(at)) == 3
    assert max(count(partial(advance, at, batch)) for batch in batches) <= 9
    assert {state for _, _, state in states(home, None)} == {"fetched"}


def test_a_look_reads_few_pages_and_goes_on_where_it_ended(home: Home, apis: BatchApis, batch: str) -> None:
    at = replace(desk(home, apis), now=lambda: apis.now)
    advance(at, batch)
    for n in range(1500):
        apis.add("gemini", f"other {n}", [])
        apis.add("openai", "{}", [])
    apis.pass_time(31)
    apis.calls.clear()
    first = look(at)
    assert apis.calls.count("page") == 10 + 10 + 1
    second = look(at, first.pages)
    assert first.pages.keys() == {"gemini", "openai"}
    assert second.pages == {}
    assert {*first.batches, *second.batches} == {batch}


def answered(home: Home, apis: BatchApis, batch: str) -> None:
    """Send a batch and take its answers in."""
    advance(desk(home, apis), batch)
    apis.pass_time(31)
    advance(desk(home, apis), batch)


def test_questions_to_a_judge_are_sent_like_a_batch_and_its_verdicts_are_grades(
    home: Home, apis: BatchApis, batch: str
) -> None:
    answered(home, apis, batch)
    assert take_in(home, grader=JUDGE).realised.judged == 0
    at = desk(home, apis)
    assert look(at).batches.keys() == {batch}
    assert advance(at, batch) == []
    (of,) = (of for of in submissions_of(home.warehouse, batch) if of.of_judge)
    assert (of.batch_id, of.state, of.requests) == ("weekly/judge", "submitted", 9)
    assert take_in(home, grader=JUDGE).realised.judged == 0
    assert look(at).batches == {}
    apis.pass_time(31)
    assert look(at).batches.keys() == {batch}
    advance(at, batch)
    recorded = take_in(home, grader=JUDGE)
    assert (recorded.realised.judged, recorded.realised.realised_success) == (9, 1.0)
    (of,) = (of for of in submissions_of(home.warehouse, batch) if of.of_judge)
    assert (of.state, of.usd) == ("fetched", pytest.approx(float(9 * usd("large"))))
    assert look(at).batches == {}
    assert advance(at, batch) == []
    assert set(apis.paid.values()) == {1}
    assert audit_journal(home.warehouse, home.folders).found == ()


def test_a_judge_is_asked_nothing_without_money_committed_to_it(home: Home, apis: BatchApis, batch: str) -> None:
    answered(home, apis, batch)
    take_in(home, grader=JUDGE)
    with home.warehouse.transaction() as connection:
        connection.execute("update commitments set usd = usd * 0.999 where batch_id = 'weekly/judge'")
    assert any("more than is committed to it" in said for said in advance(desk(home, apis), batch))
    assert len(apis.jobs) == 3


def test_results_that_cannot_be_received_are_left_to_people_after_some_tries(
    home: Home, apis: BatchApis, batch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: object, **__: object) -> None:
        raise InvalidInput("nobody can read this")

    at = desk(home, apis, providers=("openai",))
    advance(at, batch)
    apis.pass_time(31)
    monkeypatch.setattr(advancing, "receive_outcomes", refuses)
    for _ in range(advancing.MOST_TRIES):
        assert states(home) == [("openai", 0, "submitted")]
        assert "nobody can read this" in advance(at, batch)[0]
        assert "nobody can read this" in (advance(at, batch) or ["nobody can read this"])[0]  # it is not tried at once
        apis.pass_time(11)
    monkeypatch.undo()
    (of,) = submissions_of(home.warehouse)
    kept = home.folders.received / batch / "sent" / f"{of.submission}.results.jsonl"
    assert (of.state, len(kept.read_text().splitlines())) == ("unread", 3)
    assert str(kept) in str(of.why)
    assert look(at).batches == {}
    (found,) = results(home)
    assert f"routing-assets answers weekly {kept}" in found.remedy
    report = day_report(home.warehouse, home.folders, home.policy_file, apis.now.date(), [])
    assert [row["state"] for row in report["submissions"]] == ["unread"]
    assert [row["files_aside"] for row in home.warehouse.fetch("batches")] == [1]
    receive_outcomes(home.warehouse, home.store, home.folders, kept, batch, move=True)
    assert take_in(home).realised.judged == 3
    assert list(results(home)) == []
    assert advance(at, batch) == []
    assert len(apis.jobs) == 1
