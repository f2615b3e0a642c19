"""Texts from templates: each ``{slot}`` is filled with a word or number drawn from the slot's vocabulary."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

_WORDS = {
    "name": "Ada Bruno Chen Divya Elif Farid Greta Hugo Ines Jonas Kofi Lena Mateo Nadia Omar Priya Quinn Rosa Sven "
    "Tara Ugo Vera Wei Ximena Yusuf Zofia Amir Bella Carlos Dana Emil Fatou Gita Hana Igor Julia Kai Lucia Milan Noor",
    "item": "apples books candles drums eggs flowers guitars hats jars kites lamps marbles needles oranges pencils "
    "quilts ropes shells tickets umbrellas vases whistles bottles coins boxes ribbons stamps tiles buttons spoons",
    "place": "Lisbon Oslo Nairobi Lima Kyoto Porto Quito Riga Seville Tunis Utrecht Vienna Warsaw Zagreb Athens Bergen "
    "Cairo Delhi Eindhoven Florence Geneva Hanoi Izmir Jaipur Krakow Lagos Malmo Naples Osaka Prague",
    "word": "planet window garden silver kitchen thunder marble pocket lantern meadow bridge cactus dolphin engine "
    "forest glacier harbor island jungle kernel ladder magnet needle orchard pepper quartz rocket saddle temple valley",
    "animal": "cat dog horse rabbit parrot goat duck sheep donkey turtle goose pony hen cow ferret",
    "colour": "red blue green yellow purple orange white black brown grey pink golden",
    "job": "baker teacher nurse pilot farmer painter plumber lawyer tailor singer driver chemist gardener editor",
    "month": "January February March April May June July August September October November December",
    "day": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
    "letter": "a b c d e f g h i k l m n o p r s t u v w",
}


def _numbers(low: int, high: int) -> Callable[[Random], str]:
    return lambda random: str(random.randint(low, high))


def _word_choice(words: str) -> Callable[[Random], str]:
    choices = words.split()
    return lambda random: random.choice(choices)


_SLOTS: dict[str, Callable[[Random], str]] = {slot: _word_choice(words) for slot, words in _WORDS.items()} | {
    "digit": _numbers(2, 9),
    "number": _numbers(11, 99),
    "large": _numbers(101, 9999),
    "percent": _numbers(3, 95),
    "year": _numbers(1620, 2020),
    "date": _numbers(1, 28),
    "list": lambda random: ", ".join(str(random.randint(1, 60)) for _ in range(random.randint(4, 8))),
    "words": lambda random: " ".join(random.sample(_WORDS["word"].split(), random.randint(4, 7))),
}


class _Filling(dict[str, str]):
    """Draws each slot on first use; ``{name}`` is one name throughout a text, ``{name2}`` another draw."""

    def __init__(self, random: Random) -> None:
        super().__init__()
        self.random = random

    def __missing__(self, slot: str) -> str:
        self[slot] = _SLOTS[slot.rstrip("0123456789")](self.random)
        return self[slot]


@dataclass(frozen=True)
class Grammar:
    """The texts of one task.

    Attributes:
        families: For each kind of instruction, its templates from easy to hard, one per rung.
        additions: Sentences that make a text longer and harder.
        question: What every text of the task ends with.
    """

    families: dict[str, tuple[str, ...]]
    additions: tuple[str, ...]
    question: str = ""

    def text(self, family: str, rung: int, length: int, random: Random) -> str:
        """One text of a family at a rung (0 is the easiest), with ``length`` additions."""
        template = " ".join([self.families[family][rung], *random.sample(self.additions, length), self.question])
        return template.format_map(_Filling(random)).strip()
