"""The official SDKs create, list and fetch jobs, say which calls had no effect, and never repeat one."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from batch_apis import START, BatchApis, Plan

from routing_assets.foundation.errors import InvalidInput
from routing_assets.providers.clients import CLIENTS, open_client
from routing_assets.providers.clients.client import BatchClient, Job, ProviderFault, write_lines
from routing_assets.providers.provider import Destination

PROVIDERS = tuple(CLIENTS)


def requests(tmp_path: Path, provider: str, count: int = 4) -> Path:
    to = Destination.of(provider, "gpt")
    lines = [to.line(f"q{n}", to.prompt(f"question {n}")[0], to.provider.endpoint) for n in range(count)]
    path = tmp_path / "requests.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def create(client: BatchClient, path: Path, name: str = "mine") -> Job:
    return client.create(client.upload(path, name), name, model="gpt", endpoint="/v1/chat/completions")


def results(client: BatchClient, job: Job, path: Path) -> list[dict[str, Any]]:
    with path.open("wb") as file:
        write_lines(client.results(job), file)
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_job_is_created_listed_and_fetched(apis: BatchApis, tmp_path: Path, provider: str) -> None:
    client = open_client(provider)
    apis.plans.append(Plan(failing=frozenset({3})))
    made = create(client, requests(tmp_path, provider))
    assert (made.state, made.created) == ("open", START)
    assert made.name == ("mine" if client.names_jobs else None)
    apis.pass_time(31)
    (listed,) = client.page().jobs
    assert listed.state == client.job(made.id).state == "done"
    assert listed.ended == START + timedelta(minutes=30)
    assert listed.id == made.id
    found = results(client, client.job(made.id), tmp_path / "results.jsonl")
    assert sorted(line.get("custom_id") or line["key"] for line in found) == ["q0", "q1", "q2", "q3"]
    assert client.failure("q9", "why").keys() & {"custom_id", "key"}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_pages_lead_to_every_job(apis: BatchApis, provider: str) -> None:
    size = 1200 if provider == "anthropic" else 250
    for n in range(size):
        apis.add(provider, json.dumps({"submission": f"job {n}"}) if provider == "openai" else f"job {n}", [])
    client, found, after = open_client(provider), [], None
    while (page := client.page(after)).after:
        found += page.jobs
        after = page.after
    assert len({job.id for job in [*found, *page.jobs]}) == size


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(
    ("fault", "refused", "lasting", "created"),
    [
        ("429", True, False, 0),
        ("400", True, True, 0),
        ("401", True, False, 0),
        ("500", False, False, 0),
        ("cut", False, False, 1),
    ],
)
def test_a_fault_says_whether_the_call_had_an_effect_and_is_not_repeated(
    apis: BatchApis, tmp_path: Path, provider: str, fault: str, refused: bool, lasting: bool, created: int
) -> None:
    client, path = open_client(provider), requests(tmp_path, provider)
    apis.faults["create"] = deque([fault, fault, fault])
    with pytest.raises(ProviderFault) as raised:
        create(client, path)
    assert (raised.value.refused, raised.value.lasting) == (refused, lasting)
    assert raised.value.retry_after == (120 if fault == "429" else None)
    assert apis.calls.count("create") == 1
    assert len(apis.jobs) == created


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("operation", ["page", "job", "results"])
@pytest.mark.parametrize("fault", ["503", "half"])
def test_a_look_that_fails_is_a_fault(
    apis: BatchApis, tmp_path: Path, provider: str, operation: str, fault: str
) -> None:
    client = open_client(provider)
    job = create(client, requests(tmp_path, provider))
    apis.pass_time(31)
    job = client.job(job.id)
    look: dict[str, Callable[[], object]] = {
        "page": client.page,
        "job": lambda: client.job(job.id),
        "results": lambda: list(client.results(job)),
    }
    apis.faults[operation] = deque([fault])
    with pytest.raises(ProviderFault):
        look[operation]()
    look[operation]()


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_job_that_failed_or_expired_says_so(apis: BatchApis, tmp_path: Path, provider: str) -> None:
    client, path = open_client(provider), requests(tmp_path, provider)
    apis.plans += [Plan("expired")]
    made = create(client, path)
    apis.pass_time(31)
    job = client.job(made.id)
    assert job.state == "expired"
    assert len(results(client, job, tmp_path / "results.jsonl")) == 4
    if provider != "anthropic":  # whose jobs do not fail as a whole
        apis.plans += [Plan("failed")]
        made = create(client, path)
        apis.pass_time(31)
        assert (client.job(made.id).state, list(client.results(client.job(made.id)))) == ("failed", [])


@pytest.mark.parametrize("provider", PROVIDERS)
def test_without_a_key_nothing_is_opened(provider: str) -> None:
    with pytest.raises(InvalidInput, match=f"nothing is sent to {provider}: the environment has no .*_API_KEY"):
        open_client(provider, {})


def test_without_the_sdk_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openai", None)
    with pytest.raises(InvalidInput, match=r"Install it: pip install 'routing_assets\[providers\]'"):
        open_client("openai", {"OPENAI_API_KEY": "x"})
