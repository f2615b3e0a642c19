"""Requests for the LLM runners: JSONL in the form of each model's provider, one or more files per model and endpoint.

The files grow side by side while the batch passes once; none of its texts is held longer than it takes to write it.
"""

from __future__ import annotations

import json
import math
import os
import re
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from routing_assets.batches.request_ids import REQUEST_IDS, id_line, request_id
from routing_assets.datasets.file_layout import AS_OURS, FileLayout, batch_records
from routing_assets.datasets.openai_batch import is_openai_batch_file
from routing_assets.datasets.reading import json_lines
from routing_assets.datasets.set_aside import SetAside
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.files import PARTIAL, file_sha256, sync
from routing_assets.foundation.json_text import json_text
from routing_assets.pricing.catalog import ModelCatalog
from routing_assets.providers.lines import batch_line
from routing_assets.providers.provider import DEFAULT, Destination

_URLS = {"chat": "/v1/chat/completions", "responses": "/v1/responses", "completions": "/v1/completions"}
"""OpenAI's endpoint of a request that names none, by the form of its body."""
_ROWS_AT_ONCE = 10_000
_encode = json.JSONEncoder(ensure_ascii=False).encode


@dataclass(frozen=True)
class HandedFile:
    """One file of a hand-off; ``model`` is None for files that are not requests, such as the routed table."""

    name: str
    sha256: str
    bytes: int
    rows: int | None = None
    model: str | None = None
    cost_usd: float | None = None
    """Estimated USD of the file's requests."""
    endpoint: str | None = None
    """Where the file's requests go, such as ``/v1/chat/completions``; no file has requests to two of them."""
    provider: str | None = None
    """The provider in whose form they are."""
    api_name: str | None = None
    """The model's name in that API."""
    changes: dict[str, int] | None = None
    """What was left out, renamed or added, such as "seed is left out", and in how many requests."""


def handed(path: Path, **about: Any) -> HandedFile:
    """A file as the manifest lists it."""
    return HandedFile(path.name, file_sha256(path), path.stat().st_size, **about)


