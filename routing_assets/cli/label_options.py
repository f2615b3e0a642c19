"""Options of the commands that read a label table, written out here so that ``--help`` loads no data library."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

FORMAT = click.Choice(
    [
        *("auto", "table", "routerbench", "llm_uncertainty_bench", "lm_eval", "inspect", "promptfoo", "sprout"),
        *("preferences", "embedllm", "routellm", "swe_bench"),
    ]
)
ENCODING = click.option("--encoding", metavar="NAME", help="Of a text file that is not UTF-8, such as cp1252.")
COLUMN_OPTIONS = {
    "instruction_id": ("--id-column", "id of an instruction"),
    "instruction": ("--text-column", "text"),
    "model": ("--model-column", "model of a call (a table with one row per call)"),
    "success": ("--success-column", "success of a call"),
    "cost": ("--cost-column", "USD of a call"),
    "task": ("--task-column", "task"),
    "group": ("--group-column", "group: instructions that belong together"),
    "input_tokens": ("--tokens-column", "input tokens of a call"),
}
"""By our name of a column: the option that gives its name in the table, and what the column holds."""


def layout_options(command: Callable[..., None]) -> Callable[..., None]:
    """Options of the commands that read a batch."""
    ids = click.option(
        "--make-ids",
        type=click.Choice(["position", "content"]),
        help="Make ids where there are none: from the record's position, or from its content.",
    )
    columns = {
        "--id-column": "ids",
        "--text-column": "texts",
        "--task-column": "tasks",
        "--group-column": "groups, such as tenants",
        "--tokens-column": "numbers of input tokens",
        "--reference-column": "right answers",
    }
    for option, content in reversed(columns.items()):
        command = click.option(option, metavar="NAME", help=f"Column of the file that holds the {content}.")(command)
    return ids(command)


def label_options(command: Callable[..., None]) -> Callable[..., None]:
    """Options of the commands that read a whole label table."""

    @wraps(command)
    def with_columns(**options: Any) -> None:
        columns = {ours: options.pop(f"column_of_{ours}") for ours in COLUMN_OPTIONS}
        command(columns={ours: theirs for ours, theirs in columns.items() if theirs}, **options)

    for ours, (option, content) in reversed(COLUMN_OPTIONS.items()):
        what = f"Column of the table that holds the {content}."
        with_columns = click.option(option, f"column_of_{ours}", metavar="NAME", help=what)(with_columns)
    ignore = click.option(
        "--ignore-column", "ignore_columns", multiple=True, help="Column of the table that is not a model (repeatable)."
    )
    missing = click.option("--allow-missing", is_flag=True, help="Treat an empty success cell as unlabelled.")
    ids = click.option(
        *("--make-ids", "--ids", "made_ids"),
        type=click.Choice(["position", "content", "row", "text"]),
        callback=lambda _, __, made: {"position": "row", "content": "text"}.get(made, made),
        help="Make ids where there are none: from the row's position, or from its text.",
    )
    scale = click.option(
        "--success-scale",
        type=float,
        default=1.0,
        show_default=True,
        help="Success of a fully correct answer, for example 100.",
    )
    rule = click.option(
        "--preferences",
        metavar="RULE",
        help="Success of winner, loser and tie; see docs/labels.md.",
    )
    signal = click.option(
        "--signal",
        "signals",
        multiple=True,
        metavar="NAME",
        help="Signal of the answers in columns <model>|NAME, beside those known by name (repeatable).",
    )
    return ignore(missing(ids(scale(rule(signal(ENCODING(with_columns)))))))
