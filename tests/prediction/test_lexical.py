"""The linear model on words and character sequences."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import LogisticRegression

from routing_assets.prediction.classifier import lexical
from routing_assets.prediction.classifier.lexical import (
    BUCKETS,
    _design,
    _fit,
    lexical_inputs,
    reads_characters,
    train_lexical,
)
from routing_assets.prediction.classifier.training_texts import TrainingTexts


def planted(n: int = 300) -> tuple[list[str], TrainingTexts]:
    """Texts of random words; the first model succeeds where a rare spelling occurs, the second by chance."""
    rng = np.random.default_rng(0)
    words = np.array(["river", "poem", "seven", "prime", "date", "logic", "proof", "sort"])
    spelt = rng.random(n) < 0.5
    texts = [" ".join([*rng.choice(words, 6), rng.choice(["zyxophil", "zyxology"]) if s else "plain"]) for s in spelt]
    success = np.column_stack([spelt, rng.random(n) < 0.5]).astype(np.float32)
    rows = np.arange(n)
    fold = np.where(rows < n - 60, rows % 60, -1)
    return texts, TrainingTexts(success, np.ones_like(success), rows[: n - 60], rows[n - 60 :], fold)


def test_learns_spellings_and_says_little_where_words_say_nothing() -> None:
    texts, known = planted()
    inputs = lexical_inputs(texts, np.zeros((len(texts), 1), dtype=np.float32))
    model, left_out = train_lexical(inputs, known)
    right = known.success[known.train] > 0.5
    assert ((left_out[known.train] > 0) == right)[:, 0].mean() > 0.97
    assert np.abs(left_out[known.train, 1]).mean() < np.abs(left_out[known.train, 0]).mean() / 2
    assert np.isnan(left_out[known.validation]).all()
    unseen = lexical_inputs(["a zyxonym of the river", "a plain river"], np.zeros((2, 1), dtype=np.float32))
    logits = model(unseen)
    assert logits[0, 0] > logits[1, 0]


def test_long_corpora_are_read_by_words_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    texts, known = planted()
    monkeypatch.setattr(lexical, "MOST_CHARACTERS", sum(map(len, texts)) - 1)
    assert reads_characters(texts[1:])
    assert not reads_characters(texts)
    features = np.zeros((len(texts), 1), dtype=np.float32)
    model, _ = train_lexical(lexical_inputs(texts, features, characters=False), known)
    assert not model.reads_characters
    assert model.idf[0].any()
    with_them = model(lexical_inputs(texts, features))
    np.testing.assert_array_equal(model(lexical_inputs(texts, features, characters=False)), with_them)


@pytest.mark.parametrize("number", range(lexical.PARTS))
def test_left_out_logits_do_not_know_their_own_labels(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lexical, "PENALTIES", (1.0,))  # a choice among several would hang on all labels
    texts, known = planted()
    inputs = lexical_inputs(texts, np.zeros((len(texts), 1), dtype=np.float32))
    part = known.train[known.fold[known.train] % lexical.PARTS == number]
    flipped = known.success.copy()
    flipped[part] = 1 - flipped[part]
    _, before = train_lexical(inputs, known)
    _, after = train_lexical(inputs, replace(known, success=flipped))
    np.testing.assert_array_equal(before[part], after[part])
    assert not np.array_equal(before[known.train], after[known.train])


def test_the_fit_is_that_of_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lexical, "TOLERANCE", 1e-8)
    monkeypatch.setattr(lexical, "MOST_ITERATIONS", 1_000)
    texts, known = planted()
    inputs = lexical_inputs(texts, np.zeros((len(texts), 1), dtype=np.float32))
    design = _design(inputs, np.ones((2, inputs.words.shape[1]), dtype=np.float32))
    for penalty in (0.5, 5.0):
        mine = _fit(design, known.success, known.weight, penalty)
        for model in range(2):
            theirs = LogisticRegression(C=1 / penalty, tol=1e-8, max_iter=1000).fit(design, known.success[:, model])
            np.testing.assert_allclose(
                design @ mine[:-1, model] + mine[-1, model], theirs.decision_function(design), atol=0.03
            )


def test_unlabelled_pairs_do_not_count() -> None:
    texts, known = planted()
    inputs = lexical_inputs(texts, np.zeros((len(texts), 1), dtype=np.float32))
    weight = known.weight.copy()
    weight[:100, 1] = 0
    garbled = known.success.copy()
    garbled[:100, 1] = 1 - garbled[:100, 1]
    first, _ = train_lexical(inputs, replace(known, weight=weight))
    second, _ = train_lexical(inputs, replace(known, success=garbled, weight=weight))
    assert torch.equal(first.weight, second.weight)


@pytest.mark.parametrize("text", ["", "   ", "\x00", "🙂🙂🙂"])
def test_texts_without_words_get_a_finite_logit(text: str) -> None:
    texts, known = planted()
    model, _ = train_lexical(lexical_inputs(texts, np.zeros((len(texts), 1), dtype=np.float32)), known)
    assert torch.isfinite(model(lexical_inputs([text], np.zeros((1, 1), dtype=np.float32)))).all()


def test_texts_that_all_lie_in_one_part_are_still_learnt_from() -> None:
    texts, known = planted()
    inputs = lexical_inputs(texts, np.zeros((len(texts), 1), dtype=np.float32))
    model, left_out = train_lexical(inputs, replace(known, fold=np.minimum(known.fold, 0)))
    right = known.success[known.validation, 0] > 0.5
    assert ((model(inputs.take(known.validation))[:, 0].numpy() > 0) == right).mean() > 0.97
    assert np.isnan(left_out).all()


LETTERS = st.one_of(st.sampled_from("ab Bé \t\u00a0.,'"), st.characters(exclude_categories=["Cs"]))


@given(st.lists(st.text(LETTERS, max_size=30), min_size=1, max_size=6))
def test_words_and_sequences_are_counted_as_scikit_learn_counts_them(texts: list[str]) -> None:
    require_equal_counts(texts)


def test_many_long_and_many_short_texts_are_counted_in_portions() -> None:
    rng = np.random.default_rng(0)
    words = ["straße", "🙂🙂", "x" * 1_000, "zyxophil", "a", "ΑΣ", "don't"]
    require_equal_counts([" ".join(rng.choice(words, size)) for size in rng.integers(0, 60, 500)])


def require_equal_counts(texts: list[str]) -> None:
    found = lexical_inputs(texts, np.zeros((len(texts), 0), dtype=np.float32))
    shared = {"n_features": BUCKETS, "alternate_sign": False, "norm": None, "dtype": np.float32}
    words = HashingVectorizer(ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b", **shared)
    sequences = HashingVectorizer(analyzer="char_wb", ngram_range=(3, 5), **shared)
    for counts, vectorizer in ((found.words, words), (found.characters, sequences)):
        expected = vectorizer.transform(texts)
        assert np.array_equal(counts.indices, expected.indices)
        assert np.array_equal(counts.indptr, expected.indptr)
        assert np.array_equal(counts.data, 1 + np.log(expected.data))
        assert counts.dtype == np.float32
