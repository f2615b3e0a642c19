"""Pairwise preferences: ``model_a``, ``model_b``, ``winner``, and the prompt, as of Chatbot Arena and RouteLLM; or
``generator_1``, ``generator_2``, ``preference`` and the instruction, as AlpacaEval writes its annotations.

A preference does not say whether an answer is right: both may be, or neither. So preferences are read only with a rule
that gives a winner, a loser and a tie a success each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from routing_assets.datasets.column_names import LIKELY
from routing_assets.datasets.evaluation_logs.calls import Call, text_of
from routing_assets.datasets.evaluation_logs.records import records
from routing_assets.foundation.errors import InvalidInput

OUTCOMES = ("winner", "loser", "tie", "both_bad")
EXAMPLE = "winner=1,loser=0,tie=0.5,both_bad=0"
_ALPACA_EVAL = {"generator_1", "generator_2", "preference"}
_TIES = {"tie": "tie", "tie (bothbad)": "both_bad", "both_bad": "both_bad", "bothbad": "both_bad"}


def recognises(record: Any) -> bool:
    """Whether a record of a table is a preference."""
    return isinstance(record, dict) and any(names <= record.keys() for names in ({"model_a", "model_b"}, _ALPACA_EVAL))


def read_rule(text: str) -> dict[str, float]:
    """A rule such as ``winner=1,loser=0,tie=0.5,both_bad=0``.

    Raises:
        InvalidInput: it does not give each outcome a success from 0 to 1.
    """
    try:
        rule = {name.strip(): float(value) for name, _, value in (part.partition("=") for part in text.split(","))}
    except ValueError:
        rule = {}
    if set(rule) != set(OUTCOMES) or not all(0 <= value <= 1 for value in rule.values()):
        raise InvalidInput(
            f"the rule {text!r} does not give {', '.join(OUTCOMES)} a success from 0 to 1 each",
            source="--preferences",
            remedy=f"Write it like {EXAMPLE}",
        )
    return rule


def read(path: Path, rule: Mapping[str, float] | None) -> Iterator[Call]:
    """Two calls for each preference. Raises InvalidInput without a rule."""
    if rule is None:
        raise InvalidInput(
            "this table holds preferences between two answers, which do not say whether an answer is right",
            source=str(path),
            remedy=f"Say what they count as, for example --preferences {EXAMPLE}; labels of success serve better",
        )
    for row, record in enumerate(map(_in_our_names, records(path)), start=1):
        outcome = _outcomes(record)
        if outcome is None:
            raise InvalidInput(
                f"the winner is {record.get('winner')!r}",
                source=str(path),
                row=row,
                column="winner",
                remedy=f"Write model_a, model_b, or {', '.join(_TIES)}",
            )
        identity = next((record[name] for name in LIKELY["instruction_id"] if record.get(name) is not None), row)
        text = _prompt(record)
        for model, came in zip((record["model_a"], record["model_b"]), outcome, strict=True):
            yield Call(str(identity), text, str(model), rule[came])


def _in_our_names(record: dict[str, Any]) -> dict[str, Any]:
    """The record as Chatbot Arena would write it. AlpacaEval's preference goes from 1, the first answer, to 2."""
    if not record.keys() >= _ALPACA_EVAL:
        return record
    place = record["preference"]
    winner = None if place is None else "model_a" if place < 1.5 else "model_b" if place > 1.5 else "tie"
    return {**record, "model_a": record["generator_1"], "model_b": record["generator_2"], "winner": winner}


def _outcomes(record: dict[str, Any]) -> tuple[str, str] | None:
    said = str(record.get("winner", "")).strip().lower()
    if not said and "winner_model_a" in record:
        flags = ("winner_model_a", "winner_model_b")
        said = next((flag.removeprefix("winner_") for flag in flags if float(record[flag])), "tie")
    if said in ("model_a", str(record["model_a"]).lower()):
        return "winner", "loser"
    if said in ("model_b", str(record["model_b"]).lower()):
        return "loser", "winner"
    return (_TIES[said], _TIES[said]) if said in _TIES else None


def _prompt(record: dict[str, Any]) -> str:
    for name in ("instruction", *LIKELY["instruction"]):
        if record.get(name):
            return text_of(record[name])
    turns = record.get("conversation_a") or []
    return text_of([turn for turn in turns if isinstance(turn, dict) and turn.get("role") == "user"][:1])
