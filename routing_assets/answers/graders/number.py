r"""Numbers: the one that the answer ends with, against the reference, within a tolerance.

Read are thousands separators (``1,234``, ``1'234``, ``1{,}234``, narrow spaces), fractions (``3/4``, ``1 1/2``,
``\frac{3}{4}``, ``¾``), percentages, ``1.2e3`` and ``1.2 \times 10^3``. The number in the last ``\boxed{...}``, or
after the last ``####``, comes before any other. Numbers are compared exactly, as fractions.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass as checked_dataclass

from routing_assets.answers.graders.grade import Grade, TextGrader, references_in, shortened
from routing_assets.foundation.schema import FORM, Amount

_VULGAR = re.compile(r"(\d?)([¼-¾⅐-⅞])")
_FRACTION = re.compile(r"\\[dtc]?frac\s*(?:\{\s*([^{}]{1,60}?)\s*\}\s*\{\s*([^{}]{1,60}?)\s*\}|(\d)\s*(\d))")
_POWER = re.compile(r"\s*(?:\\times|\\cdot|[×·*x])\s*10\s*(?:\^|\*\*)\s*\{?\s*([-+]?\d{1,3})\s*\}?")
_DIGITS = r"\d{1,3}(?:[,'\u00a0\u2009\u202f]\d{3}){1,19}(?!\d)|\d{1,60}"
_NUMBER = re.compile(
    rf"(?<![\w.])(?P<sign>[-+])?(?P<whole>{_DIGITS})?(?P<part>\.\d{{1,60}})?"
    r"(?:[eE](?P<exponent>[-+]?\d{1,3})(?!\w))?"
    r"(?:\s{0,3}/\s{0,3}(?P<below>\d{1,60})(?![\d/]))?(?P<percent>\s{0,3}(?:%|per\s?cent\b))?"
)
_MIXED = re.compile(
    r"(?<![\w./])(?P<sign>[-+])?(?P<units>\d{1,15})\s+(?P<above>\d{1,15})\s*/\s*(?P<below>\d{1,15})(?![\d/])"
)
_LEFT_OUT = re.compile(r"\\(?:left|right|,|;|!|:|quad|qquad|displaystyle|\(|\)|\[|\])(?![a-z])|[$€£¥₹]|\\\$")
_SPACED_SIGN = re.compile(r"(?<=[=:])\s{0,3}-\s{1,3}(?=[\d\\.])")
"""In ``x = - 4``; a dash between two numbers, or before an item of a list, is no sign."""
_MOST_BOXES = 20
_BOXED = re.compile(r"\\(?:boxed|fbox)\s*\{")


@dataclass(frozen=True)
class Number:
    """A number as written: ``12 %`` is 0.12, and a percentage."""

    value: Fraction
    percent: bool = False


def numbers_in(text: str) -> Iterator[Number]:
    """The numbers of a text, in order."""
    plain = _plain(text)
    mixed = {found.start(): found for found in _MIXED.finditer(plain)}
    end = 0
    for found in _NUMBER.finditer(plain):
        if found.start() < end or not (found["whole"] or found["part"]):
            continue
        if whole := mixed.get(found.start()):
            end = whole.end()
            number = _mixed(whole)
        else:
            number = _number(found)
            if power := _POWER.match(plain, found.end()):
                end = power.end()
                number = number and Number(number.value * Fraction(10) ** int(power[1]))
        if number is not None:
            yield number


def boxed(text: str) -> str | None:
    r"""What the last ``\boxed{...}`` holds; None where there is none, or it is not closed."""
    for found in reversed(list(_BOXED.finditer(text))[-_MOST_BOXES:]):
        depth = 1
        for end in range(found.end(), min(len(text), found.end() + 2_000)):
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            if not depth:
                return text[found.end() : end]
    return None


@checked_dataclass(frozen=True, config=FORM)
class NumberGrader(TextGrader):
    """The answer's number equals that of the reference, within a tolerance."""

    name: ClassVar[str] = "number"

    tolerance: Amount = Field(default=0.0, description="Greatest difference that still counts as equal.")
    relative_tolerance: Annotated[Amount, Field(lt=1)] = Field(
        default=1e-9, description="Greatest difference as a share of the reference; the greater of the two holds."
    )
    pick: Literal["last", "first"] = Field(default="last", description="Which number of the answer counts.")

    def grade(self, text: str, reference: str) -> Grade:
        rights = [number for right in references_in(reference) if (number := self._pick(right))]
        if not rights:
            return Grade(None, f"the reference {shortened(reference)} holds no number")
        found = self._pick(text)
        if found is None:
            return Grade(0.0, "the answer holds no number")
        if any(self._equal(found, right) for right in rights):
            return Grade(1.0, f"{_said(found)} is the reference")
        return Grade(0.0, f"{_said(found)} is not {shortened(reference)}")

    def _pick(self, text: str) -> Number | None:
        inside = boxed(text)
        if inside is None and "####" in text:
            inside = text.rpartition("####")[2].strip().partition("\n")[0]
        for place in (inside, text):
            found = list(numbers_in(place)) if place else []
            if found:
                return found[0 if self.pick == "first" else -1]
        return None

    def _equal(self, found: Number, right: Number) -> bool:
        """``12 %`` is 0.12; and where only one of the two is a percentage, it is 12 as well: "What per cent ...?"."""
        scales = (1, 100) if found.percent and not right.percent else (1,)
        targets = (1, 100) if right.percent and not found.percent else (1,)
        return any(self._close(found.value * s, right.value * t) for s in scales for t in targets)

    def _close(self, value: Fraction, right: Fraction) -> bool:
        allowed = max(Fraction(str(self.tolerance)), Fraction(str(self.relative_tolerance)) * abs(right))
        return abs(value - right) <= allowed


def _plain(text: str) -> str:
    """The text with one way of writing for each number."""
    spaced = _VULGAR.sub(lambda found: f"{found[1]} {unicodedata.normalize('NFKC', found[2])}", text)
    text = spaced.replace("⁄", "/").replace("−", "-").replace("–", "-").replace("{,}", ",").replace("\\%", "%")
    text = _LEFT_OUT.sub("", text)
    return _FRACTION.sub(_written_fraction, _SPACED_SIGN.sub("-", text))


def _written_fraction(found: re.Match[str]) -> str:
    above, below = (found[1], found[2]) if found[1] else (found[3], found[4])
    signed = found.string[: found.start()].endswith(("-", "+"))
    return f"{'' if signed else ' '}{above}/{below} "


def _number(found: re.Match[str]) -> Number | None:
    whole = re.sub(r"\D", "", found["whole"] or "0")
    value = Fraction(f"{whole}{found['part'] or ''}") * Fraction(10) ** int(found["exponent"] or 0)
    if found["below"]:
        if not int(found["below"]):
            return None
        value /= int(found["below"])
    percent = bool(found["percent"])
    return Number((-value if found["sign"] == "-" else value) / (100 if percent else 1), percent)


def _mixed(found: re.Match[str]) -> Number | None:
    if not int(found["below"]):
        return None
    value = int(found["units"]) + Fraction(int(found["above"]), int(found["below"]))
    return Number(-value if found["sign"] == "-" else value)


def _said(number: Number) -> str:
    value = number.value * 100 if number.percent else number.value
    return f"{Decimal(value.numerator) / Decimal(value.denominator):.12g}{' %' if number.percent else ''}"
