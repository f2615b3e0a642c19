"""Results of promptfoo (``promptfoo eval --output results.json``).

A result has ``provider``, ``prompt`` or ``vars``, ``success`` and ``score``, and may have ``cost`` and token usage.
Where the provider failed, the result has an ``error`` and no graded answer: it does not count as a wrong answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from routing_assets.datasets.column_names import LIKELY
from routing_assets.datasets.evaluation_logs.calls import Call, number, text_of
from routing_assets.datasets.evaluation_logs.json_documents import read_json

API_ERROR = 2
"""``failureReason`` of a result whose provider failed; 1 is an assertion that did not hold."""


def recognises(document: Any) -> bool:
    """Whether a JSON document holds results of promptfoo."""
    return isinstance(document, dict) and bool(_results(document)) and "provider" in _results(document)[0]


def read(path: Path) -> Iterator[Call]:
    """The results of all providers; each test case with each prompt template is an instruction."""
    for result in _results(read_json(path)):
        provider = result["provider"]
        model = provider.get("label") or provider.get("id") if isinstance(provider, dict) else provider
        usage = (result.get("response") or {}).get("tokenUsage") or result.get("tokenUsage") or {}
        success = result.get("success")
        ungraded = result.get("failureReason") == API_ERROR or success is None
        identity = f"{result.get('testIdx', _identity(result))}.{result.get('promptIdx', 0)}"
        yield Call(
            identity,
            _instruction(result),
            str(model),
            None if ungraded else float(bool(success)),
            cost=number(result.get("cost")) or None,
            input_tokens=number(usage.get("prompt")) or None,
            output_tokens=number(usage.get("completion")) or None,
            reasoning_tokens=number((usage.get("completionDetails") or {}).get("reasoning")),
        )


def _results(document: dict[str, Any]) -> list[dict[str, Any]]:
    found = document.get("results")
    found = found.get("results") if isinstance(found, dict) else found
    return found if isinstance(found, list) and found and isinstance(found[0], dict) else []


def _instruction(result: dict[str, Any]) -> str:
    prompt = result.get("prompt")
    text = text_of(prompt.get("raw") if isinstance(prompt, dict) else prompt)
    if text.strip():
        return text
    given = result.get("vars") or {}
    likely = next((name for name in LIKELY["instruction"] if isinstance(given.get(name), str)), None)
    return str(given[likely]) if likely else "\n".join(map(str, given.values()))


def _identity(result: dict[str, Any]) -> str:
    return "; ".join(f"{name}={value}" for name, value in sorted((result.get("vars") or {}).items()))
