"""Small routed batches whose requests go to three providers, and what sensors and runs do for them, without Dagster."""

from __future__ import annotations

import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from batch_apis import INPUT_TOKENS, OUTPUT_TOKENS, BatchApis

from routing_assets.allocation.solver.exact import float_not_below
from routing_assets.answers.graders.grade import Grader
from routing_assets.answers.graders.table import GraderChoice
from routing_assets.audit.chain import audit_journal
from routing_assets.batches.answers import collect_answers
from routing_assets.batches.ends import dispatch_batch
from routing_assets.batches.grades import GradingRequest, grade_batch
from routing_assets.batches.handoff import export_batch
from routing_assets.batches.ledger import record_decision
from routing_assets.batches.outcomes import RecordedOutcomes, record_batch_outcomes
from routing_assets.batches.policy import RoutingSettings
from routing_assets.batches.receive import receive
from routing_assets.batches.submissions.advance import advance
from routing_assets.batches.submissions.desk import Clients, Desk
from routing_assets.batches.submissions.ledger import Submission, submissions_of
from routing_assets.batches.submissions.look import look
from routing_assets.batches.submissions.settings import SubmitSettings
from routing_assets.foundation.schema import read_values
from routing_assets.home import Home
from routing_assets.pricing.catalog import ModelCatalog, ModelEntry
from routing_assets.pricing.catalog_table import catalog_table
from routing_assets.pricing.token_prices import TokenPrices

CATALOG = ModelCatalog(
    (
        ModelEntry("large", 1.0, 2.0, provider="openai", api_name="gpt"),
        ModelEntry("medium", 0.5, 1.0, provider="anthropic", api_name="claude-sonnet-4"),
        ModelEntry("small", 0.1, 0.2, provider="gemini", api_name="gemini-2.5-flash"),
    )
)
MODELS = CATALOG.names
GRADER = read_values(GraderChoice, "exact", source="test").grader


def usd(model: str) -> Fraction:
    """What every call of a model costs, which is what it is estimated to cost."""
    return TokenPrices.of(CATALOG[model]).usd(INPUT_TOKENS, OUTPUT_TOKENS)


def route(
    home: Home,
    batch_id: str = "weekly",
    size: int = 9,
    *,
    models: Sequence[str] = MODELS,
    budget: float | None = None,
    dispatch: bool = True,
) -> str:
    """Route a batch, its instructions to the models in turn, and dispatch it. By default, the budget just pays."""
    ids = [f"q{n}" for n in range(size)]
    texts = [f"{batch_id}, question {n}" for n in range(size)]
    right = [f"answer to {text}" for text in texts]
    rows = [{"instruction_id": i, "instruction": t, "reference": r} for i, t, r in zip(ids, texts, right, strict=True)]
    file = home.root.parent / f"{batch_id}.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    received, run_id = receive(home.warehouse, home.folders, file), f"run-{batch_id}"
    to = [models[n % len(models)] for n in range(size)]
    summary = {"catalog": catalog_table(CATALOG).to_pylist(), "policy": "mip"}
    routed = pa.table(
        {
            "instruction_id": ids,
            "model": pa.array(to).dictionary_encode(),
            "expected_success": [0.9] * size,
            "cost": [float(usd(model)) for model in to],
        }
    ).replace_schema_metadata({"summary": json.dumps(summary)})
    instructions = pa.table({"instruction_id": ids, "instruction": texts, "reference": right})
    home.store.write(instructions, "batch_instructions", batch_id, run_id)
    home.store.write(routed, "routed_batch", batch_id, run_id)
    path = str(home.store.path("routed_batch", batch_id, run_id).relative_to(home.store.root))
    total = sum((Fraction(cost) for cost in routed["cost"].to_pylist()), Fraction(0))
    decision: dict[str, Any] = dict.fromkeys(("router_version", "price_version", "settings_version", "status"), "x")
    decision |= dict.fromkeys(("expected_success", "upper_bound", "gap", "shadow_price"), 0.5)
    decision |= {
        "batch_id": batch_id,
        "dagster_run_id": run_id,
        "policy": "mip",
        "settings": "{}",
        "instructions": size,
    }
    decision |= {
        "budget": float_not_below(total) if budget is None else budget,
        "total_cost": float(total),
        "routed_path": path,
    }
    decision |= {"routed_sha256": home.store.version_sha256(path), "file_sha256": received.file_sha256}
    with home.warehouse.transaction() as connection:
        record_decision(connection, decision)
    folder, staged = home.folders.outbox / batch_id, home.folders.staged / batch_id
    kept = received.path
    export_batch(routed, instructions, folder, staged=staged, batch_id=batch_id, run_id=run_id, received=kept)
    if dispatch:
        dispatch_batch(home.warehouse, home.folders, batch_id)
    return batch_id


