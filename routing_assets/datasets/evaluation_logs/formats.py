"""The formats of evaluation logs, and how the format of a file is recognised."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from routing_assets.datasets.evaluation_logs import inspect_logs, lm_eval, preferences, promptfoo, sprout
from routing_assets.datasets.evaluation_logs.calls import Call
from routing_assets.datasets.evaluation_logs.json_documents import read_json
from routing_assets.datasets.reading import first_json_line, is_json_lines
from routing_assets.foundation.errors import InvalidInput

Rule = Mapping[str, float]


@dataclass(frozen=True)
class CallLog:
    """A format of evaluation logs.

    Attributes:
        recognises: whether the first record of a table, or a whole JSON document, has this format.
        is_document: whether it is one JSON document, in a ``.json`` file.
        read: the calls in a file, by the rule for preferences where one was given.
    """

    name: str
    is_document: bool
    recognises: Callable[[Any], bool]
    read: Callable[[Path, Rule | None], Iterator[Call]]


LOGS = {
    log.name: log
    for log in (
        CallLog("lm_eval", False, lm_eval.recognises, lambda path, _: lm_eval.read(path)),
        CallLog("inspect", True, inspect_logs.recognises, lambda path, _: inspect_logs.read(path)),
        CallLog("promptfoo", True, promptfoo.recognises, lambda path, _: promptfoo.read(path)),
        CallLog("sprout", False, sprout.recognises, lambda path, _: sprout.read(path)),
        CallLog("preferences", False, preferences.recognises, preferences.read),
    )
}


def log_of(path: Path) -> CallLog | None:
    """The format of a file; None where it is not an evaluation log.

    Raises:
        InvalidInput: the file cannot be read.
    """
    if path.suffix.lower() == ".eval":
        raise InvalidInput(
            "this is a binary log of Inspect", source=str(path), remedy="Convert it: inspect log convert --to json"
        )
    if path.suffix.lower() == ".json":
        document = read_json(path)
        return next((log for log in LOGS.values() if log.is_document and log.recognises(document)), None)
    if is_json_lines(path):
        record = first_json_line(path)
        return next((log for log in LOGS.values() if not log.is_document and log.recognises(record)), None)
    return None


def logs_in(folder: Path) -> dict[Path, CallLog]:
    """The evaluation logs in a folder and its subfolders, with their formats, by path."""
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in (".json", ".jsonl"))
    found = {file: log_of(file) for file in files}
    return {file: log for file, log in found.items() if log is not None}
