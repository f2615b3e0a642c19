"""Estimates of token counts that need no tokenizer of any particular model.

``proxy_tokens`` goes by the length alone: what is learnt from labels is scaled to it. ``request_tokens`` tells digits,
code and scripts apart, since what a request sends is priced by it without such a scale.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

BYTES_PER_TOKEN = 4.0
TOKENS_OF_MESSAGE = 4.0
"""What a message costs besides its text: its role and separators (OpenAI's cookbook, "How to count tokens")."""


def proxy_tokens(instruction: np.ndarray) -> np.ndarray:
    """(N,) float64 estimate of each text's tokens: its UTF-8 bytes over four, at least one.

    Four bytes per token is the rule of thumb that model vendors give for English; counting bytes instead of
    characters keeps it usable for other scripts. Each model's true scale is fitted where token counts or costs are
    recorded, so only the proportion between texts matters there.
    """
    size = pc.binary_length(pa.array(instruction, pa.string())).to_numpy(zero_copy_only=False).astype(np.float64)
    return np.maximum(size / BYTES_PER_TOKEN, 1.0)


def proxy_tokens_of(text: str) -> float:
    """Estimated tokens of a single text, as :func:`proxy_tokens`; the text need not be valid Unicode."""
    return max(len(text.encode(errors="surrogatepass")) / BYTES_PER_TOKEN, 1.0)


def request_tokens(text: str) -> float:
    """Estimated tokens of a text that is sent, at least one; it need not be valid Unicode.

    Tokenizers cut texts into words, numbers and marks, and these into frequent pieces. So each byte counts by its kind
    and by that of the byte before: the first letter of a word counts more than the others, a digit more than a letter,
    an unusual letter more than a usual one. The weights are fitted to the tokenizers of GPT-4, GPT-4o, Claude 2,
    DeepSeek and Mistral on texts of 25 languages, code, JSON, tables and random characters, in hundredths of a token,
    so that sums are exact. The benchmark ``tests/benchmarks/request_tokens_test.py`` measures them.
    """
    kinds = np.frombuffer((b" " + text.encode(errors="surrogatepass")).translate(_KIND_OF_BYTE), np.uint8)
    places = kinds[:-1].astype(np.int64) * len(_KINDS) + kinds[1:]
    return max(int(_WEIGHTS.take(places).sum()) / 100, 1.0)


_LOWER = ("vowel", "consonant", "rare")
_LETTERS = (*_LOWER, "upper")
_ASCII = (*_LETTERS, "digit", "space", "newline", "mark")
_SCRIPTS = {  # by the byte below which the first bytes of their characters lie
    "latin": 0xCC,
    "greek": 0xD0,
    "cyrillic": 0xD4,
    "armenian": 0xD6,
    "semitic": 0xE0,
    "indic": 0xE1,
    "other": 0xE2,
    "symbol": 0xE3,
    "kana": 0xE4,
    "han": 0xEA,
    "hangul": 0xEE,
    "wide": 0xF0,
    "emoji": 0x100,
}
_INNER = ("inner", "inner vietnamese")
"""Bytes of a character after its first one; two of them tell Vietnamese letters from the scripts of their block."""
_KINDS = (*_ASCII, *_INNER, *_SCRIPTS)
_FIRST_AND_FURTHER = {
    "vowel": (62, 10),
    "consonant": (62, 10),
    "rare": (62, 144),
    "upper": (62, 117),
    "digit": (117, 52),
    "space": (0, 3),
    "newline": (47, 10),
    "mark": (26, 25),
    "inner": (0, 0),
    "inner vietnamese": (0, 0),
    "latin": (147, 147),
    "greek": (38, 89),
    "cyrillic": (36, 43),
    "armenian": (80, 180),
    "semitic": (7, 92),
    "indic": (163, 118),
    "other": (98, 98),
    "symbol": (178, 178),
    "kana": (69, 69),
    "han": (79, 79),
    "hangul": (55, 98),
    "wide": (70, 70),
    "emoji": (186, 186),
}
"""Hundredths of a token for a byte of each kind: the first of a run, and each further one."""
_PAIRS = {
    **{(before, "consonant"): 18 for before in ("consonant", "rare")},
    ("rare", "rare"): 60,
    ("upper", "upper"): 35,
    ("newline", "space"): 44,
    ("space", "mark"): 148,
    ("other", "inner"): 90,
}
"""Hundredths of a token for a byte after one of another kind, where that is neither."""


def _kind(byte: int) -> str:
    character = chr(byte)
    if byte >= 0xC0:
        return next(script for script, end in _SCRIPTS.items() if byte < end)
    if byte >= 0x80:
        return "inner vietnamese" if byte in (0xBA, 0xBB) else "inner"
    kinds = {"aeiouy": "vowel", "jkqvwxz": "rare", "0123456789": "digit", " ": "space", "\n\r\t": "newline"}
    special = next((kind for characters, kind in kinds.items() if character in characters), None)
    return special or ("upper" if character.isupper() else "consonant" if character.islower() else "mark")


def _weights() -> np.ndarray:
    """Flat table of the weights by the kinds of a byte before and of the byte itself."""
    place = {kind: k for k, kind in enumerate(_KINDS)}
    table = np.zeros((len(_KINDS), len(_KINDS)), np.int64)
    for kind, (first, further) in _FIRST_AND_FURTHER.items():
        joined = (*_LETTERS, *_INNER) if kind in _LETTERS else (kind,) if kind in _ASCII else (*_INNER, *_SCRIPTS)
        table[:, place[kind]] = first
        table[[place[before] for before in joined], place[kind]] = further
    for (before, kind), weight in _PAIRS.items():
        table[place[before], place[kind]] = weight
    return table.ravel()


_KIND_OF_BYTE = bytes(_KINDS.index(_kind(byte)) for byte in range(256))
_WEIGHTS = _weights()