def desk(home: Home, apis: BatchApis, clients: Clients | None = None, **settings: Any) -> Desk:
    """What a run acts with; its clock is the server's."""
    values = {"providers": ("openai", "anthropic", "gemini"), "most_usd": 100.0} | settings
    form = read_values(SubmitSettings, values, source="test")
    return Desk(
        home.warehouse, home.store, home.folders, form, "submitting", clients or Clients(), lambda: apis.now, CATALOG
    )


def take_in(home: Home, batch_id: str = "weekly", grader: Grader = GRADER) -> RecordedOutcomes:
    """What the job ``record_outcomes`` does."""
    parts = (home.warehouse, home.store, home.folders, batch_id)
    answers, request = collect_answers(*parts).to_arrow(), GradingRequest(grader, False, RoutingSettings())
    graded = grade_batch(*parts, answers, request, run_id="recording", catalog=CATALOG)
    return record_batch_outcomes(*parts, "recording", answers, graded.table)


def states(home: Home, batch_id: str | None = "weekly") -> list[tuple[str, int, str]]:
    """Provider, round and state of each submission."""
    found = submissions_of(home.warehouse, batch_id)
    return sorted((of.provider, of.round, of.state) for of in found)


def history(home: Home, of: Submission) -> list[str]:
    """The states that a submission went through."""
    with home.warehouse.reader() as connection:
        rows = connection.execute(
            "select state from submissions where submission = ? order by entry", [of.submission]
        ).fetchall()
    return [state for (state,) in rows]


def tick(home: Home, apis: BatchApis, cursor: Path, **settings: Any) -> None:
    """One tick of the sensor and all runs that it asks for; the cursor is saved at its end, as Dagster does."""
    at, entry = desk(home, apis, **settings), int(cursor.read_text()) if cursor.exists() else 0
    for batch in look(at).batches:
        advance(at, batch)
    ended = home.warehouse.fetch("ended_submissions_since", {"entry": entry})
    for row in ended:
        take_in(home, row["batch_id"])
    if ended:
        cursor.write_text(str(ended[-1]["entry"]))


def require_all_is_well(home: Home, apis: BatchApis, batches: Sequence[str], size: int) -> dict[str, int]:
    """No request was paid for twice and none lost; money and ledger fit. Returns counts of what became of them."""
    paid, rows = apis.paid, submissions_of(home.warehouse)
    assert set(paid.values()) <= {1}, paid.most_common(1)
    assert [of for of in rows if of.is_open] == []
    aside, judged, billed = 0, 0, Fraction(0)
    for batch in batches:
        recorded, own = take_in(home, batch), [of for of in rows if of.batch_id == batch]
        answers = collect_answers(home.warehouse, home.store, home.folders, batch)
        decision = home.warehouse.fetch("current_decision", {"batch_id": batch})[0]
        assert answers.spent <= Fraction(decision["budget"])
        billed += answers.spent
        answered = sum(1 for n in range(size) if paid[f"{batch}, question {n}"])
        assert recorded.realised.judged == answered
        judged += answered
        if answered < size:
            assert any(of.state == "set aside" and of.why for of in own), batch
            aside += size - answered
    assert billed == sum(usd(model) * n for model, n in _paid_by_model(apis).items())
    assert float(billed) == pytest.approx(sum(of.usd for of in rows if of.state != "set aside"), rel=1e-9)
    assert audit_journal(home.warehouse, home.folders).found == ()
    return {"jobs": len(apis.jobs), "submissions": len(rows), "answered": judged, "set aside": aside}


def _paid_by_model(apis: BatchApis) -> dict[str, int]:
    models = {entry.provider: entry.name for entry in CATALOG.models}
    return {models[p]: sum(sum(job.answered) for job in apis.jobs if job.provider == p) for p in models}
