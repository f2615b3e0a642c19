"""Settings and catalog become the constraints of the allocation."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from routing_assets.allocation import (
    AllocationProblem,
    InfeasibleAllocation,
    InfeasibleConstraints,
    allocate,
)
from routing_assets.batches.frontier import around_budget, whole_frontier
from routing_assets.batches.policy import RoutingSettings, refuse_limits_on_unknowns, settings_from, standing_policy
from routing_assets.batches.route import (
    RoutedBatch,
    batch_problem,
    format_of,
    route_batch,
    set_barred_aside,
    summary_of,
)
from routing_assets.batches.routed_files import write_routed
from routing_assets.cli.batches import show_allocations
from routing_assets.datasets import BatchInstructions, load_batch
from routing_assets.datasets.labels import LabelledInstructions
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.long_table import long_table
from routing_assets.pricing.catalog import ModelCatalog, ModelEntry
from routing_assets.pricing.cost_matrix import cost_estimate, price_batch
from routing_assets.pricing.cost_model import fit_cost_model

MODELS = ("small", "medium", "large")
N = 60


def text(length: int) -> str:
    return "x" * length


def routed(
    settings: RoutingSettings,
    previous: object = None,
    recorded: dict[str, object] | None = None,
    **limits: dict[str, object],
) -> RoutedBatch:
    """A batch of N instructions, the last ten of them long, by three models of rising price and quality."""
    random = np.random.default_rng(0)
    instruction = np.array([text(40 if i < N - 10 else 4000) for i in range(N)], dtype=object)
    ids = np.array([f"i{i}" for i in range(N)], dtype=object)
    group = np.array(["a" if i % 2 else "b" for i in range(N)], dtype=object)
    success = np.clip(random.normal([0.5, 0.7, 0.8], 0.15, (N, 3)), 0.01, 0.99).astype(np.float32)
    cost = np.tile([0.1, 0.4, 1.0], (N, 1))
    about = {"models": json.dumps(MODELS), "router_version": "r", "price_version": "p"}
    catalog = ModelCatalog(
        tuple(ModelEntry(m, 1.0, 1.0, **limits.get(m, {})) for m in (*MODELS, *(set(limits) - set(MODELS))))
    )  # type: ignore[arg-type]
    return route_batch(
        BatchInstructions(ids, instruction, group=group),
        long_table(ids, MODELS, {"decision": success}, about=about),
        long_table(
            ids,
            MODELS,
            {"cost": cost, "cost_std": 0.3 * cost},
            about={**about, "shared_error": json.dumps([0.02] * 3)},
        ),
        catalog,
        settings.own_budget(cost),  # type: ignore[arg-type]
        settings,
        "mip",
        previous=previous,  # type: ignore[arg-type]
        recorded=recorded,
    )


def traffic(batch: RoutedBatch) -> dict[str, int]:
    return {m: int((batch.allocation.choice == k).sum()) for k, m in enumerate(MODELS)}


def test_the_budget_is_a_fraction_of_the_dearest_model_unless_given_in_usd() -> None:
    assert summary_of(routed(RoutingSettings(budget_fraction=0.5)).table)["budget_usd"] == pytest.approx(N * 0.5)
    assert summary_of(routed(RoutingSettings(budget_usd=7.0)).table)["budget_usd"] == 7.0


@hypothesis_settings(deadline=None)
@given(n=st.integers(1, 300), seed=st.integers(0, 2**32), fraction=st.sampled_from([0.0, 0.1, 0.3, 0.7, 1.0, 1.1, 2.0]))
def test_a_fraction_of_one_just_pays_for_the_dearest_model_and_none_gives_more_than_it_says(
    n: int, seed: int, fraction: float
) -> None:
    cost = np.random.default_rng(seed).uniform(0.5, 2, (n, 3)) * [1e-5, 1e-3, 3e-2]
    dearest = sum(map(Fraction, cost[:, 2].tolist()))
    just_paid = RoutingSettings(budget_fraction=1.0).own_budget(cost)
    assert just_paid is not None
    assert math.nextafter(just_paid, 0) < dearest <= just_paid
    everything = allocate(AllocationProblem(np.tile([0.1, 0.2, 0.9], (n, 1)), cost, just_paid))
    assert (everything.choice == 2).all()
    budget = RoutingSettings(budget_fraction=fraction).own_budget(cost)
    assert budget is not None
    assert budget <= Fraction(str(fraction)) * Fraction(just_paid) < math.nextafter(budget, math.inf)


def test_shares_and_capacity_of_the_catalog_hold() -> None:
    free = traffic(routed(RoutingSettings(budget_fraction=1.0)))
    assert free["large"] > 18
    held = traffic(
        routed(
            RoutingSettings(budget_fraction=1.0),
            large={"max_share": 0.3},
            small={"min_share": 0.2},
            medium={"capacity": 20},
        )
    )
    assert held["large"] <= 18
    assert held["small"] >= 12
    assert held["medium"] <= 20


def test_a_catalog_may_name_more_models_than_the_router_knows() -> None:
    batch = routed(RoutingSettings(budget_fraction=1.0), large={"max_share": 0.3}, unknown={"max_share": 0.1})
    assert traffic(batch)["large"] <= 18


def test_constraints_of_the_run_come_before_the_catalog() -> None:
    settings = RoutingSettings(budget_fraction=1.0, constraints={"max_share": {"large": 0.1}})
    assert traffic(routed(settings, large={"max_share": 0.5}))["large"] <= 6


def test_long_instructions_keep_out_of_short_contexts() -> None:
    batch = routed(RoutingSettings(budget_fraction=1.0), large={"context_tokens": 500})
    assert "large" not in batch.table["model"].to_pylist()[-10:]
    assert "large" in batch.table["model"].to_pylist()[:-10]


def test_a_long_system_prompt_keeps_a_request_out_of_short_contexts(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    user, system = {"role": "user", "content": text(40)}, {"role": "system", "content": text(4000)}
    turns = [[user], [system, user]]
    path.write_text("\n".join(json.dumps({"custom_id": str(i), "body": {"messages": t}}) for i, t in enumerate(turns)))
    ids, about = np.array(["0", "1"], dtype=object), {"models": json.dumps(MODELS)}
    problem = batch_problem(
        load_batch(path),
        long_table(ids, MODELS, {"decision": np.full((2, 3), 0.5)}, about=about),
        long_table(ids, MODELS, {"cost": np.ones((2, 3))}, about=about),
        ModelCatalog((ModelEntry("large", 1.0, 1.0, context_tokens=500),)),
        math.inf,
        RoutingSettings(),
    )
    assert problem.forbidden is not None
    assert problem.forbidden.tolist() == [[False] * 3, [False, False, True]]


def test_required_tags_keep_instructions_on_the_models_that_have_them() -> None:
    settings = RoutingSettings(budget_fraction=1.0, constraints={"required_tags": ["eu"]})
    batch = traffic(routed(settings, small={"tags": ("eu",)}, medium={"tags": ("eu", "vision")}))
    assert batch["large"] == 0


@pytest.mark.parametrize(
    ("entry", "constraints", "said"),
    [
        (
            {"context_tokens": 100},
            {},
            r"under context_tokens for 1 of 2 instructions.*'long'.*Raise context_tokens",
        ),
        ({}, {"required_tags": ["eu"]}, r"under required_tags for 2 of 2 instructions, .* 'short' .*Give models"),
        ({"latency_s": 3.0}, {"max_latency": 2.0}, r"under max_latency for 2 of 2 instructions.*Raise max_latency"),
    ],
)
def test_instructions_barred_from_every_model_are_named(
    entry: dict[str, object], constraints: dict[str, object], said: str
) -> None:
    texts = np.array(["Hello", text(4000)], dtype=object)
    batch = BatchInstructions(np.array(["short", "long"], dtype=object), texts)
    catalog = ModelCatalog(tuple(ModelEntry(m, 1.0, 1.0, **entry) for m in MODELS))  # type: ignore[arg-type]
    settings = RoutingSettings(constraints=constraints, strict=True)
    with pytest.raises(InvalidInput, match=said):
        set_barred_aside(batch, MODELS, catalog, settings)
    assert set_barred_aside(batch.take(slice(0, 1)), MODELS, None, RoutingSettings(strict=True)).set_aside == {}


def needy(**columns: object) -> BatchInstructions:
    ids = np.array(["text", "picture", "song", "call"], dtype=object)
    needs = np.array([None, "vision", "audio tools", "tools"], dtype=object)
    one_of = np.eye(4)
    return BatchInstructions(ids, ids, images=one_of[1], audio=one_of[2], needs=needs, **columns)  # type: ignore[arg-type]


def test_instructions_that_no_model_may_get_are_set_aside_with_the_reason_and_the_rest_is_kept() -> None:
    catalog = ModelCatalog(
        (
            ModelEntry("small", 1.0, 1.0, context_tokens=10),
            ModelEntry("medium", 1.0, 1.0, context_tokens=100, tags=("audio",)),
            ModelEntry("large", 1.0, 1.0, context_tokens=100, tags=("vision",), image_price=0.001),
        )
    )
    batch = set_barred_aside(needy(), MODELS, catalog, RoutingSettings())
    assert batch.instruction_id.tolist() == ["text", "picture", "call"]
    ((reason, places),) = batch.set_aside.items()
    assert (places, reason[:29]) == ((2,), "no model is left under audio.")
    long = set_barred_aside(needy(input_tokens=np.array([1e3, 1, 1, 1])), MODELS, catalog, RoutingSettings())
    assert [(r.split(".")[0], p) for r, p in long.set_aside.items()] == [
        ("no model is left under context_tokens", (0,)),
        ("no model is left under audio", (2,)),
    ]
    assert {bars_of(batch, catalog, "picture"), bars_of(batch, catalog, "call")} == {(True, True, False), (False,) * 3}
    with pytest.raises(InvalidInput, match=r"under vision for 1 of 2.*image_price"):
        set_barred_aside(needy().take([1, 2]), MODELS, None, RoutingSettings())


def bars_of(batch: BatchInstructions, catalog: ModelCatalog, name: str) -> tuple[bool, ...]:
    """Which models an instruction is kept from."""
    matrix = np.full((len(batch), 3), 0.5)
    about = {"models": json.dumps(MODELS), "router_version": "r", "price_version": "p"}
    tables = [long_table(batch.instruction_id, MODELS, {c: matrix}, about=about) for c in ("decision", "cost")]
    problem = batch_problem(batch, tables[0], tables[1], catalog, 1.0, RoutingSettings())
    row = batch.instruction_id.tolist().index(name)
    return (False,) * 3 if problem.forbidden is None else tuple(np.asarray(problem.forbidden)[row].tolist())


def test_a_capability_counts_where_some_model_is_tagged_with_it() -> None:
    catalog = ModelCatalog(tuple(ModelEntry(m, 1.0, 1.0, tags=("tools",) if m == "large" else ()) for m in MODELS))
    assert bars_of(needy().take([0, 3]), catalog, "call") == (True, True, False)


def test_settings_from_before_strict_keep_their_version() -> None:
    assert "strict" not in RoutingSettings().to_json()
    assert RoutingSettings(strict=True).version != RoutingSettings().version
    assert settings_from(json.loads(RoutingSettings(strict=True).to_json()), source="x").strict


def test_mean_latency_is_kept() -> None:
    settings = RoutingSettings(budget_fraction=1.0, constraints={"mean_latency": 1.0})
    batch = traffic(routed(settings, small={"latency_s": 0.5}, medium={"latency_s": 1.0}, large={"latency_s": 3.0}))
    assert (0.5 * batch["small"] + batch["medium"] + 3.0 * batch["large"]) / N <= 1.0 + 1e-9


def test_a_limit_on_unknown_latencies_is_refused() -> None:
    settings = RoutingSettings(constraints={"mean_latency": 1.0})
    catalog = ModelCatalog((ModelEntry("small", 1.0, 1.0, latency_s=0.5), ModelEntry("medium", 1.0, 1.0)))
    with pytest.raises(InvalidInput, match=r"mean_latency limits latency.*none for medium, large\."):
        refuse_limits_on_unknowns(settings, MODELS, catalog, has_groups=False)
    refuse_limits_on_unknowns(settings, ("small",), catalog, has_groups=False)


def test_few_assignments_change_under_a_churn_limit() -> None:
    before = routed(RoutingSettings(budget_fraction=0.3))
    free = routed(RoutingSettings(budget_fraction=0.9))
    assert int((free.allocation.choice != before.allocation.choice).sum()) > 5
    held = routed(RoutingSettings(budget_fraction=0.9, constraints={"max_changes": 5}), previous=before.table)
    assert int((held.allocation.choice != before.allocation.choice).sum()) <= 5


def test_groups_stay_close_when_asked() -> None:
    settings = RoutingSettings(budget_fraction=0.5, constraints={"max_group_gap": 0.01})
    batch = routed(settings)
    chosen = np.array(batch.table["expected_success"].to_pylist())
    even = np.arange(N) % 2 == 0
    assert abs(chosen[even].mean() - chosen[~even].mean()) <= 0.01 + 1e-9


def test_groups_are_asked_for_where_they_are_compared() -> None:
    with pytest.raises(InvalidInput, match=r"max_group_gap compares groups.*column 'group' or 'task'"):
        refuse_limits_on_unknowns(RoutingSettings(constraints={"max_group_gap": 0.01}), MODELS, None, has_groups=False)


def test_confidence_holds_back_what_uncertain_costs_need() -> None:
    plain = summary_of(routed(RoutingSettings(budget_fraction=0.4)).table)
    safe = summary_of(routed(RoutingSettings(budget_fraction=0.4, confidence=0.95)).table)
    assert plain["budget_usd"] == safe["budget_usd"]
    assert safe["cost_usd"] <= safe["allocated_usd"] < safe["budget_usd"]
    assert plain["overspend_probability"] > 0.3
    assert safe["overspend_probability"] <= 0.05 + 1e-3


def test_a_budget_that_only_the_confidence_makes_too_small_says_so() -> None:
    assert routed(RoutingSettings(budget_usd=0.101 * N)).allocation.total_cost <= 0.101 * N
    with pytest.raises(InfeasibleAllocation, match=r"confidence 0.95 holds back \d+\.\d% of .* cheapest feasible"):
        routed(RoutingSettings(budget_usd=0.101 * N, confidence=0.95))


def test_confidence_holds_back_for_costs_that_nobody_recorded() -> None:
    random = np.random.default_rng(0)
    ids = np.array([f"i{i}" for i in range(N)], dtype=object)
    batch = BatchInstructions(ids, np.array([text(40)] * N, dtype=object))
    labels = LabelledInstructions("toy", MODELS, ids, batch.instruction, np.ones((N, 3)))
    catalog = ModelCatalog(tuple(ModelEntry(m, price, 3 * price) for m, price in zip(MODELS, (1, 3, 9), strict=True)))
    prices = fit_cost_model(labels, catalog)
    table = pa.table({"cost_model": [json.dumps(prices.to_dict())], "price_version": ["p"]})
    costs = price_batch(batch, table)
    known = cost_estimate(costs, ("large", "small"))
    np.testing.assert_allclose(known.assumed_error, prices.assumed_error[[2, 0]])
    success = np.clip(random.normal([0.5, 0.7, 0.8], 0.15, (N, 3)), 0.01, 0.99).astype(np.float32)
    probabilities = long_table(
        ids, MODELS, {"decision": success}, about={"models": json.dumps(MODELS), "router_version": "r"}
    )
    budget = float(known.mean[:, 0].sum())
    plain, safe = (
        summary_of(route_batch(batch, probabilities, costs, catalog, budget, settings, "mip").table)
        for settings in (RoutingSettings(), RoutingSettings(confidence=0.95))
    )
    assert safe["allocated_usd"] < 0.5 * plain["allocated_usd"]
    assert 0.005 < safe["overspend_probability"] <= 0.05
    assert plain["overspend_probability"] > 0.3


def test_constraints_that_cannot_hold_together_are_named() -> None:
    settings = RoutingSettings(constraints={"min_share": {"small": 0.8}, "max_share": {"small": 0.1}})
    with pytest.raises((InfeasibleConstraints, InvalidInput), match="small"):
        routed(settings)


def test_unknown_constraints_and_settings_are_refused() -> None:
    with pytest.raises(InvalidInput, match="max_shares"):
        settings_from({"constraints": {"max_shares": {}}}, source="policy.yaml")
    with pytest.raises(InvalidInput, match=r"policy\.yaml.*budgets"):
        settings_from({"budgets": 3}, source="policy.yaml")


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("budget_fraction: '0.5'", "row 1: budget_fraction is '0.5'. It must be a number"),
        ("budget_fraction: 50", "budget fraction is 50.*0.5 for 50 %"),
        ("{budget_usd: 5, budget_fraction: 0.5}", "both given.*one of them"),
    ],
)
def test_a_doubtful_budget_in_the_policy_file_is_refused_by_name(tmp_path: Path, said: str, answer: str) -> None:
    (tmp_path / "policy.yaml").write_text(said)
    with pytest.raises(InvalidInput, match=rf"policy\.yaml.*{answer}"):
        standing_policy(tmp_path / "policy.yaml")


def test_equal_settings_have_equal_versions() -> None:
    assert RoutingSettings(budget_usd=1.0).version == RoutingSettings(budget_usd=1.0).version
    assert RoutingSettings(budget_usd=1.0).version != RoutingSettings(budget_usd=2.0).version


def test_more_money_buys_no_less_and_the_batch_lies_on_its_frontier() -> None:
    allocation = routed(RoutingSettings(budget_fraction=0.5)).allocation
    rows = around_budget(allocation, whole_frontier(allocation.problem))
    bought = [row["expected_success"] for row in rows]
    assert bought == sorted(bought)
    here = next(row for row in rows if row["budget"] == 1.0)
    assert here["gain"] == pytest.approx(0.0, abs=1e-2)


def test_a_decision_of_an_earlier_format_comes_out_as_it_was_then() -> None:
    settings = RoutingSettings(budget_fraction=0.5)
    now, then = routed(settings), routed(settings, recorded={})
    assert format_of(now.summary) == 2
    assert "format" not in then.summary
    assert now.table["switching_price"].to_numpy().min() >= 0
    np.testing.assert_array_equal(then.table["switching_price"].to_numpy(), then.allocation.reduced_cost)


def test_an_allocation_that_ignores_a_constraint_is_not_compared_with_those_that_keep_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    kept = {"policy": "mip", "status": "within_gap", "notes": {}, "expected_success": 0.7}
    ignoring = {
        "policy": "ndch_p",
        "status": "heuristic",
        "notes": {"not_kept": ["max_share"]},
        "expected_success": 0.8,
    }
    none = {"policy": "threshold", "status": "infeasible", "notes": {}, "expected_success": 0.0}
    money = {"budget_usd": 1.0, "cost_usd": 0.9, "gap": 0.0}
    show_allocations([summary | money for summary in (ignoring, none, kept)])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["threshold", "mip", "ndch_p"]
    assert lines[1].split() == ["threshold", "1", "-", "-", "-", "infeasible"]
    assert lines[3].split() == ["ndch_p", "1", "0.9", "-", "-", "ignores", "max_share"]
    assert "ignores a constraint" in lines[-1]
    show_allocations([kept | money])
    assert "ignores a constraint" not in capsys.readouterr().out


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_text_files_hold_rounded_probabilities_and_costs_whose_sum_is_exact(tmp_path: Path, ending: str) -> None:
    costs = [0.1, 0.2, 1e-7 / 3]
    table = pa.table(
        {
            "instruction_id": ["a", "b", "c"],
            "model": pa.array(["m"] * 3).dictionary_encode(),
            "expected_success": [1 / 3, 0.1 + 0.2, 1.0],
            "cost": costs,
        }
    )
    path = tmp_path / f"routed.{ending}"
    write_routed(table, table.select(["instruction_id"]).append_column("instruction", pa.array(["x"] * 3)), path)
    read = (
        pd.read_csv(path, float_precision="round_trip")
        if ending == "csv"
        else pd.read_json(path, lines=True, precise_float=True)
    )
    text = path.read_text()
    assert "0.333333" in text
    assert "0.33333333" not in text
    assert "0.30000000" not in text
    assert sum(map(Fraction, read["cost"].tolist())) == sum(map(Fraction, costs))


def test_second_looks_without_settings_of_their_own_are_recorded() -> None:
    plain, looks = RoutingSettings(), RoutingSettings(second_look={})
    assert "second_look" not in plain.to_json()
    assert settings_from(json.loads(looks.to_json()), source="test").second_look == {}
    assert plain.version != looks.version
