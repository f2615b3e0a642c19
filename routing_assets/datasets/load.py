"""Load recorded successes from any known file or folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, Literal, get_args

import pyarrow as pa

from routing_assets.datasets.evaluation_logs import LOGS, CallLog, labels_of_calls, log_of
from routing_assets.datasets.evaluation_logs.formats import logs_in
from routing_assets.datasets.evaluation_logs.layouts import LAYOUTS, layout_of
from routing_assets.datasets.evaluation_logs.preferences import read_rule
from routing_assets.datasets.file_faults import no_rows
from routing_assets.datasets.labels import LabelledInstructions
from routing_assets.datasets.llm_uncertainty_bench import is_llm_uncertainty_bench, load_llm_uncertainty_bench
from routing_assets.datasets.part_files import one_file
from routing_assets.datasets.reading import RawTable, read_raw_table, require_distinct
from routing_assets.datasets.routerbench import is_routerbench, routerbench_labels
from routing_assets.datasets.table import table_labels
from routing_assets.datasets.validation import default_name, require_columns
from routing_assets.foundation.errors import InvalidInput

LabelFormat = Literal[
    "auto",
    "table",
    "routerbench",
    "llm_uncertainty_bench",
    "lm_eval",
    "inspect",
    "promptfoo",
    "sprout",
    "helm",
    "preferences",
    "embedllm",
    "routellm",
    "swe_bench",
    "swe_bench_reports",
]


def load_labels(
    path: str | Path,
    format: LabelFormat = "auto",
    *,
    preferences: str | None = None,
    encoding: str | None = None,
    signals: Sequence[str] | bool = (),
    **options: Any,
) -> LabelledInstructions:
    """Reads labelled instructions from a file or folder.

    Args:
        path: A table, a folder of part files, the results of an evaluation tool (a file, or a folder of files), or the
            folder of LLM-Uncertainty-Bench.
        format: The layout. ``auto`` recognises it by the content; a table of no known layout is a label table.
        encoding: Of a text file that is not UTF-8.
        preferences: The rule by which pairwise preferences are read, see :func:`read_rule`.
        signals: True keeps what RouterBench and LLM-Uncertainty-Bench tell about the answers. In a table the signals
            with known names are kept, and those named here.
        options: What the layout's own loader takes: ``name``, ``ignore_columns``, ``allow_missing``, ``columns``,
            ``made_ids``, ``success_scale`` (tables), or ``prompt``, ``tasks``, ``name``, ``allow_missing``
            (LLM-Uncertainty-Bench).

    Raises:
        InvalidInput: naming file, row and column of the first fault found, and what to do about it.
    """
    if format not in get_args(LabelFormat):
        raise InvalidInput(
            f"there is no label format {format!r}", remedy=f"Choose one of {', '.join(get_args(LabelFormat))}"
        )
    path = Path(path)
    if encoding is not None:
        with one_file(path, encoding) as file:
            if file != path:
                options["name"] = default_name(path, options.get("name"))
                return load_labels(file, format, preferences=preferences, **options)
    logs = _logs(path, format)
    if logs:
        rule = None if preferences is None else read_rule(preferences)
        folder = path if path.is_dir() else path.parent
        files = {log.name: [file for file, own in logs.items() if own is log] for log in logs.values()}
        calls = chain.from_iterable(LOGS[name].read(of_log, rule, folder) for name, of_log in files.items())
        return labels_of_calls(calls, str(path), default_name(path, options.get("name")))
    if format == "llm_uncertainty_bench" or (format == "auto" and is_llm_uncertainty_bench(path)):
        if options.pop("ignore_columns", ()):
            raise InvalidInput("a folder has no columns to ignore", source=str(path), remedy="Ignore none")
        taken = _taken(options, "prompt", "tasks", "name", "allow_missing")
        return load_llm_uncertainty_bench(path, signals=bool(signals), **taken)
    with one_file(path) as file:
        raw = replace(read_raw_table(file), source=str(path))
    if format == "routerbench" or (format == "auto" and is_routerbench(raw.columns.schema)):
        taken = _taken(options, "name", "ignore_columns", "allow_missing")
        return routerbench_labels(raw, signals=bool(signals), **taken)
    return _table(raw, format, {**options, "signals": () if isinstance(signals, bool) else signals})


def labels_from_table(table: pa.Table, source: str, **options: Any) -> LabelledInstructions:
    """A label table in memory, read as :func:`load_labels` reads a file; ``source`` names it in messages."""
    require_distinct(table.column_names, source)
    if not len(table):
        raise no_rows(source)
    return _table(RawTable(source, table), "auto", options)


def _logs(path: Path, format: str) -> dict[Path, CallLog]:
    """The files of evaluation results at a path, where there are any and the format allows for it."""
    if format in LOGS:
        ending = "*.json" if LOGS[format].is_document else "*.json*"
        files = sorted(file for file in path.rglob(ending) if file.is_file()) if path.is_dir() else [path]
        return dict.fromkeys(files, LOGS[format])
    if format != "auto":
        return {}
    if path.is_dir():
        return {} if is_llm_uncertainty_bench(path) else logs_in(path)
    log = log_of(path)
    return {} if log is None else {path: log}


def _table(raw: RawTable, format: str, options: dict[str, Any]) -> LabelledInstructions:
    """A label table, under our names for its columns or those of a known layout."""
    names = raw.columns.column_names
    layout = None
    if format == "auto" and not options.get("columns"):
        layout = layout_of(names)
    elif format != "table":
        layouts = [layout for layout in LAYOUTS if layout.name == format]
        layout = next((layout for layout in layouts if layout.recognised_by <= set(names)), None)
        if layout is None and layouts:
            require_columns(raw, sorted(layouts[0].recognised_by))
    if layout is None:
        return table_labels(raw, **options)
    ignored = [*options.get("ignore_columns", ()), *(name for name in layout.ignored if name in names)]
    return table_labels(raw, **{**options, "columns": layout.mapping(names), "ignore_columns": ignored})


def _taken(options: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """The options that a loader takes. Raises InvalidInput for another one that is set."""
    for name, value in options.items():
        if value and name not in names and not (name == "success_scale" and value == 1):
            raise InvalidInput(f"this layout has no option '{name}'", remedy="Leave it out, or give --format table")
    return {name: value for name, value in options.items() if name in names}
