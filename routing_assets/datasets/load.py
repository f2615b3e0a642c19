"""One door for every source of recorded successes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args

from routing_assets.datasets.labels import LabelledInstructions
from routing_assets.datasets.llm_uncertainty_bench import load_llm_uncertainty_bench
from routing_assets.datasets.reading import read_raw_table
from routing_assets.datasets.routerbench import is_routerbench, routerbench_labels
from routing_assets.datasets.table import table_labels
from routing_assets.foundation.errors import InvalidInput

LabelFormat = Literal["auto", "table", "routerbench", "llm_uncertainty_bench"]


def load_labels(path: str | Path, format: LabelFormat = "auto", **options: Any) -> LabelledInstructions:
    """Reads labelled instructions from a file or folder.

    Args:
        path: A Parquet, CSV or JSONL table, or the folder of LLM-Uncertainty-Bench.
        format: The layout. ``auto`` takes a folder for LLM-Uncertainty-Bench, a table with ``sample_id``, ``prompt``,
            ``eval_name`` and ``<model>|total_cost`` for RouterBench, and anything else for a label table.
        options: What the layout's own loader takes: ``name``, ``ignore_columns``, ``allow_missing`` (tables), or
            ``prompt``, ``tasks``, ``name``, ``allow_missing`` (LLM-Uncertainty-Bench).

    Raises:
        InvalidInput: naming file, row and column of the first fault found, and what to do about it.
    """
    if format not in get_args(LabelFormat):
        raise InvalidInput(
            f"there is no label format {format!r}", remedy=f"Choose one of {', '.join(get_args(LabelFormat))}"
        )
    if format == "llm_uncertainty_bench" or (format == "auto" and Path(path).is_dir()):
        if options.pop("ignore_columns", ()):
            raise InvalidInput("a folder has no columns to ignore", source=str(path), remedy="Ignore none")
        return load_llm_uncertainty_bench(path, **options)
    raw = read_raw_table(path)
    if format == "routerbench" or (format == "auto" and is_routerbench(raw.columns.schema)):
        return routerbench_labels(raw, **options)
    return table_labels(raw, **options)
