"""The demonstration: the whole system on simulated data, where the true outcome of every assignment is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa

from routing_assets.allocation import POLICIES
from routing_assets.batches.receive import receive
from routing_assets.batches.route import summary_of
from routing_assets.cli import batches as batch_commands
from routing_assets.cli import routers as router_commands
from routing_assets.cli import second_round
from routing_assets.cli.output import say, show
from routing_assets.cli.run_job import instance_of, run_job
from routing_assets.datasets import BatchInstructions, LabelledInstructions, write_batch
from routing_assets.datasets.simulated import Twin, simulate
from routing_assets.datasets.tokens import proxy_tokens_of
from routing_assets.foundation.errors import InvalidInput
from routing_assets.home import Home

TWIN: Twin = "llm_uncertainty_bench"
BATCH_SIZE = 500
SEEDS = 2
RIGHT, WRONG = "A", "B"
CHECK_AUC = 0.9
"""How well a simulated check of an answer, such as a test, tells right from wrong."""
FIRST_MODELS = ("Yi-6B", "Qwen-14B")
"""Whose answers are looked at; of few models, that takes seconds."""
REQUEST = {"budget_fraction": 0.5, "second_look": {}}
METHOD = "frozen"  # takes seconds; generated texts say nothing about the value of tuning


def run_demo(home: Home, *, size: int, seed: int) -> None:
    """Train on simulated labels, route a fresh batch at half the budget, evaluate, and print all of it.

    Raises InvalidInput in a home whose router learnt from labels that are not simulated: it would be replaced.
    """
    refuse_real_router(home)
    source = f"simulated:{TWIN}"
    say(f"1/5  training on {size} simulated instructions, 16 models", bold=True)
    router_commands.train_router(
        home, source, None, "auto", method=METHOD, seed=seed, size=size, check_auc=CHECK_AUC, first_models=FIRST_MODELS
    )

    say(f"\n2/5  routing a batch of {BATCH_SIZE} new instructions at 50 % of the dearest model's cost", bold=True)
    truth = simulate(TWIN, size=BATCH_SIZE, seed=seed + 1_000_003, check_auc=CHECK_AUC)
    file = home.root / "demo" / "demo_batch.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    reference = np.full(len(truth), RIGHT, dtype=object)
    write_batch(BatchInstructions(truth.instruction_id, truth.instruction, truth.task, reference=reference), file)
    with instance_of(home) as instance:
        batch = receive(home.warehouse, home.folders, file, request=REQUEST)
        resources = {"routing_request": REQUEST}
        run = run_job(instance, "route_batch", resources=resources, batch_id=batch.batch_id)
    store = home.store
    rows = []
    for policy in POLICIES:
        routed = store.read_version(f"{policy}_allocation", batch.batch_id, run.run_id)
        summary = batch_commands.allocation_row(summary_of(routed))
        shown = {name: summary[name] for name in ("policy", "budget USD", "cost USD", "expected success")}
        rows.append({**shown, "realised (simulated)": realised_success(routed, truth)})

    say("\n3/5  the answers come back, each with a check; some instructions go on to another model", bold=True)
    first = store.read("routed_batch", batch.batch_id)
    output = write_answers(first, truth, file.with_name("output.jsonl"))
    batch_commands.answers(home, batch.batch_id, [output, write_checks(first, truth, file.with_name("checks.csv"))])
    second_round.decide(home, batch.batch_id)
    final = store.read("second_round", batch.batch_id)
    decided = home.warehouse.fetch("second_round_of", {"batch_id": batch.batch_id})[0]
    say(
        f"success (simulated): {realised_success(first, truth):.4g} after the first answers, "
        f"{realised_success(final, truth):.4g} after the second round"
    )
    rows.append(
        {
            "policy": "mip, after both rounds",
            "budget USD": decided["budget"],
            "cost USD": decided["spent"] + decided["total_cost"],
            "expected success": decided["expected_success"],
            "realised (simulated)": realised_success(final, truth),
        }
    )

    say("\n4/5  the answers of the second round come back, and all are graded", bold=True)
    asked = final.filter(final["escalated"])
    second = write_answers(asked, truth, file.with_name("second_output.jsonl"))
    batch_commands.answers(home, batch.batch_id, [second], "choice")
    with instance_of(home) as instance:
        run_job(instance, "watch_router")
    found = home.warehouse.fetch("latest_advice")[0]
    say(f"drift: {found['advice']} ({found['why']})")

    say(f"\n5/5  budget curves on the simulated labels, {SEEDS} seeds", bold=True)
    router_commands.evaluate(
        home, source, None, "auto", method=METHOD, seeds=SEEDS, size=size, output=home.root / "demo" / "evaluation"
    )
    say("\nWhat was learnt", bold=True)
    say(f"{router_commands.learnt(home)}\n")
    say(f"How the batch of {BATCH_SIZE} was routed", bold=True)
    show("policies", rows)
    best = truth.models[int(truth.success.mean(axis=0).argmax())]
    dearest = f"{best}, the best single model, would realise {truth.success.mean(axis=0).max():.4g} on all of it"
    say(f"{dearest}, whatever it costs.\n")
    say("Where to look next", bold=True)
    say(f"routed batch:   {home.folders.outbox / batch.batch_id / 'routed.parquet'}")
    say(f"budget curves:  {home.root / 'demo' / 'evaluation' / 'curves.png'}")
    say("every step:     make ui (or: routing-assets ui)")


def refuse_real_router(home: Home) -> None:
    """Raise InvalidInput where the router in force learnt from labels that are not simulated."""
    with instance_of(home):
        listed = home.warehouse.fetch("routers")
    for router in listed:
        if router["state"] == "in force" and not router["simulated"]:
            raise InvalidInput(
                f"router {router['router_version']}, which learnt from {router['labels']}, would be replaced",
                source=str(home.root),
                remedy="Run the demo in a home of its own: ROUTING_HOME=.routing-demo routing-assets demo",
            )


def write_answers(routed: pa.Table, truth: LabelledInstructions, path: Path) -> Path:
    """What OpenAI's Batch API would write, with a right answer wherever the model would succeed."""
    right, text_of = true_success(routed, truth) >= 0.5, dict(zip(truth.instruction_id, truth.instruction, strict=True))
    with path.open("w", encoding="utf-8") as file:
        for row, is_right in zip(routed.select(["instruction_id", "model"]).to_pylist(), right, strict=True):
            text = text_of[row["instruction_id"]]
            usage = {"prompt_tokens": int(proxy_tokens_of(text)), "completion_tokens": 20}
            message = {"role": "assistant", "content": f"The answer is ({RIGHT if is_right else WRONG})."}
            choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
            body = {"object": "chat.completion", "model": row["model"], "choices": choices, "usage": usage}
            response = {"status_code": 200, "body": body}
            file.write(json.dumps({"custom_id": row["instruction_id"], "response": response, "error": None}) + "\n")
    return path


def write_checks(routed: pa.Table, truth: LabelledInstructions, path: Path) -> Path:
    """A table of what a check says of each answer."""
    index = {model: k for k, model in enumerate(truth.models)}
    lines = [
        f"{name},{model},{truth.signals['check'][row, index[model]]:.4f}\n"
        for row, (name, model) in enumerate(
            zip(routed["instruction_id"].to_pylist(), routed["model"].to_pylist(), strict=True)
        )
    ]
    path.write_text("instruction_id,model,check\n" + "".join(lines), encoding="utf-8")
    return path


def realised_success(routed: pa.Table, truth: LabelledInstructions) -> float:
    """Mean true success of the assignments."""
    return float(true_success(routed, truth).mean())


def true_success(routed: pa.Table, truth: LabelledInstructions) -> np.ndarray:
    """(N,) true success of each assignment."""
    index = {model: k for k, model in enumerate(truth.models)}
    place = {name: row for row, name in enumerate(truth.instruction_id)}
    rows = np.array([place[name] for name in routed["instruction_id"].to_pylist()], dtype=np.int64)
    choice = np.array([index[model] for model in routed["model"].to_pylist()], dtype=np.int64)
    return np.asarray(truth.success[rows, choice])
