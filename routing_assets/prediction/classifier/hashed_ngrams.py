"""Counts of hashed n-grams: those of scikit-learn's ``HashingVectorizer``, computed for many texts at once by NumPy.

All n-grams are windows of one buffer of UTF-8, and each step of MurmurHash3 (Appleby 2011) takes all windows together.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack

WORD = re.compile(r"\b\w+\b")
SEQUENCES = (3, 4, 5)
"""Characters of the sequences that are counted."""
_CHARACTERS_AT_ONCE = 1 << 16
_LONGEST_WINDOW = 256
"""Bytes; each longer window is hashed by itself."""
_SPACE = ord(" ")

Bytes = NDArray[np.uint8]
Whole = NDArray[np.int64]
Hashes = NDArray[np.uint32]


def count_words(texts: Sequence[str], buckets: int) -> csr_array:
    """(N, buckets) float32: how many words, and pairs of words that follow each other, fall into each bucket."""
    return _stacked([_count_words(some, buckets) for some in _portions(texts)], buckets)


def count_sequences(texts: Sequence[str], buckets: int) -> csr_array:
    """(N, buckets) float32: how many sequences of characters fall into each bucket.

    A sequence lies within a word and the spaces around it, so each distinct word is read once.
    """
    number: defaultdict[str, int] = defaultdict()
    number.default_factory = number.__len__
    words = [text.lower().split() for text in texts]
    ends = np.cumsum([0, *map(len, words)], dtype=np.int32)
    found = np.fromiter(map(number.__getitem__, chain.from_iterable(words)), np.int32, ends[-1])
    of_texts = csr_array((np.ones(ends[-1], np.float32), found, ends), shape=(len(texts), len(number)))
    of_words = _stacked([_count_sequences(some, buckets) for some in _portions(list(number))], buckets)
    counts = csr_array(of_texts @ of_words)
    counts.sort_indices()
    return counts


def _count_words(texts: Sequence[str], buckets: int) -> csr_array:
    tokens = [WORD.findall(text.lower()) for text in texts]
    of_text = np.repeat(np.arange(len(texts)), [len(some) for some in tokens])
    buffer = _utf8(" ".join(chain.from_iterable(tokens)))
    spaces = np.flatnonzero(buffer == _SPACE)
    start = np.concatenate([[0], spaces + 1])[: len(of_text)]
    end = np.concatenate([spaces, [len(buffer)]])[: len(of_text)]
    pair = np.flatnonzero(of_text[1:] == of_text[:-1])
    windows = np.concatenate([start, start[pair]]), np.concatenate([end, end[pair + 1]])
    return _counts(buffer, *windows, np.concatenate([of_text, of_text[pair]]), (len(texts), buckets))


def _count_sequences(words: Sequence[str], buckets: int) -> csr_array:
    buffer = _utf8(f" {' '.join(words)} ")
    character = np.append(np.flatnonzero(buffer & 0xC0 != 0x80), len(buffer))  # where each begins, and the end
    is_space = buffer[character[:-1]] == _SPACE
    word = np.cumsum(is_space) - 1  # with the space before it
    closing_space = np.append(np.flatnonzero(is_space)[1:], len(is_space))[word]
    room = closing_space + 1 - np.arange(len(word))
    first = [np.flatnonzero(room >= size) for size in SEQUENCES]
    start = np.concatenate([character[places] for places in first])
    end = np.concatenate([character[places + size] for places, size in zip(first, SEQUENCES, strict=True)])
    return _counts(buffer, start, end, np.concatenate([word[places] for places in first]), (len(words), buckets))


def _portions(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """The texts, as many at a time as have few characters."""
    ends = np.cumsum([len(text) for text in texts])
    first = 0
    while first < len(texts):
        before = ends[first - 1] if first else 0
        last = max(first + 1, int(np.searchsorted(ends, before + _CHARACTERS_AT_ONCE, side="right")))
        yield texts[first:last]
        first = last


def _stacked(parts: Sequence[csr_array], buckets: int) -> csr_array:
    return csr_array(vstack(parts, format="csr")) if parts else csr_array((0, buckets), dtype=np.float32)


def _counts(buffer: Bytes, start: Whole, end: Whole, row: Whole, shape: tuple[int, int]) -> csr_array:
    signed = murmurhash3(buffer, start, end - start).view(np.int32)
    bucket = np.abs(signed).view(np.uint32) % np.uint32(shape[1])
    order = np.argsort(row, kind="stable")
    ends = np.append(0, np.cumsum(np.bincount(row, minlength=shape[0]))).astype(np.int32)
    counts = csr_array((np.ones(len(row), np.float32), bucket[order].astype(np.int32), ends), shape=shape)
    counts.sum_duplicates()
    return counts


def murmurhash3(buffer: Bytes, start: Whole, length: Whole) -> Hashes:
    """(W,) MurmurHash3 (x86, 32 bits, seed 0) of the windows of ``buffer`` with these starts and lengths in bytes."""
    from sklearn.utils import murmurhash3_32

    four_bytes = np.ndarray(len(buffer) + 1, "<u4", np.append(buffer, np.zeros(4, np.uint8)), strides=(1,))
    long = np.flatnonzero(length > _LONGEST_WINDOW)
    blocks = length // 4
    blocks[long] = 0
    hashes = np.zeros(len(start), np.uint32)
    for block in range(blocks.max(initial=0)):
        has = np.flatnonzero(blocks > block)
        mixed = hashes[has] ^ _scrambled(four_bytes[start[has] + 4 * block])
        hashes[has] = _rotated(mixed, 13) * np.uint32(5) + np.uint32(0xE6546B64)
    rest = (np.uint32(1) << (length % 4 * 8).astype(np.uint32)) - np.uint32(1)
    hashes ^= _scrambled(four_bytes[start + 4 * blocks] & rest) ^ length.astype(np.uint32)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
        hashes = (hashes ^ (hashes >> np.uint32(shift))) * np.uint32(factor)
    for window in long:
        text = buffer[start[window] : start[window] + length[window]].tobytes()
        hashes[window] = murmurhash3_32(text, positive=True)
    return hashes


def _scrambled(block: Hashes) -> Hashes:
    return _rotated(block * np.uint32(0xCC9E2D51), 15) * np.uint32(0x1B873593)


def _rotated(value: Hashes, bits: int) -> Hashes:
    return (value << np.uint32(bits)) | (value >> np.uint32(32 - bits))


def _utf8(text: str) -> Bytes:
    return np.frombuffer(text.encode(), np.uint8)
