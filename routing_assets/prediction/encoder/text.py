"""The part of an instruction that is worth embedding.

Benchmarks and production prompts often open with a long block shared by every instruction of a task (a system prompt,
few-shot examples) and end with a shared one (output rules). A sentence encoder that reads a few hundred tokens would
mostly embed these blocks, which say nothing about the difficulty of the one instruction at hand. They are recognised
once, on the training instructions, kept with the classifier by their hashes, and cut off before embedding.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MIN_SHARED_CHARACTERS = 40
"""A shared block shorter than this costs the encoder few tokens, so it stays."""
MIN_SHARED_ROWS = 20
"""A block that fewer instructions share may be there by chance, and stays."""
SHARED_BY = 0.95
"""A block must be shared by this part of the instructions that begin (or end) alike."""
ROUNDS = 3
"""Shared blocks may nest: a system prompt for all, then a preamble per task, then one per template."""


@dataclass(frozen=True)
class SharedBlock:
    """A block by its length and hash, so that no text is kept with a router."""

    characters: int
    sha256: str

    @classmethod
    def of(cls, text: str) -> SharedBlock:
        """The block that reads ``text``."""
        return cls(len(text), _sha256(text))

    @classmethod
    def from_json(cls, value: str | dict[str, Any]) -> SharedBlock:
        """A block of a saved router; older ones were saved as their text."""
        return cls.of(value) if isinstance(value, str) else cls(**value)

    def begins(self, text: str) -> bool:
        """Whether ``text`` begins with the block."""
        return len(text) >= self.characters and _sha256(text[: self.characters]) == self.sha256

    def ends(self, text: str) -> bool:
        """Whether ``text`` ends with the block."""
        return len(text) >= self.characters and _sha256(text[len(text) - self.characters :]) == self.sha256


@dataclass(frozen=True)
class TextPreparation:
    """Shared blocks to cut off, longest first, and how much of a long text is kept.

    ``max_characters`` bounds the text that reaches the tokenizer; the encoder cuts again, by tokens.
    ``ignores_last_space`` is False in older routers: they were trained with shared ends kept where white space follows.
    """

    preambles: tuple[SharedBlock, ...] = ()
    postambles: tuple[SharedBlock, ...] = ()
    max_characters: int = 8_000
    head_share: float = 0.25
    ignores_last_space: bool = True

    def prepare(self, instruction: Iterable[str]) -> list[str]:
        """The text to embed for each instruction: shared blocks cut off, long texts reduced to their two ends."""
        return [self._prepare_one(text) for text in instruction]

    def _prepare_one(self, text: str) -> str:
        body = text[next((block.characters for block in self.preambles if block.begins(text)), 0) :]
        body = body.rstrip() if self.ignores_last_space else body
        postamble = next((block.characters for block in self.postambles if block.ends(body)), 0)
        body = body[: len(body) - postamble].strip()
        return keep_ends(body or text.strip(), self.max_characters, self.head_share)

    def to_dict(self) -> dict[str, object]:
        """JSON-able form, see :meth:`from_dict`."""
        return {
            "preambles": [asdict(block) for block in self.preambles],
            "postambles": [asdict(block) for block in self.postambles],
            "max_characters": self.max_characters,
            "head_share": self.head_share,
            "ignores_last_space": self.ignores_last_space,
        }

    @classmethod
    def from_dict(cls, values: dict[str, object]) -> TextPreparation:
        """Inverse of :meth:`to_dict`."""
        return cls(
            tuple(map(SharedBlock.from_json, values["preambles"])),  # type: ignore[call-overload]
            tuple(map(SharedBlock.from_json, values["postambles"])),  # type: ignore[call-overload]
            int(values["max_characters"]),  # type: ignore[call-overload]
            float(values["head_share"]),  # type: ignore[arg-type]
            bool(values.get("ignores_last_space", False)),
        )


def fit_text_preparation(instruction: Sequence[str] | NDArray[np.object_], **settings: float) -> TextPreparation:
    """Recognise the blocks that (nearly) all instructions of a task share at their beginning or end.

    Tasks need not be named: instructions that begin with the same :data:`MIN_SHARED_CHARACTERS` characters are taken
    to be of one task. Equal texts count once, so a text repeated often is not taken for a preamble.
    """
    texts = sorted(set(instruction))
    preambles = _shared_beginnings(texts)
    without = [text[len(next((p for p in preambles if text.startswith(p)), "")) :].rstrip() for text in texts]
    postambles = [block[::-1] for block in _shared_beginnings([text[::-1] for text in without], cut_at=("\n",))]
    blocks = (tuple(map(SharedBlock.of, texts)) for texts in (preambles, postambles))
    return TextPreparation(*blocks, **settings)  # type: ignore[arg-type]


def keep_ends(text: str, limit: int, head_share: float) -> str:
    """``text`` cut to ``limit`` characters by leaving out its middle: a question usually stands at one of the ends."""
    if len(text) <= limit:
        return text
    head = int(limit * head_share)
    return f"{text[:head]} … {text[len(text) - (limit - head - 3) :]}"


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


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
