"""Names that people give to our columns, to suggest which column of a table is meant."""

from __future__ import annotations

from collections.abc import Sequence
from shlex import quote

OPTIONS = {
    "instruction_id": "--id-column",
    "instruction": "--text-column",
    "model": "--model-column",
    "success": "--success-column",
    "cost": "--cost-column",
    "task": "--task-column",
    "group": "--group-column",
    "input_tokens": "--tokens-column",
    "reference": "--reference-column",
    "answer": "--answer-column",
}
"""Our columns that may have another name in a table, and the option that gives that name."""

LIKELY = {
    "instruction_id": (
        *("id", "sample_id", "prompt_id", "question_id", "instance_id", "doc_id", "task_id", "custom_id", "request_id"),
        *("uid", "key", "index"),
    ),
    "instruction": (
        *("prompt", "question", "input", "query", "text", "problem", "problem_statement", "message", "user_input"),
    ),
    "model": ("model_name", "model_id", "llm", "model_name_or_path"),
    "success": (
        *(
            "label",
            "score",
            "correct",
            "is_correct",
            "passed",
            "pass",
            "acc",
            "accuracy",
            "grade",
            "resolved",
            "result",
        ),
    ),
}
"""Other names of these columns in people's tables, in lower case."""


def missing_columns_remedy(names: Sequence[str], required: Sequence[str]) -> str:
    """What to do about all required columns that are missing, at once."""
    return ". ".join(f"{name}: {missing_column_remedy(names, name)}" for name in required if name not in names)


def missing_column_remedy(names: Sequence[str], missing: str) -> str:
    """What to do about a missing column, given the names of the table's columns."""
    lower = {name.strip().lower(): name for name in names}
    found = next((lower[name] for name in (missing, *LIKELY.get(missing, ())) if name in lower), None)
    if found is not None and missing in OPTIONS:
        return f"If the column {found!r} holds it, add {OPTIONS[missing]} {quote(found)}"
    if missing == "instruction_id":
        return "Name the column that holds it (--id-column), or have ids made (--make-ids position, or content)"
    option = f" ({OPTIONS[missing]})" if missing in OPTIONS else ""
    return f"Add it, or name the column that holds it{option}"
