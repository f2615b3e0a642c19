"""RouterBench's wide table, with the real USD of every call.

Layout (https://github.com/withmartian/routerbench): ``sample_id, eval_name, prompt``, and for every model X a score
``X`` in [0, 1] and ``X|total_cost``. The length of the replies, ``X|response_chars`` or counted from
``X|model_response``, is a signal. The stored oracle is left out: ``oracle_model_to_route_to``, ``split_in_source``.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from routing_assets.datasets.labels import LabelledInstructions
from routing_assets.datasets.reading import RawTable
from routing_assets.datasets.validation import (
    amount_column,
    check_ignored,
    check_unique,
    default_name,
    plain_text,
    require_columns,
    success_column,
    text_column,
)
from routing_assets.foundation.errors import InvalidInput

_TEXT_COLUMNS = ("sample_id", "prompt", "eval_name")
_COST = "|total_cost"
_NOT_NEEDED = ("oracle_model_to_route_to", "split_in_source")
_NOT_NEEDED_SUFFIXES = ("|model_response", "|response_chars")


def is_routerbench(schema: pa.Schema) -> bool:
    """Whether a table with these columns is laid out like RouterBench's."""
    return set(_TEXT_COLUMNS) <= set(schema.names) and any(name.endswith(_COST) for name in schema.names)


def routerbench_labels(
    raw: RawTable,
    *,
    name: str | None = None,
    ignore_columns: Sequence[str] = (),
    allow_missing: bool = False,
    signals: bool = False,
) -> LabelledInstructions:
    """RouterBench's wide table as labelled instructions; ``eval_name`` becomes the task.

    Prompts stored as the text of a list (``"['…']"``, as in the original) are unwrapped; several turns are joined by
    a blank line.

    Args:
        raw: The table as read.
        name: The dataset's name; the file's own by default.
        ignore_columns: Columns that are neither part of the layout nor a model.
        allow_missing: Read an empty score as "unlabelled" instead of refusing it.
        signals: Keep what is known about the answers: the length of each, in characters.

    Raises:
        InvalidInput: naming file, row and column of the first fault found.
    """
    require_columns(raw, _TEXT_COLUMNS)
    check_ignored(raw, ignore_columns)
    names = raw.columns.column_names
    models = [column.removesuffix(_COST) for column in names if column.endswith(_COST)]
    if not models:
        raise InvalidInput(
            "there is no column '<model>|total_cost', so no model",
            source=raw.source,
            remedy="Load a table without costs with format='table'",
        )
    require_columns(raw, models)
    _check_all_known(raw, models, ignore_columns)
    remedy = "Write the model's score, from 0 to 1"
    ids = text_column(raw, "sample_id")
    check_unique(raw, "sample_id", ids)
    return LabelledInstructions(
        name=default_name(raw.source, name),
        models=tuple(models),
        instruction_id=ids,
        instruction=np.array([unwrap_prompt(prompt) for prompt in text_column(raw, "prompt")], dtype=object),
        success=np.column_stack(
            [success_column(raw, model, allow_missing=allow_missing, remedy=remedy) for model in models]
        ),
        cost=np.column_stack([amount_column(raw, model + _COST) for model in models]),
        task=text_column(raw, "eval_name"),
        signals=_lengths(raw, models) if signals else {},
    )


def _lengths(raw: RawTable, models: Sequence[str]) -> dict[str, np.ndarray]:
    """(N, K) characters of each reply as ``response_chars``, where the table says them or has the replies."""

    def of(model: str) -> np.ndarray:
        if f"{model}|response_chars" in raw.columns.column_names:
            return amount_column(raw, f"{model}|response_chars", "number of characters")
        if f"{model}|model_response" in raw.columns.column_names:
            lengths = pc.utf8_length(plain_text(raw, f"{model}|model_response"))
            return np.asarray(lengths.cast(pa.float64()).to_numpy(zero_copy_only=False))
        return np.full(len(raw), np.nan)

    lengths = np.column_stack([of(model) for model in models])
    return {} if np.isnan(lengths).all() else {"response_chars": lengths}


def unwrap_prompt(prompt: str) -> str:
    """The text of a prompt that was stored as the text of a list of texts; any other prompt unchanged."""
    if not (prompt.startswith("[") and prompt.endswith("]")):
        return prompt
    for parse in (json.loads, ast.literal_eval):
        try:
            turns = parse(prompt)
        except (ValueError, SyntaxError, RecursionError, MemoryError):  # the last two: nested too deeply
            continue
        if isinstance(turns, list) and turns and all(isinstance(turn, str) for turn in turns):
            return "\n\n".join(turns)
    return prompt


def _check_all_known(raw: RawTable, models: list[str], ignore_columns: Sequence[str]) -> None:
    known = {*_TEXT_COLUMNS, *_NOT_NEEDED, *models, *ignore_columns}
    for column in raw.columns.column_names:
        if column not in known and not column.endswith((_COST, *_NOT_NEEDED_SUFFIXES)):
            raise InvalidInput(
                "the column is not part of RouterBench's layout, nor a model with a '|total_cost'",
                source=raw.source,
                column=column,
                remedy=f"Pass ignore_columns=[{column!r}] (--ignore-column) or remove it",
            )
