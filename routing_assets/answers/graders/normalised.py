"""Text compared without case, punctuation, articles and spacing, as SQuAD's evaluation does.

Source: Rajpurkar et al., "SQuAD: 100,000+ Questions for Machine Comprehension of Text", and its script
``evaluate-v1.1.py``. Punctuation of every script counts, not only that of ASCII.
"""

from __future__ import annotations

import re
import string
import unicodedata
from typing import ClassVar

from pydantic.dataclasses import dataclass

from routing_assets.answers.graders.grade import Grade, TextGrader, references_in, shortened
from routing_assets.foundation.schema import FORM

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = frozenset(string.punctuation)


def normalise(text: str) -> str:
    """The text in small letters, without punctuation and articles, with single spaces."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    bare = "".join(c for c in folded if c not in _PUNCTUATION and not unicodedata.category(c).startswith("P"))
    return " ".join(_ARTICLES.sub(" ", bare).split())


@dataclass(frozen=True, config=FORM)
class Normalised(TextGrader):
    """The answer equals the reference but for case, punctuation, articles and spacing."""

    name: ClassVar[str] = "normalised"

    def grade(self, text: str, reference: str) -> Grade:
        for right in references_in(reference):
            # Of a reference such as "A" or "+", nothing would be left: then the text itself counts.
            if normalise(text) == normalise(right) and (normalise(right) or text.strip() == right.strip()):
                return Grade(1.0, "equal to the reference once normalised")
        return Grade(0.0, f"{shortened(text)} is not {shortened(reference)}")
