"""Options of the commands that read a label table, written out here so that ``--help`` loads no data library."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import click

FORMAT = click.Choice(
    [
        *("auto", "table", "routerbench", "llm_uncertainty_bench", "lm_eval", "inspect", "promptfoo", "sprout"),
        *("helm", "preferences", "embedllm", "routellm", "swe_bench", "swe_bench_reports"),
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
    "answer": ("--answer-column", "answer of a call"),
}
"""By our name of a column: the option that gives its name in the table, and what the column holds."""
OF_LABELS = tuple(name for name in COLUMN_OPTIONS if name != "answer")
OF_OUTCOMES = ("instruction_id", "model", "success", "cost", "input_tokens", "answer")
MADE_IDS = click.option(
    *("--make-ids", "--ids", "made_ids"),
    type=click.Choice(["position", "content", "row", "text"]),
    callback=lambda _, __, made: {"position": "row", "content": "text"}.get(made, made),
    help="Make ids where there are none: from the row's position, or from its text.",
)
SUCCESS_SCALE = click.option(
    "--success-scale",
    type=float,
    default=1.0,
    show_default=True,
    help="Success of a fully correct answer, for example 100.",
)


def column_options(names: Sequence[str]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Options that name columns of a table, as the argument ``columns`` of the command."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def with_columns(*arguments: Any, **options: Any) -> None:
            columns = {ours: options.pop(f"column_of_{ours}") for ours in names}
            command(*arguments, columns={ours: theirs for ours, theirs in columns.items() if theirs}, **options)

        for ours in reversed(names):
            option, content = COLUMN_OPTIONS[ours]
            what = f"Column of the table that holds the {content}."
            with_columns = click.option(option, f"column_of_{ours}", metavar="NAME", help=what)(with_columns)
        return with_columns

    return decorate


def few_label_options(command: Callable[..., None]) -> Callable[..., None]:
    """Options of the command that reads labels of a few models."""
    return MADE_IDS(SUCCESS_SCALE(ENCODING(column_options(OF_LABELS)(command))))


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

    ignore = click.option(
        "--ignore-column", "ignore_columns", multiple=True, help="Column of the table that is not a model (repeatable)."
    )
    missing = click.option("--allow-missing", is_flag=True, help="Treat an empty success cell as unlabelled.")
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
    columns = column_options(OF_LABELS)(command)
    return ignore(missing(MADE_IDS(SUCCESS_SCALE(rule(signal(ENCODING(columns)))))))