@dataclass
class RequestFiles:
    """The request files of a batch, in a folder where they have temporary names until they are complete."""

    folder: Path
    catalog: ModelCatalog | None = None
    requests_per_file: int | None = None
    bytes_per_file: int | None = None
    _growing: dict[tuple[str, str], list[_File]] = field(default_factory=dict)
    """By model and endpoint; a batch API takes one endpoint per file. The last file of each still grows."""
    _destinations: dict[str, Destination] = field(default_factory=dict)
    _ids: _File | None = None

    def write(self, block: pa.Table, originals: Iterator[str] | None) -> None:
        """Add the requests of some routed rows: ``instruction_id, instruction, model, cost``.

        Args:
            originals: the requests that these rows and those after them came as (JSON), which keep their url, system
                messages and parameters; only their model is set.

        Raises:
            InvalidInput: the next original request is not that of the row.
        """
        columns = block.select(["model", "instruction_id", "instruction", "cost"])
        for part in columns.to_batches(max_chunksize=_ROWS_AT_ONCE):
            if originals is None and all(map(self._takes_prompts, part["model"].unique().to_pylist())):
                self._write_prompts(part)
            else:
                self._write_each(part, originals)
            if self._ids is not None:
                self._ids.flush()
            for files in self._growing.values():
                files[-1].flush()

    def _takes_prompts(self, model: str) -> bool:
        to = self._destination(model)
        return to.provider.envelope == "body" and to.provider.ids is None and not to.unsupported

    def _write_prompts(self, part: pa.RecordBatch) -> None:
        """Those of a model together, which for a million of them saves most of the time."""
        of_row = part["model"].cast(pa.string())
        for model in of_row.unique().to_pylist():
            names, texts, costs = (column.to_pylist() for column in part.filter(pc.equal(of_row, model)).columns[1:])
            to = self._destination(model)
            self._add_all((model, to.provider.endpoint), to, _prompts(names, texts, to.model), costs)

    def _write_each(self, part: pa.RecordBatch, originals: Iterator[str] | None) -> None:
        for model, name, text, cost in zip(*(column.to_pylist() for column in part.columns), strict=True):
            to = self._destination(model)
            original = None if originals is None else _original(name, originals)
            sent = name if to.provider.ids is None else request_id(name, to.provider.ids)
            if sent != name:
                self._ids = self._ids or _File(self.folder / f".{uuid4().hex[:12]}{PARTIAL}")
                self._ids.add([id_line(sent, name)], [0.0])
            endpoint, line, changes = _request(sent, text, original, to)
            self._add_all((model, endpoint), to, [line], [cost], changes)

    def finish(self) -> list[HandedFile]:
        """Give the files their names, by their models and endpoints in order, and list them.

        Names are made from safe characters of the model's name and its number, whatever the name holds.
        """
        listed = []
        for number, ((model, endpoint), files) in enumerate(sorted(self._growing.items()), start=1):
            files[-1].close()
            for part, file in enumerate(files, start=1):
                path = self.folder / f"requests-{number:02d}-{safe_name(model)}-{part:03d}.jsonl"
                sync(file.path)
                os.replace(file.path, path)
                to = self._destination(model)
                about: dict[str, Any] = {"model": model, "cost_usd": file.usd, "endpoint": endpoint}
                about |= {"provider": to.provider.name, "api_name": to.model, "changes": dict(file.changes) or None}
                listed.append(handed(path, rows=file.rows, **about))
        if self._ids is not None:
            sync(self._ids.path)
            os.replace(self._ids.path, self.folder / REQUEST_IDS)
            listed.append(handed(self.folder / REQUEST_IDS))
        return listed

    def discard(self) -> None:
        """Remove the files that are not complete."""
        growing = [file for files in self._growing.values() for file in files]
        for file in growing if self._ids is None else [*growing, self._ids]:
            file.path.unlink(missing_ok=True)

    def _destination(self, model: str) -> Destination:
        if model not in self._destinations:
            known = self.catalog is not None and model in self.catalog.names
            self._destinations[model] = (
                self.catalog[model].destination if self.catalog and known else Destination.of(DEFAULT, model)
            )
        return self._destinations[model]

    def _add_all(
        self,
        key: tuple[str, str],
        to: Destination,
        lines: Sequence[bytes],
        costs: Sequence[float],
        changes: Collection[str] = (),
    ) -> None:
        files = self._growing.setdefault(key, [])
        while lines:
            if not files or not (fit := files[-1].room_for(lines)):
                if files:
                    files[-1].close()
                files.append(self._new_file(to))
                fit = max(1, files[-1].room_for(lines))
            files[-1].add(lines[:fit], costs[:fit])
            lines, costs = lines[fit:], costs[fit:]
        if changes:
            files[-1].changes.update(set(changes))

    def _new_file(self, to: Destination) -> _File:
        requests, size = to.provider.requests_per_file, to.provider.bytes_per_file
        most = min(requests, self.requests_per_file or requests), min(size, self.bytes_per_file or size)
        return _File(self.folder / f".{uuid4().hex[:12]}{PARTIAL}", *most)


@dataclass
class _File:
    path: Path
    most_requests: float = math.inf
    most_bytes: float = math.inf
    size: int = 0
    costs: array[float] = field(default_factory=lambda: array("d"))
    """Estimated USD of each request, as long as the file grows."""
    rows: int = 0
    usd: float = 0.0
    """Of a file that is closed."""
    changes: Counter[str] = field(default_factory=Counter)
    waiting: list[bytes] = field(default_factory=list)

    def room_for(self, lines: Sequence[bytes]) -> int:
        """How many of the lines the file may still hold, from the first."""
        sizes = list(accumulate(map(len, lines), initial=self.size))
        return int(max(0, min(bisect_right(sizes, self.most_bytes) - 1, self.most_requests - len(self.costs))))

    def add(self, lines: Sequence[bytes], costs: Sequence[float]) -> None:
        """Add requests, which are written by the next ``flush``."""
        self.waiting.extend(lines)
        self.costs.extend(costs)
        self.size += sum(map(len, lines))

    def flush(self) -> None:
        """Write the waiting lines. The file is open only meanwhile, as too many could be open at once."""
        if self.waiting:
            with self.path.open("ab") as file:
                file.writelines(self.waiting)
            self.waiting.clear()

    def close(self) -> None:
        """Write what waits, and keep the sum of the costs alone."""
        self.flush()
        self.rows, self.usd = len(self.costs), float(np.frombuffer(self.costs).sum())
        self.costs = array("d")


