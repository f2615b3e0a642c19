"""Runs of HELM: ``per_instance_stats.json``, with ``instances.json``, which has the texts, in the same folder.

HELM writes a folder per run, ``gsm:subject=x,model=openai_gpt-4o``. Trials of an instance are trials of the pair.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from routing_assets.datasets.evaluation_logs.calls import Call, number, text_of
from routing_assets.datasets.evaluation_logs.json_documents import read_json
from routing_assets.datasets.evaluation_logs.records import records
from routing_assets.foundation.errors import InvalidInput

TEXTS = "instances.json"
METRICS = (
    *("exact_match", "quasi_exact_match", "prefix_exact_match", "quasi_prefix_exact_match", "final_number_exact_match"),
    *("math_equiv_chain_of_thought", "math_equiv", "chain_of_thought_correctness", "test_avg", "pass", "f1_score"),
)
"""Metrics that say whether an answer is right; the first one that an instance has is its success."""
_NAME = re.compile(r"(?P<task>.*?)[:,]model=(?P<model>[^,]+)(,.*)?")


def recognises(record: Any) -> bool:
    """Whether a record of a JSON array is an instance with its statistics."""
    return isinstance(record, dict) and {"instance_id", "stats"} <= record.keys()


def read(path: Path) -> Iterator[Call]:
    """The instances of one run; those that were perturbed are left out."""
    run = path.resolve().parent
    named = _NAME.fullmatch(run.name)
    task, model = (named["task"], named["model"]) if named else (None, run.name)
    texts = _texts(path.parent / TEXTS)
    for row, record in enumerate(records(path), start=1):
        if record.get("perturbation"):
            continue
        instance = str(record["instance_id"])
        means = {stat["name"]["name"]: number(stat.get("mean")) for stat in record["stats"]}
        metric = next((name for name in METRICS if means.get(name) is not None), None)
        if metric is None or instance not in texts:
            lacks = f"none of the metrics {', '.join(METRICS)}" if metric is None else f"no text in {TEXTS}"
            remedy = "Write a label table of instruction_id, instruction, model and success"
            raise InvalidInput(f"the instance {instance!r} has {lacks}", source=str(path), row=row, remedy=remedy)
        yield Call(
            f"{task}/{instance}" if task else instance,
            texts[instance],
            model,
            means[metric],
            task=task,
            input_tokens=means.get("num_prompt_tokens"),
            output_tokens=means.get("num_output_tokens"),
        )


def _texts(path: Path) -> dict[str, str]:
    if not path.is_file():
        raise InvalidInput(
            "this run of HELM has no texts", source=str(path), remedy=f"Put its {TEXTS} into the same folder"
        )
    return {str(one["id"]): text_of(one["input"]) for one in read_json(path) if not one.get("perturbation")}
