from __future__ import annotations

import json

import numpy as np
import pytest

from routing_assets.prediction.encoder.text import SharedBlock, TextPreparation, fit_text_preparation, keep_ends

FEW_SHOT = "Answer the question with one letter.\n\nWhat is the capital of France?\nA) Paris\nAnswer:\nA\n\n"
RULES = "\nPrint only a single letter and nothing else at all, please.\nAnswer:"


def questions(n: int) -> list[str]:
    return [f"{chr(97 + i % 26) * 3} number {i} is the question?" for i in range(n)]


def test_preamble_and_rules_shared_by_all_are_not_embedded() -> None:
    bodies = questions(100)
    preparation = fit_text_preparation([FEW_SHOT + body + RULES for body in bodies])
    assert preparation.preambles == (SharedBlock.of(FEW_SHOT),)
    assert preparation.prepare([FEW_SHOT + "Why?" + RULES]) == ["Why?"]


@pytest.mark.parametrize("space", ["\n", " \n\n", ""])
def test_rules_are_cut_off_whatever_space_follows_them(space: str) -> None:
    texts = [body + RULES + space for body in questions(200)]
    preparation = fit_text_preparation(texts)
    assert preparation.prepare(texts) == questions(200)
    assert preparation.prepare(["Why?" + RULES, "Why?" + RULES + "\n"]) == ["Why?", "Why?"]


def test_an_older_router_still_keeps_rules_that_white_space_follows() -> None:
    saved = fit_text_preparation([body + RULES for body in questions(50)]).to_dict()
    del saved["ignores_last_space"]
    prepared = TextPreparation.from_dict(saved).prepare(["Why?" + RULES, "Why?" + RULES + "\n"])
    assert prepared == ["Why?", "Why?" + RULES]


def test_each_task_has_its_own_preamble_without_being_named() -> None:
    other = "You are a careful programmer who writes short Python functions.\n"
    texts = [FEW_SHOT + q for q in questions(60)] + [other + q for q in questions(60)] + questions(60)
    preparation = fit_text_preparation(texts)
    assert set(preparation.preambles) == {SharedBlock.of(FEW_SHOT), SharedBlock.of(other)}
    assert preparation.prepare(texts) == questions(60) * 3


def test_preamble_is_found_when_a_few_rows_lack_it() -> None:
    texts = [FEW_SHOT + q for q in questions(97)] + [FEW_SHOT[:50] + " (cut)" + q for q in questions(3)]
    assert fit_text_preparation(texts).preambles == (SharedBlock.of(FEW_SHOT),)


def test_nested_preamble_is_cut_whole() -> None:
    system = "You are a helpful assistant who thinks step by step.\n"
    tasks = [
        "Translate the following sentence into German, keep names:\n",
        "Summarise the following paragraph in one line:\n",
    ]
    texts = [system + task + q for task in tasks for q in questions(50)]
    assert fit_text_preparation(texts).prepare(texts[:1] + texts[-1:]) == [questions(50)[0], questions(50)[-1]]


def test_one_text_repeated_often_is_not_a_preamble() -> None:
    texts = [FEW_SHOT] * 100 + questions(10)
    assert fit_text_preparation(texts) == TextPreparation()


def test_unrelated_texts_stay_as_they_are() -> None:
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(list("abcdefgh"), 40)) for _ in range(200)]
    assert fit_text_preparation(texts).prepare(texts) == texts


def test_text_of_nothing_but_preamble_is_kept() -> None:
    preparation = fit_text_preparation([FEW_SHOT + q for q in questions(50)])
    assert preparation.prepare([FEW_SHOT]) == [FEW_SHOT.strip()]


def test_long_text_keeps_both_ends_and_its_limit() -> None:
    text = "BEGIN " + "x" * 10_000 + " the question is at the END"
    cut = keep_ends(text, 200, 0.25)
    assert len(cut) == 200
    assert cut.startswith("BEGIN")
    assert cut.endswith("the question is at the END")


def test_preparation_survives_json() -> None:
    preparation = fit_text_preparation([FEW_SHOT + body + RULES for body in questions(50)])
    assert TextPreparation.from_dict(preparation.to_dict()) == preparation


def test_a_router_is_saved_without_the_blocks_it_cuts_off_and_an_older_one_is_read() -> None:
    texts = [FEW_SHOT + body + RULES for body in questions(50)]
    preparation = fit_text_preparation(texts)
    saved = preparation.to_dict()
    assert "capital of France" not in json.dumps(saved)
    older = saved | {"preambles": [FEW_SHOT], "postambles": [RULES]}
    assert TextPreparation.from_dict(older).prepare(texts) == preparation.prepare(texts) == questions(50)
