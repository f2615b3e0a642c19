"""Requests for the LLM runners: OpenAI Batch JSONL, one or more files per model and endpoint.

The files grow side by side while the batch passes once; none of its texts is held longer than it takes to write it.
"""

from __future__ import annotations

import json
import os
import re
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa

from routing_assets.datasets.openai_batch import is_openai_batch_file
from routing_assets.datasets.reading import json_lines
from routing_assets.datasets.set_aside import SetAside
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.files import PARTIAL, file_sha256, sync
from routing_assets.foundation.json_text import json_text

REQUESTS_PER_FILE = 50_000  # OpenAI's limits of a batch file
BYTES_PER_FILE = 190_000_000
_URL = "/v1/chat/completions"
_URLS = {"messages": _URL, "input": "/v1/responses", "prompt": "/v1/completions"}
"""The endpoint of a request that names none, by the field of its body that holds the text."""
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


def handed(path: Path, **about: Any) -> HandedFile:
    """A file as the manifest lists it."""
    return HandedFile(path.name, file_sha256(path), path.stat().st_size, **about)


@dataclass
class RequestFiles:
    """The request files of a batch, in a folder where they have temporary names until they are complete."""

    folder: Path
    requests_per_file: int = REQUESTS_PER_FILE
    bytes_per_file: int = BYTES_PER_FILE
    _growing: dict[tuple[str, str], list[_File]] = field(default_factory=dict)
    """By model and endpoint; a batch API takes one endpoint per file. The last file of each still grows."""

    def write(self, block: pa.Table, originals: Iterator[str] | None) -> None:
        """Add the requests of some routed rows: ``instruction_id, instruction, model, cost``.

        Args:
            originals: the requests that these rows and those after them came as (JSON), which keep their url, system
                messages and parameters; only their model is set.

        Raises:
            InvalidInput: the next original request is not that of the row.
        """
        columns = block.select(["instruction_id", "instruction", "model", "cost"])
        for part in columns.to_batches(max_chunksize=_ROWS_AT_ONCE):
            for name, text, model, cost in zip(*(column.to_pylist() for column in part.columns), strict=True):
                if originals is None:
                    self._add((model, _URL), _request(name, text, model), cost)
                else:
                    original = _original(name, originals)
                    endpoint = _endpoint(original)
                    self._add((model, endpoint), _as_it_came(original, model, endpoint), cost)
            for files in self._growing.values():
                files[-1].flush()

    def finish(self) -> list[HandedFile]:
        """Give the files their names, by their models and endpoints in order, and list them.

        Names are made from safe characters of the model's name and its number, whatever the name holds.
        """
        listed = []
        for number, ((model, endpoint), files) in enumerate(sorted(self._growing.items()), start=1):
            for part, file in enumerate(files, start=1):
                path = self.folder / f"requests-{number:02d}-{safe_name(model)}-{part:03d}.jsonl"
                sync(file.path)
                os.replace(file.path, path)
                usd = float(np.frombuffer(file.costs).sum())
                listed.append(handed(path, rows=len(file.costs), model=model, cost_usd=usd, endpoint=endpoint))
        return listed

    def discard(self) -> None:
        """Remove the files that are not complete."""
        for file in (file for files in self._growing.values() for file in files):
            file.path.unlink(missing_ok=True)

    def _add(self, destination: tuple[str, str], line: bytes, cost: float) -> None:
        files = self._growing.setdefault(destination, [])
        full = not files or len(files[-1].costs) == self.requests_per_file
        if full or files[-1].size + len(line) > self.bytes_per_file:
            if files:
                files[-1].flush()
            files.append(_File(self.folder / f".{uuid4().hex[:12]}{PARTIAL}"))
        files[-1].add(line, cost)


@dataclass
class _File:
    path: Path
    size: int = 0
    costs: array[float] = field(default_factory=lambda: array("d"))
    """Estimated USD of each request."""
    waiting: list[bytes] = field(default_factory=list)

    def add(self, line: bytes, cost: float) -> None:
        self.waiting.append(line)
        self.costs.append(cost)
        self.size += len(line)

    def flush(self) -> None:
        """Write what waits. The file is open only meanwhile, for there may be more files than may be open at once."""
        if self.waiting:
            with self.path.open("ab") as file:
                file.writelines(self.waiting)
            self.waiting.clear()


def original_requests(path: Path, set_aside: SetAside | None = None) -> Iterator[str] | None:
    """The requests of an OpenAI Batch file, each as its line, in order, without those that are set aside; None where
    the batch is of another kind.
    """
    if not is_openai_batch_file(path):
        return None
    aside = {place for places in (set_aside or {}).values() for place in places}
    return (line.decode("utf-8-sig") for place, line in enumerate(json_lines(path)) if place not in aside)


def safe_name(text: str) -> str:
    """``text`` as part of a file name: letters, digits, dot, dash and underscore, at most 60, no dot in front."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text)[:60].lstrip(".") or "_"


def require_no_more(originals: Iterable[str] | None) -> None:
    """Raise InvalidInput where a request is left of which no instruction was routed."""
    if (line := next(iter(originals or ()), None)) is not None:
        raise InvalidInput(
            f"the request {json.loads(line).get('custom_id')!r} is not routed",
            remedy="Give the file of the batch that was routed",
        )


def _original(name: str, originals: Iterator[str]) -> dict[str, Any]:
    original = json.loads(next(originals, "{}"))
    if str(original.get("custom_id")) != name:
        raise InvalidInput(
            f"the routed instruction {name!r} has no original request in its place of the batch's file",
            remedy="Give the file of the batch that was routed",
        )
    return original


def _endpoint(request: Mapping[str, Any]) -> str:
    if url := request.get("url"):
        return str(url)
    return next((url for field, url in _URLS.items() if field in request["body"]), _URL)


def _request(name: str, text: str, model: str) -> bytes:
    """Only the texts need encoding, which for a million of them saves most of the time."""
    line = (
        f'{{"custom_id": {json_text(name)}, "method": "POST", "url": "{_URL}", "body": {{"model": '
        f'{json_text(model)}, "messages": [{{"role": "user", "content": {json_text(text)}}}]}}}}\n'
    )
    return line.encode()


def _as_it_came(original: dict[str, Any], model: str, endpoint: str) -> bytes:
    original.pop("source_file", None)  # ours, in a batch joined of several files
    line = _encode({"method": "POST", **original, "url": endpoint, "body": {**original["body"], "model": model}})
    return line.encode() + b"\n"
