"""The formats of evaluation logs, and how the format of a file is recognised."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from routing_assets.datasets.evaluation_logs import (
    helm,
    inspect_logs,
    lm_eval,
    preferences,
    promptfoo,
    sprout,
    swe_bench_reports,
)
from routing_assets.datasets.evaluation_logs.calls import Call
from routing_assets.datasets.evaluation_logs.json_documents import read_json
from routing_assets.datasets.evaluation_logs.records import records
from routing_assets.datasets.reading import is_json_document
from routing_assets.foundation.errors import InvalidInput

Rule = Mapping[str, float]


@dataclass(frozen=True)
class CallLog:
    """A format of evaluation logs.

    Attributes:
        recognises: whether the first record of a table, or a whole JSON document, has this format.
        is_document: whether it is one JSON document, in a ``.json`` file.
        read: the calls in files, by the rule for preferences where one was given; the folder is that of all files.
    """

    name: str
    is_document: bool
    recognises: Callable[[Any], bool]
    read: Callable[[Sequence[Path], Rule | None, Path], Iterator[Call]]


def _each(read: Callable[[Path], Iterator[Call]]) -> Callable[[Sequence[Path], Rule | None, Path], Iterator[Call]]:
    return lambda files, *_: chain.from_iterable(map(read, files))


LOGS = {
    log.name: log
    for log in (
        CallLog("lm_eval", False, lm_eval.recognises, _each(lm_eval.read)),
        CallLog("helm", False, helm.recognises, _each(helm.read)),
        CallLog("inspect", True, inspect_logs.recognises, _each(inspect_logs.read)),
        CallLog("promptfoo", True, promptfoo.recognises, _each(promptfoo.read)),
        CallLog("sprout", False, sprout.recognises, _each(sprout.read)),
        CallLog(
            "preferences",
            False,
            preferences.recognises,
            lambda files, rule, _: chain.from_iterable(preferences.read(file, rule) for file in files),
        ),
        CallLog(
            "swe_bench_reports",
            True,
            swe_bench_reports.recognises,
            lambda files, _, folder: swe_bench_reports.read(files, folder),
        ),
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
    if is_json_document(path):
        document = read_json(path)
        return next((log for log in LOGS.values() if log.is_document and log.recognises(document)), None)
    record = next(records(path), None)
    return next((log for log in LOGS.values() if not log.is_document and log.recognises(record)), None)


def logs_in(folder: Path) -> dict[Path, CallLog]:
    """The evaluation logs in a folder and its subfolders, with their formats, by path."""
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in (".json", ".jsonl"))
    found = {file: log_of(file) for file in files}
    return {file: log for file, log in found.items() if log is not None}
