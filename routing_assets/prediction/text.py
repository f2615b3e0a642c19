"""What of an instruction is worth embedding.

Benchmarks and production prompts often open with a long block shared by every instruction of a task (a system prompt,
few-shot examples) and end with a shared one (output rules). A sentence encoder that reads a few hundred tokens would
mostly embed these blocks, which say nothing about the difficulty of the one instruction at hand. They are recognised
once, on the training instructions, kept with the classifier, and cut off before embedding.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MIN_SHARED_CHARACTERS = 40
"""A shared block shorter than this costs the encoder few tokens, so it stays."""
MIN_SHARED_ROWS = 20
"""Fewer instructions than this are no evidence that a block belongs to a task and not to chance."""
SHARED_BY = 0.95
"""A block must be shared by this part of the instructions that begin (or end) alike."""
ROUNDS = 3
"""Shared blocks may nest: a system prompt for all, then a preamble per task, then one per template."""


@dataclass(frozen=True)
class TextPreparation:
    """Shared blocks to cut off, longest first, and how much of a long text is kept.

    ``max_characters`` bounds the text that reaches the tokenizer; the encoder cuts again, by tokens.
    ``ignores_last_space`` is False in older routers: a shared end with white space after it stayed when they learnt.
    """

    preambles: tuple[str, ...] = ()
    postambles: tuple[str, ...] = ()
    max_characters: int = 8_000
    head_share: float = 0.25
    ignores_last_space: bool = True

    def prepare(self, instruction: Iterable[str]) -> list[str]:
        """The text to embed for each instruction: shared blocks cut off, long texts reduced to their two ends."""
        return [self._prepare_one(text) for text in instruction]

    def _prepare_one(self, text: str) -> str:
        preamble = next((block for block in self.preambles if text.startswith(block)), "")
        body = text[len(preamble) :]
        body = body.rstrip() if self.ignores_last_space else body
        postamble = next((block for block in self.postambles if body.endswith(block)), "")
        body = body[: len(body) - len(postamble)].strip()
        return keep_ends(body or text.strip(), self.max_characters, self.head_share)

    def to_dict(self) -> dict[str, object]:
        """JSON-able form, see :meth:`from_dict`."""
        return {
            "preambles": list(self.preambles),
            "postambles": list(self.postambles),
            "max_characters": self.max_characters,
            "head_share": self.head_share,
            "ignores_last_space": self.ignores_last_space,
        }

    @classmethod
    def from_dict(cls, values: dict[str, object]) -> TextPreparation:
        """Inverse of :meth:`to_dict`."""
        return cls(
            tuple(values["preambles"]),  # type: ignore[arg-type]
            tuple(values["postambles"]),  # type: ignore[arg-type]
            int(values["max_characters"]),  # type: ignore[call-overload]
            float(values["head_share"]),  # type: ignore[arg-type]
            bool(values.get("ignores_last_space", False)),
        )


def fit_text_preparation(instruction: Sequence[str] | NDArray[np.object_], **settings: float) -> TextPreparation:
    """Recognise the blocks that (nearly) all instructions of a task share at their beginning or end.

    Tasks need not be named: instructions that begin with the same :data:`MIN_SHARED_CHARACTERS` characters are taken
    to be of one task. Equal texts count once, so a text repeated often is no preamble.
    """
    texts = sorted(set(instruction))
    preambles = _shared_beginnings(texts)
    without = [text[len(next((p for p in preambles if text.startswith(p)), "")) :].rstrip() for text in texts]
    postambles = [block[::-1] for block in _shared_beginnings([text[::-1] for text in without], cut_at=("\n",))]
    return TextPreparation(tuple(preambles), tuple(postambles), **settings)  # type: ignore[arg-type]


def keep_ends(text: str, limit: int, head_share: float) -> str:
    """``text`` cut to ``limit`` characters by leaving out its middle: a question usually stands at one of the ends."""
    if len(text) <= limit:
        return text
    head = int(limit * head_share)
    return f"{text[:head]} … {text[len(text) - (limit - head - 3) :]}"


def _shared_beginnings(texts: Sequence[str], cut_at: tuple[str, ...] = ("\n", " ")) -> list[str]:
    """Blocks shared by nearly all texts that begin alike, longest first; nested blocks are joined to their outer
    block.
    """
    found: set[str] = set()
    outer = {""}
    for _ in range(ROUNDS):
        inner: set[str] = set()
        for block in outer:
            remainders = sorted(text[len(block) :] for text in texts if text.startswith(block))
            inner |= {block + shared for shared in _shared_blocks(remainders, cut_at)}
        found |= inner
        outer = inner
    return sorted(found, key=lambda block: (-len(block), block))


def _shared_blocks(texts: Sequence[str], cut_at: tuple[str, ...]) -> list[str]:
    """One block for each group of sorted ``texts`` with the same first characters, if the group is large enough."""
    beginnings = Counter(text[:MIN_SHARED_CHARACTERS] for text in texts if len(text) > MIN_SHARED_CHARACTERS)
    blocks = []
    for beginning, count in beginnings.items():
        if count < max(MIN_SHARED_ROWS, 0.005 * len(texts)):
            continue
        group = [text for text in texts if text.startswith(beginning)]
        block = _last_break(_longest_shared_by(group, math.ceil(SHARED_BY * len(group))), cut_at)
        if len(block) >= MIN_SHARED_CHARACTERS:
            blocks.append(block)
    return blocks


def _longest_shared_by(texts: Sequence[str], rows: int) -> str:
    """The longest beginning that at least ``rows`` of the sorted ``texts`` share.

    In sorted order the texts that share a beginning are neighbours, so only ends of windows of ``rows`` texts are
    compared.
    """
    candidates = (_common_beginning(texts[i], texts[i + rows - 1]) for i in range(len(texts) - rows + 1))
    return max(candidates, key=len)


def _common_beginning(left: str, right: str) -> str:
    size = next((i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))
    return left[:size]


def _last_break(block: str, cut_at: tuple[str, ...]) -> str:
    """``block`` up to its last line break (or word break), so that no word of the instruction itself is cut in two."""
    for mark in cut_at:
        end = block.rfind(mark) + len(mark)
        if end >= max(MIN_SHARED_CHARACTERS, len(block) / 2):
            return block[:end]
    return ""
