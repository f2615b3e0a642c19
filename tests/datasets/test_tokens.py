"""Estimated tokens of what requests send: exact sums, one rule for any text, plausible for every kind of text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing_assets.datasets.tokens import request_tokens

COUNTED = {
    "English": ("Read the following article and summarise it in three sentences.", 12),
    "code": ("    for index, value in enumerate(values):\n        total += weights[index] * value\n", 18),
    "JSON": ('{"type":"object","properties":{"name":{"type":"string"}},"required":["name"]}', 19),
    "numbers": ("0.8444218515250481 0.7579544029403025 0.420571580830845", 25),
    "base64": ("QmFzZTY0IGlzIG5vdCBhIGxhbmd1YWdl" * 2, 42),
    "random letters": ("hwfxtlbqcaoezrmkpysdvnuj", 13),
    "capitals": ("READ THE FOLLOWING ARTICLE", 5),
    "Chinese": ("请根据以下材料回答问题。", 7),
    "Japanese": ("次の文章を読んで、要点を三つにまとめてください。", 18),
    "Arabic": ("اقرأ النص التالي ثم لخصه في ثلاث نقاط رئيسية.", 15),
    "Russian": ("Прочитайте следующий текст и выделите три главные мысли.", 13),
    "emoji": ("🎉🎉🚀🔥🔥", 8),
}
"""Texts, and their tokens by GPT-4o's tokenizer."""


@pytest.mark.parametrize("kind", COUNTED)
def test_every_kind_of_text_is_counted_about_right_and_never_by_less_than_half(kind: str) -> None:
    text, tokens = COUNTED[kind]
    assert tokens / 2 < request_tokens(text) < 2.3 * tokens


@given(st.text(st.characters(exclude_categories=())))
def test_any_text_has_a_token_and_no_byte_has_more_than_two(text: str) -> None:
    counted = request_tokens(text)
    assert 1 <= counted <= max(2 * len(text.encode(errors="surrogatepass")), 1)
    assert counted == request_tokens(text)


@given(st.text(), st.text())
def test_more_text_never_counts_less(text: str, more: str) -> None:
    assert request_tokens(text + more) >= request_tokens(text)
