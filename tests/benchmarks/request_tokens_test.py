"""Requests priced against tokens that real tokenizers count, on 1,000 varied bodies.

``pytest -m benchmark -s tests/benchmarks/request_tokens_test.py``; it needs ``pip install --no-deps litellm`` for the
vocabularies of Claude and DeepSeek, and ``tiktoken`` besides for those of GPT-4 and GPT-4o.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from request_bodies import KINDS, bodies

from routing_assets.datasets import BatchInstructions, LabelledInstructions
from routing_assets.datasets.request_body import read_request
from routing_assets.pricing.catalog import ModelCatalog, ModelEntry, PriceTier
from routing_assets.pricing.cost_model import fit_cost_model
from routing_assets.pricing.token_prices import TokenPrices

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(1800)]
FILES = {"Claude 2": "anthropic_tokenizer.json", "DeepSeek": "deepseek_tokenizer.json"}
ENCODINGS = {"GPT-4": "cl100k_base", "GPT-4o": "o200k_base"}
Count = Callable[[str], int]
ENTRY = ModelEntry(
    "m",
    2.5,
    10.0,
    batch=0.5,
    request_price=0.0001,
    image_price=0.001,
    tags=("vision",),
    tiers=(PriceTier(above_tokens=1500, input_price=5.0, output_price=15.0),),
)


@pytest.fixture(params=[*FILES, *ENCODINGS])
def count(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Count:
    """The number of tokens of a text by one tokenizer."""
    package = importlib.util.find_spec("litellm")
    if package is None or not package.submodule_search_locations:
        pytest.skip("needs the vocabularies that the package litellm ships")
    folder = Path(package.submodule_search_locations[0]) / "litellm_core_utils" / "tokenizers"
    if request.param in FILES:
        tokenizers = pytest.importorskip("tokenizers")
        tokenizer = tokenizers.Tokenizer.from_file(str(folder / FILES[request.param]))
        return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(folder))
    encoding = pytest.importorskip("tiktoken").get_encoding(ENCODINGS[request.param])
    return lambda text: len(encoding.encode(text, disallowed_special=()))


def test_input_tokens_of_a_thousand_bodies(count: Count, request: pytest.FixtureRequest) -> None:
    sent = bodies(1000)
    true = np.array([one.tokens(count) for one in sent], float)
    kinds = np.array([one.kind for one in sent])
    read = [read_request(one.body) for one in sent]
    assert [r.images for r in read] == [one.images for one in sent]
    ratio = np.array([r.input_tokens for r in read]) / true
    by_length = np.array([read_request(one.body, by_length=True).input_tokens for one in sent]) / true
    print(f"\n{request.node.callspec.params['count']}: error of input tokens; in brackets, a fourth of the bytes")
    for kind in [*KINDS, "all"]:
        of = kinds == kind if kind != "all" else np.ones(len(sent), bool)
        figures = [f"{np.median(abs(r[of] - 1)):6.1%} median, least {r[of].min():.2f}" for r in (ratio, by_length)]
        print(f"  {kind:20}{figures[0]}   ({figures[1]})")
    assert np.median(abs(ratio - 1)) <= 0.10
    assert ratio.min() > 0.5


def test_true_costs_lie_within_the_stated_error(count: Count, request: pytest.FixtureRequest) -> None:
    rng = np.random.default_rng(0)
    sent, prices = bodies(1000, seed=1), TokenPrices.of(ENTRY)
    model = fit_cost_model(labels(count), ModelCatalog((ENTRY,)))
    read = [read_request(one.body) for one in sent]
    estimate = model.estimate_requests(batch(read))
    mean, std = estimate.mean[:, 0], estimate.std[:, 0]
    assumed = np.broadcast_to(estimate.assumed_error, estimate.mean.shape)[:, 0]
    stated = np.sqrt(std**2 + (mean * estimate.shared_error[0]) ** 2 + assumed**2)
    true = np.array(
        [
            float(prices.usd(one.tokens(count), written)) + one.images * 0.001 * 0.5
            for one, r in zip(sent, read, strict=True)
            for written in [int(np.minimum(answer_lengths(rng, r.answers), r.output_bound or np.inf).sum())]
        ]
    )
    within = np.mean(abs(true - mean) <= 2 * stated)
    print(
        f"\n{request.node.callspec.params['count']}: {within:.1%} of true costs within two stated standard errors; "
        f"sum {mean.sum() / true.sum() - 1:+.1%} off"
    )
    assert within >= 0.95
    assert abs(mean.sum() - true.sum()) <= 2 * estimate.forecast(np.zeros(len(sent), int)).std


def answer_lengths(rng: np.random.Generator, answers: int) -> np.ndarray:
    """Output tokens of so many answers."""
    return np.maximum(rng.lognormal(5.0, 0.6, answers).round(), 1.0)


def labels(count: Count) -> LabelledInstructions:
    """Calls that were made before, with their tokens: questions without tools or bounds."""
    rng = np.random.default_rng(1)
    asked = [one for one in bodies(3000, seed=2) if one.kind in ("short chat", "document", "code")]
    ids = np.array([str(n) for n in range(len(asked))], object)
    return LabelledInstructions(
        name="asked",
        models=("m",),
        instruction_id=ids,
        instruction=np.array([one.texts[0] for one in asked], object),
        success=np.ones((len(asked), 1)),
        input_tokens=np.array([[one.tokens(count)] for one in asked], float),
        output_tokens=np.array([answer_lengths(rng, 1) for _ in asked]),
    )


def batch(read: list) -> BatchInstructions:  # type: ignore[type-arg]
    """The requests as a batch."""
    numbers = {
        name: np.array([getattr(r, name) for r in read], float)
        for name in ("input_tokens", "text_tokens", "output_bound", "answers", "images")
    }
    texts = np.array([r.text for r in read], object)
    return BatchInstructions(np.array([str(n) for n in range(len(read))], object), texts, **numbers)
