"""Logs of Inspect (inspect_ai), as JSON: one file per task and model.

``eval.model`` is the model, ``eval.task`` the task; a sample has ``id``, ``epoch``, ``input`` and ``scores``. A score
is C (correct), I (incorrect), P (partial, half a success), N (no answer), or a number.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from routing_assets.datasets.evaluation_logs.calls import Call, number, text_of
from routing_assets.datasets.evaluation_logs.json_documents import read_json
from routing_assets.foundation.errors import InvalidInput

VALUES = {"C": 1.0, "I": 0.0, "P": 0.5, "N": 0.0}


def recognises(document: Any) -> bool:
    """Whether a JSON document is a log."""
    return isinstance(document, dict) and isinstance(document.get("eval"), dict) and "model" in document["eval"]


def read(path: Path) -> Iterator[Call]:
    """The samples of one log; epochs of a sample are trials."""
    log = read_json(path)
    model, task = str(log["eval"]["model"]), log["eval"].get("task")
    if not log.get("samples"):
        raise InvalidInput(
            "the log has no samples",
            source=str(path),
            remedy="Write them too: inspect log convert --to json",
        )
    for place, sample in enumerate(log["samples"], start=1):
        usage = (sample.get("model_usage") or {}).get(model, {})
        yield Call(
            f"{task}/{sample['id']}" if task else str(sample["id"]),
            text_of(sample.get("input", "")),
            model,
            None if sample.get("error") else _success(sample, path, place),
            task=task,
            **_tokens(usage),
        )


def _tokens(usage: dict[str, Any]) -> dict[str, float | None]:
    """The counts of a call. Whether those of caches and of reasoning are in the others depends on the provider, and the
    total tells.
    """
    names = ("input_tokens", "output_tokens", "input_tokens_cache_read", "input_tokens_cache_write", "reasoning_tokens")
    read, written, cached, stored, reasoning = (number(usage.get(name)) for name in names)
    if read is not None and written is not None:
        of_cache, thought = (cached or 0.0) + (stored or 0.0), reasoning or 0.0
        totals = {read + more + written + also: (more, also) for also in (thought, 0.0) for more in (of_cache, 0.0)}
        apart = (of_cache if (cached or 0.0) > read else 0.0, thought if thought > written else 0.0)
        more, also = totals.get(number(usage.get("total_tokens")) or 0.0, apart)
        read, written = read + more, written + also
    return {
        "input_tokens": read,
        "output_tokens": written,
        "cached_tokens": cached,
        "reasoning_tokens": reasoning,
    }


def _success(sample: dict[str, Any], path: Path, place: int) -> float | None:
    scores = sample.get("scores") or ({"score": sample["score"]} if sample.get("score") else {})
    if not scores:
        return None
    if len(scores) > 1:
        raise InvalidInput(
            f"sample {place} has {len(scores)} scores: {', '.join(scores)}",
            source=str(path),
            remedy="Keep one scorer in the log, the one that says whether an answer is right",
        )
    value = next(iter(scores.values()))
    value = value.get("value") if isinstance(value, dict) else value
    found = VALUES.get(value.upper()) if isinstance(value, str) else number(value)
    if found is None or not 0 <= found <= 1:
        raise InvalidInput(
            f"the score of sample {place} is {value!r}",
            source=str(path),
            remedy=f"Give {', '.join(VALUES)} or a number from 0 to 1",
        )
    return found