def original_requests(
    path: Path, set_aside: SetAside | None = None, layout: FileLayout = AS_OURS
) -> Iterator[str] | None:
    """The requests of a batch file, each as its line, in order, without those that are set aside; None where
    the batch is of another kind.

    Args:
        layout: how the file differs from ours, such as in ids that were made.
    """
    if not is_openai_batch_file(path, layout):
        return None
    aside = {place for places in (set_aside or {}).values() for place in places}
    lines: Iterable[str] = (line.decode("utf-8-sig") for line in json_lines(path))
    if layout:
        lines = map(json.dumps, batch_records(path, layout))
    return (line for place, line in enumerate(lines) if place not in aside)


def safe_name(text: str) -> str:
    """``text`` as part of a file name: letters, digits, dot, dash and underscore, at most 60, no dot in front."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text)[:60].lstrip(".") or "_"


def require_no_more(originals: Iterable[str] | None) -> None:
    """Raise InvalidInput where an original request is left over, whose instruction was not routed."""
    if (line := next(iter(originals or ()), None)) is not None:
        raise InvalidInput(
            f"the request {batch_line(json.loads(line)).id!r} is not routed",
            remedy="Give the file of the batch that was routed",
        )


def _original(name: str, originals: Iterator[str]) -> dict[str, Any]:
    original = json.loads(next(originals, "{}"))
    if str(batch_line(original).id) != name:
        raise InvalidInput(
            f"the routed instruction {name!r} has no original request in its place of the batch's file",
            remedy="Give the file of the batch that was routed",
        )
    return original


def _request(
    sent: str, text: str, original: dict[str, Any] | None, to: Destination
) -> tuple[str, bytes, Collection[str]]:
    """The endpoint, the line, and what was changed in the request."""
    provider = to.provider
    if original is None:
        body, changes = to.prompt(text)
        return provider.endpoint, _encoded(to.line(sent, body, provider.endpoint)), changes
    line = batch_line(original)
    body, changes = to.body(line)
    endpoint = provider.endpoint
    if provider.envelope == "body" and line.form.name in _URLS:
        endpoint = str(line.url) if line.url else _URLS[line.form.name]
    if line.envelope != provider.envelope:
        return endpoint, _encoded(to.line(sent, body, endpoint)), changes
    for ours in ("source_file", "reference"):  # of a batch joined of several files; for graders
        original.pop(ours, None)
    if line.envelope == "body":
        return endpoint, _encoded({"method": "POST", **original, "url": endpoint, "body": body}), changes
    if line.id_field != provider.id_field:
        original.pop(line.id_field)
    return endpoint, _encoded({**original, provider.id_field: sent, provider.envelope: body}), changes


def _prompts(names: Sequence[str], texts: Sequence[str], model: str) -> list[bytes]:
    """Requests that ask a text of a model; only ids and texts need encoding."""
    between = f', "method": "POST", "url": "{_URLS["chat"]}", "body": {{"model": {json_text(model)}, '
    return [
        (
            f'{{"custom_id": {json_text(name)}{between}"messages": [{{"role": "user", '
            f'"content": {json_text(text)}}}]}}}}\n'
        ).encode()
        for name, text in zip(names, texts, strict=True)
    ]


def _encoded(line: dict[str, Any]) -> bytes:
    try:
        return _encode(line).encode() + b"\n"
    except UnicodeEncodeError:  # half a surrogate pair
        return json.dumps(line).encode() + b"\n"
