"""Answers are matched with the models of a decision, counted once, and priced exactly."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from provider_lines import chat, claude, expired

from routing_assets.answers.answer import Answer
from routing_assets.answers.collect import Collected, collect
from routing_assets.answers.costs import token_prices
from routing_assets.answers.forms import read_answer
from routing_assets.answers.models import ModelNames
from routing_assets.answers.outcomes import priced
from routing_assets.datasets.outcomes import Outcomes
from routing_assets.pricing.catalog import ModelCatalog, ModelEntry, PriceTier

CATALOG = ModelCatalog((ModelEntry("large", 2.5, 10.0), ModelEntry("claude-sonnet-4", 3.0, 15.0)))
NAMES = ModelNames(CATALOG.names)


def collected(*answers: Answer, routed: str = "large") -> Collected:
    return collect(answers, {"q": routed}, NAMES, token_prices(CATALOG))


def rows(found: Collected) -> list[dict[str, Any]]:
    return found.to_arrow().to_pylist()


@pytest.mark.parametrize(
    ("said", "model"),
    [
        ("gpt-4o-mini-2024-07-18", "gpt-4o-mini"),
        ("gpt-4o-2024-08-06", "gpt-4o"),
        ("openai/gpt-4o", "gpt-4o"),
        ("models/gemini-2.5-flash", "gemini-2.5-flash"),
        ("gemini-1.5-pro-002", "gemini-1.5-pro"),
        ("publishers/google/models/gemini-2.5-flash", "gemini-2.5-flash"),
        ("us.anthropic.claude-sonnet-4-20250514-v1:0", "claude-sonnet-4"),
        ("claude-sonnet-4@20250514", "claude-sonnet-4"),
        ("my-deployment", "gpt-4o-mini"),
        ("gpt-4o-2024-05-13", "gpt-4o-2024-05-13"),
        ("gpt-4", None),
        ("gpt-4o-audio", None),
        ("o1", None),
    ],
)
def test_a_providers_name_of_a_model(said: str, model: str | None) -> None:
    known = ("gpt-4o", "gpt-4o-mini", "gpt-4o-2024-05-13", "gemini-2.5-flash", "gemini-1.5-pro", "claude-sonnet-4")
    assert ModelNames(known, {"my-deployment": "gpt-4o-mini"}).model(said) == model


def test_a_name_of_several_models_means_the_one_that_was_routed_to() -> None:
    names = ModelNames(["azure/gpt-4o", "openai/gpt-4o"])
    assert names.model("gpt-4o-2024-08-06", "azure/gpt-4o") == "azure/gpt-4o"
    assert names.model("gpt-4o-2024-08-06") is None


def test_the_cost_is_tokens_times_prices_exactly() -> None:
    found = collected(read_answer(chat("q")))
    assert found.spent == Fraction(1000 * 25, 10**7) + Fraction(200 * 10, 10**6)
    (row,) = rows(found)
    assert (row["model"], row["attempt"], row["newest"], row["cost"]) == ("large", 1, True, 0.0045)


def test_tokens_written_to_a_cache_cost_more() -> None:
    written = {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 100}
    line = claude("q", cache_creation_input_tokens=200, cache_creation=written)
    found = collected(read_answer(line), routed="claude-sonnet-4")
    assert found.spent == (12 + Fraction(125) + 200) * Fraction(3, 10**6) + 3 * Fraction(15, 10**6)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (Answer("q", "large", 1, "x"), "the answer reports no tokens"),
        (Answer("q", "large", 1, "x", input_tokens=3), "the answer reports no output tokens"),
        (Answer("q", "large", 1, error="late"), "the failed call reports no tokens"),
        (Answer("q", "other", 1, "x", input_tokens=3, output_tokens=3), "has no price per token for 'other'"),
    ],
)
def test_an_unknown_cost_is_null_and_says_why(answer: Answer, why: str) -> None:
    (row,) = rows(collected(answer))
    assert row["cost"] is None
    assert why in row["cost_unknown"]


def test_the_decisions_model_is_taken_where_the_provider_names_none() -> None:
    (row,) = rows(collected(read_answer(expired("q"))))
    assert row["model"] == "large"


def test_the_newest_answer_counts_in_any_order_of_files_and_none_is_lost() -> None:
    first = read_answer(chat("q", "Cusco"))
    second = read_answer(chat("q", "Lima", created=1_700_000_100))
    late = replace(read_answer(expired("q")), created=1_800_000_000.0)
    tables = []
    for order in permutations([first, second, late, first, second]):
        found = collected(*order)
        assert found.spent == 2 * Fraction(45, 10**4)
        tables.append(rows(found))
    assert all(table == tables[0] for table in tables)
    assert [(row["text"], row["attempt"], row["newest"]) for row in tables[0]] == [
        ("Cusco", 1, False),
        ("Lima", 2, True),
        (None, 3, False),
    ]


def test_a_model_that_an_instruction_was_not_routed_to_keeps_its_answer() -> None:
    assert [row["model"] for row in rows(collected(read_answer(chat("q", model="unheard-of"))))] == ["unheard-of"]


@given(st.lists(st.tuples(st.integers(0, 10**7), st.integers(0, 10**6), st.integers(0, 10**7)), max_size=20))
def test_the_spend_is_the_exact_sum(calls: list[tuple[int, int, int]]) -> None:
    answers = [
        Answer(str(i), "large", 1, "x", None, read, min(cached, read), written)
        for i, (read, written, cached) in enumerate(calls)
    ]
    found = collect(answers, {}, NAMES, token_prices(CATALOG))
    assert found.spent == sum((Fraction(25 * r + 100 * w, 10**7) for r, w, _ in calls), Fraction(0))


def test_cached_tokens_tiers_batches_and_calls_are_paid_as_the_catalog_says() -> None:
    tier = PriceTier(above_tokens=1000, input_price=4.0, output_price=20.0, cached_input_price=0.4)
    entry = ModelEntry("large", 2.0, 10.0, cached_input_price=0.2, request_price=0.001, batch=0.5, tiers=(tier,))
    prices = token_prices(ModelCatalog((entry,)))
    answers = [Answer(str(read), "large", 1, "x", None, read, 500, 200, 150) for read in (1000, 1001)]
    spent = collect(answers, {}, NAMES, prices).spent
    short, long = (500 * 2 + 500 * Fraction("0.2") + 200 * 10), (501 * 4 + 500 * Fraction("0.4") + 200 * 20)
    assert spent == (short + long) / 2_000_000 + 2 * Fraction("0.001")
    assert math.fsum(priced(bill(answers), {}, NAMES, prices).cost) == pytest.approx(float(spent))


def bill(answers: list[Answer]) -> Outcomes:
    """A table of bills that reports the tokens of these answers."""
    numbers = {
        name: np.array([getattr(answer, name) for answer in answers], float)
        for name in ("input_tokens", "output_tokens", "cached_tokens")
    }
    unknown = np.full(len(answers), np.nan)
    return Outcomes(
        instruction_id=np.array([answer.instruction_id for answer in answers], object),
        model=np.array([answer.model for answer in answers], object),
        contradicted=np.zeros(len(answers), bool),
        **dict.fromkeys(("success", "cost", "tokens", "latency_s"), unknown),
        **numbers,
    )
