"""Reports of SWE-bench: per model, the ids of the instances that it resolved and of those that it did not.

Read are the report of the harness on a run, ``<model>.<run>.json`` with ``resolved_ids``; ``results.json`` of the
leaderboard, with ``resolved``; and ``report.json`` on single instances. Reports have no texts: these stand in a file of
the data set in the same folder, with ``instance_id`` and ``problem_statement``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from routing_assets.datasets.containers import ENDINGS
from routing_assets.datasets.evaluation_logs.calls import Call
from routing_assets.datasets.evaluation_logs.json_documents import read_json
from routing_assets.datasets.reading import read_raw_table
from routing_assets.foundation.errors import InvalidInput

_TEXTS = ("instance_id", "problem_statement")
_NOT_TRIED = "incomplete_ids"


def recognises(document: Any) -> bool:
    """Whether a JSON document is a report of SWE-bench."""
    if not isinstance(document, dict) or not document:
        return False
    if isinstance(document.get("resolved_ids"), list) or isinstance(document.get("resolved"), list):
        return True
    return all(isinstance(one, dict) and isinstance(one.get("resolved"), bool) for one in document.values())


def read(files: Sequence[Path], folder: Path) -> Iterator[Call]:
    """The instances of all reports. As on the leaderboard, whatever was tried and is not resolved counts as failed.

    Args:
        folder: with the texts.
    """
    texts, run = _texts(folder, files), _run(files)
    for path in files:
        model = _model(path, run)
        for instance, resolved in _verdicts(read_json(path), texts).items():
            if instance not in texts:
                raise InvalidInput(
                    f"the instance {instance!r} has no text",
                    source=str(path),
                    remedy="Put the file of all instances, with instance_id and problem_statement, into the folder",
                )
            yield Call(instance, texts[instance], model, float(resolved))


def _verdicts(document: dict[str, Any], texts: dict[str, str]) -> dict[str, bool]:
    lists = {name: set(map(str, ids)) for name, ids in document.items() if isinstance(ids, list)}
    if "resolved_ids" in lists:
        names = ("resolved_ids", "unresolved_ids", "empty_patch_ids", "error_ids")
        tried = set().union(*(lists.get(name, ()) for name in names)) - lists.get(_NOT_TRIED, set())
        return {instance: instance in lists["resolved_ids"] for instance in sorted(tried)}
    if "resolved" in lists:  # the leaderboard's report does not list every instance: all of its data set were tried
        return {instance: instance in lists["resolved"] for instance in {**texts, **dict.fromkeys(lists["resolved"])}}
    return {instance: one["resolved"] for instance, one in document.items()}


def _run(files: Sequence[Path]) -> str:
    """The name of the run, with which all files end."""
    ends = {Path(path.stem).suffix for path in files}
    end = ends.pop() if len(ends) == 1 else ""
    return "" if end[1:].isdigit() else end


def _model(path: Path, run: str) -> str:
    """By the file's name, or that of its folder."""
    if path.name == "report.json":
        return path.parent.parent.name
    if path.name == "results.json":
        return (path.parent.parent if path.parent.name == "results" else path.parent).name
    return path.stem.removesuffix(run)


def _texts(folder: Path, reports: Sequence[Path]) -> dict[str, str]:
    for file in sorted(folder.rglob("*")):
        if file.is_file() and file.name.lower().endswith(ENDINGS) and file not in reports:
            columns = read_raw_table(file).columns
            if set(_TEXTS) <= set(columns.column_names):
                ids, texts = (columns[name].to_pylist() for name in _TEXTS)
                return dict(zip(map(str, ids), map(str, texts), strict=True))
    raise InvalidInput(
        "these reports of SWE-bench have no texts",
        source=str(folder),
        remedy="Put the file of the data set, with instance_id and problem_statement, into the folder of the reports",
    )
