"""Published price lists are read as they are, and an entry that is no price of calls is refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from routing_assets.foundation.errors import InvalidInput
from routing_assets.pricing.catalog import ModelEntry, PriceTier
from routing_assets.pricing.catalog_table import read_catalog
from routing_assets.pricing.price_lists.reading import MOST_AT_ONCE
from routing_assets.pricing.token_prices import TokenPrices

LITELLM: dict[str, Any] = {
    "sample_spec": {"input_cost_per_token": 0.0, "mode": "one of: chat, embedding", "max_input_tokens": "max tokens"},
    "large": {
        "input_cost_per_token": 1.25e-06,
        "output_cost_per_token": 1e-05,
        "cache_read_input_token_cost": 1.25e-07,
        "input_cost_per_token_above_200k_tokens": 2.5e-06,
        "output_cost_per_token_above_200k_tokens": 1.5e-05,
        "input_cost_per_token_batches": 6.25e-07,
        "output_cost_per_token_batches": 5e-06,
        "cache_read_input_token_cost_batches": 6.25e-08,
        "input_cost_per_token_priority": 9e-06,
        "input_cost_per_image": 0.0011,
        "litellm_provider": "gemini",
        "max_input_tokens": 1048576,
        "mode": "chat",
        "supports_vision": True,
        "supports_function_calling": True,
        "supports_response_schema": False,
    },
    "openai/small": {"input_cost_per_token": 1.5e-07, "output_cost_per_token": 6e-07, "litellm_provider": "openai"},
    "latest": {"alias_of": "openai/small"},
    "ranges": {
        "litellm_provider": "dashscope",
        "tiered_pricing": [
            {"input_cost_per_token": 5e-08, "output_cost_per_token": 4e-07, "range": [0, 256000.0]},
            {"input_cost_per_token": 2.5e-07, "output_cost_per_token": 2e-06, "range": [256000.0, 1000000.0]},
        ],
    },
    "searcher": {"input_cost_per_request": 0.005, "input_cost_per_token": 0.0, "output_cost_per_token": 2.8e-06},
    "embedder": {"input_cost_per_token": 1e-08, "output_cost_per_token": 0.0, "mode": "embedding"},
    "rented": {"input_cost_per_second": 0.0019, "mode": "chat"},
    "painter": {"input_cost_per_pixel": 1e-08, "input_cost_per_token": 1e-8, "output_cost_per_token": 1e-8},
    "half": {"input_cost_per_token": 1e-06, "mode": "chat"},
    "unknown": {"input_cost_per_token": 0, "output_cost_per_token": 0},
    "thinker": {
        "input_cost_per_token": 1e-07,
        "output_cost_per_token": 6e-07,
        "output_cost_per_reasoning_token": 3.5e-06,
    },
    "text": {"input_cost_per_token": "free", "output_cost_per_token": 1e-06},
}
OPENROUTER: dict[str, Any] = {
    "data": [
        {
            "id": "openai/gpt-4o",
            "context_length": 128000,
            "architecture": {"input_modalities": ["text", "image", "file"], "output_modalities": ["text"]},
            "pricing": {
                "prompt": "0.0000025",
                "completion": "0.00001",
                "image": "0.003613",
                "request": "0",
                "input_cache_read": "0.00000125",
                "web_search": "0.01",
                "internal_reasoning": "0",
            },
            "supported_parameters": ["tools", "max_tokens", "response_format"],
        },
        {"id": "google/gemini-flash", "pricing": {"prompt": "3e-7", "completion": "2.5e-6", "image": "3e-7"}},
        {"id": "perplexity/sonar", "pricing": {"prompt": "0.000001", "completion": "0.000001", "request": "0.005"}},
        {"id": "meta/llama:free", "pricing": {"prompt": "0", "completion": "0"}},
        {"id": "openrouter/auto", "pricing": {"prompt": "-1", "completion": "-1"}},
        {"id": "some/zero", "pricing": {"prompt": "0", "completion": "0"}},
        {
            "id": "some/painter",
            "architecture": {"output_modalities": ["image"]},
            "pricing": {"prompt": "1e-6", "completion": "1e-6"},
        },
    ]
}


def entry(tmp_path: Path, document: Any, models: str) -> ModelEntry:
    path = tmp_path / "anything.txt"
    path.write_text(json.dumps(document))
    catalog = read_catalog(str(path), [models])
    assert catalog is not None
    (only,) = catalog.models
    return only


def test_litellms_prices_are_those_of_a_catalog(tmp_path: Path) -> None:
    assert entry(tmp_path, LITELLM, "mine=large") == ModelEntry(
        "mine",
        1.25,
        10.0,
        cached_input_price=0.125,
        batch=0.5,
        tiers=(PriceTier(above_tokens=200_000, input_price=2.5, output_price=15.0, cached_input_price=0.5),),
        image_price=0.0011,
        context_tokens=1_048_576,
        tags=("vision", "tools"),
        provider="gemini",
        api_name="large",
    )
    assert entry(tmp_path, LITELLM, "openai/small").api_name == "small"
    assert entry(tmp_path, LITELLM, "latest").input_price == 0.15
    assert entry(tmp_path, LITELLM, "small") == entry(tmp_path, LITELLM, "small=openai/small")
    assert entry(tmp_path, LITELLM, "searcher").request_price == 0.005
    (tier,) = entry(tmp_path, LITELLM, "ranges").tiers
    assert tier == PriceTier(above_tokens=256_000, input_price=0.25, output_price=2.0)


def test_what_a_batch_costs_is_what_the_list_says_even_if_its_shares_differ(tmp_path: Path) -> None:
    listed = {
        "input_cost_per_token": 3e-06,
        "output_cost_per_token": 12e-06,
        "cache_read_input_token_cost": 1e-06,
        "input_cost_per_token_batches": 1.5e-06,
        "output_cost_per_token_batches": 9e-06,
    }
    (band,) = TokenPrices.of(entry(tmp_path, {"m": listed}, "m")).bands
    assert [float(price) for price in (band.input, band.cached, band.output)] == pytest.approx([1.5, 1.0, 9.0])


REFUSED = {
    "embedder": "it is of mode 'embedding', not a chat model",
    "rented": "billed per second",
    "painter": "billed per pixel",
    "half": "it has no output_cost_per_token",
    "unknown": "listed at 0 USD",
    "thinker": "its reasoning tokens cost more",
    "text": "its input_cost_per_token is 'free', not a number",
    "openrouter/auto": "the price varies from call to call",
    "some/zero": "listed at 0 USD",
    "some/painter": "it answers with image",
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_entry_that_is_no_price_of_calls_is_refused_by_name(tmp_path: Path, name: str) -> None:
    document = LITELLM if name in LITELLM else OPENROUTER
    with pytest.raises(InvalidInput, match=rf"'{name}' of .* cannot be priced: .*{REFUSED[name]}") as caught:
        entry(tmp_path, document, f"mine={name}")
    assert "anything.txt" in str(caught.value)


def test_openrouters_prices_are_those_of_a_catalog(tmp_path: Path) -> None:
    assert entry(tmp_path, OPENROUTER, "gpt-4o") == ModelEntry(
        "gpt-4o",
        2.5,
        10.0,
        cached_input_price=1.25,
        image_price=0.003613,
        context_tokens=128_000,
        tags=("vision", "files", "tools", "json"),
        provider="openai_compatible",
        api_name="openai/gpt-4o",
    )
    assert entry(tmp_path, OPENROUTER["data"], "sonar").request_price == 0.005
    assert entry(tmp_path, OPENROUTER, "gemini-flash").image_price is None
    assert entry(tmp_path, OPENROUTER, "free=meta/llama:free").input_price == 0


def test_models_are_named_and_a_wrong_name_is_told_the_right_one(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"'opnai/small' is not in LiteLLM's map of prices. Did you mean 'openai/sm"):
        entry(tmp_path, LITELLM, "mine=opnai/small")
    many = {f"m{n}": LITELLM["openai/small"] for n in range(MOST_AT_ONCE + 1)}
    with pytest.raises(InvalidInput, match=r"has 101 models. Name those that you route to: --models"):
        read_catalog(str(written(tmp_path, many)))
    two = {"azure/m": LITELLM["half"], "openai/m": LITELLM["half"]}
    with pytest.raises(InvalidInput, match="Name one of azure/m, openai/m: --models m=LISTED"):
        entry(tmp_path, two, "m")
    for models in ("a,a", "a,,b", "a=", "=b"):
        with pytest.raises(InvalidInput, match="blank or named twice"):
            entry(tmp_path, LITELLM, models)
    with pytest.raises(InvalidInput, match="models are named, but no catalog"):
        read_catalog(None, ["a"])


def test_all_models_of_a_short_list_are_taken(tmp_path: Path) -> None:
    short = {"a": LITELLM["openai/small"], "b": LITELLM["large"]}
    catalog = read_catalog(str(written(tmp_path, short)))
    assert catalog is not None
    assert catalog.names == ("a", "b")
    path = tmp_path / "same.yaml"
    path.write_text("models: {a: {input_price: 0.15, output_price: 0.6}}")
    own = read_catalog(str(path))
    assert own is not None
    bare = read_catalog(
        str(written(tmp_path, {"a": {"input_cost_per_token": 1.5e-07, "output_cost_per_token": 6e-07}}))
    )
    assert bare is not None
    assert bare.version == own.version


def test_a_catalog_of_ones_own_can_be_cut_and_renamed_too(tmp_path: Path) -> None:
    path = tmp_path / "catalog.json"
    path.write_text(json.dumps({"models": {"a": {"price": 1}, "b": {"price": 2}}}))
    catalog = read_catalog(str(path), ["mine=b"])
    assert catalog is not None
    assert catalog.models == (ModelEntry("mine", 2.0, 2.0, api_name="b"),)
    with pytest.raises(InvalidInput, match="'c' is not in the catalog"):
        read_catalog(str(path), ["c"])


def written(tmp_path: Path, document: Any) -> Path:
    path = tmp_path / "list.json"
    path.write_text(json.dumps(document))
    return path
