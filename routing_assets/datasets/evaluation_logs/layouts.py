"""Published tables that differ from our label table only in the names of their columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Layout:
    """The columns of a published table."""

    name: str
    recognised_by: frozenset[str]
    """Columns that it always has."""
    columns: Mapping[str, str]
    """By our name of a column, the name in the table."""
    optional: Mapping[str, str] = field(default_factory=dict)
    """The same for columns that it may lack."""
    ignored: tuple[str, ...] = ()
    """Columns that it may have and that routing does not use."""

    def mapping(self, names: list[str]) -> dict[str, str]:
        """By our name of a column, the name in a table with these columns."""
        return {**self.columns, **{ours: theirs for ours, theirs in self.optional.items() if theirs in names}}


LAYOUTS = (
    Layout(
        "embedllm",
        frozenset({"prompt_id", "prompt", "model_name", "label"}),
        {"instruction_id": "prompt_id", "instruction": "prompt", "model": "model_name", "success": "label"},
        {"task": "category"},
        ("model_id", "category_id"),
    ),
    Layout(
        "swe_bench",
        frozenset({"instance_id", "problem_statement", "model_name_or_path", "resolved"}),
        {
            "instruction_id": "instance_id",
            "instruction": "problem_statement",
            "model": "model_name_or_path",
            "success": "resolved",
        },
        {"group": "repo"},
    ),
    Layout(
        "swe_bench",
        frozenset({"instance_id", "problem_statement"}),
        {"instruction_id": "instance_id", "instruction": "problem_statement"},
        {"group": "repo"},
        (
            *("base_commit", "patch", "test_patch", "hints_text", "created_at", "version", "FAIL_TO_PASS"),
            *("PASS_TO_PASS", "environment_setup_commit", "difficulty"),
        ),
    ),
    Layout("routellm", frozenset({"", "prompt"}), {"instruction_id": "", "instruction": "prompt"}),
)


def layout_of(names: list[str]) -> Layout | None:
    """The layout of a table with these columns; None where it is unknown, or our own."""
    if "instruction_id" in names:
        return None
    return next((layout for layout in LAYOUTS if layout.recognised_by <= set(names)), None)
