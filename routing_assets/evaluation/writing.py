"""Write an evaluation to a directory: page.html for people, and the same as tables, text and pictures."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq

from routing_assets.evaluation.evaluation import Evaluation
from routing_assets.evaluation.figures import draw_curves, draw_reliability
from routing_assets.evaluation.page import as_html
from routing_assets.foundation.vega import script


def write_evaluation(evaluation: Evaluation, directory: Path | str, scripts: Path) -> dict[str, Path]:
    """Write all files of an evaluation, each whole or not at all; returns their paths by name.

    Args:
        scripts: the folder that keeps what draws the pictures of pages.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    writers: dict[str, Callable[[Path], object]] = {
        "curves.parquet": lambda path: pq.write_table(evaluation.curves, path),
        "summary.json": lambda path: path.write_text(json.dumps(evaluation.summary, indent=1, allow_nan=False)),
        "summary.txt": lambda path: path.write_text(f"{evaluation.table()}\n", encoding="utf-8"),
        "fine_print.txt": lambda path: path.write_text(f"{evaluation.verdict.fine_print}\n", encoding="utf-8"),
        "page.html": lambda path: path.write_text(as_html(evaluation, script(scripts)), encoding="utf-8"),
        "curves.png": lambda path: draw_curves(evaluation, path),
        "reliability.png": lambda path: draw_reliability(evaluation, path),
    }
    for name, write in writers.items():
        partial = directory / f".{name}.{os.getpid()}.partial"
        try:
            write(partial)
            os.replace(partial, directory / name)
        finally:
            partial.unlink(missing_ok=True)
    return {name: directory / name for name in writers}
