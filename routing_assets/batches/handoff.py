"""Hand-off of a routed batch to the LLM runners: OpenAI Batch JSONL per model and endpoint, under one manifest with
hashes.

Every request file goes to one model's runner as it is. The routed batch is written as one table for its user, too. The
manifest is written last; a folder without one, or whose files do not fit it, is not complete.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from routing_assets.batches.join_small_files import SEPARATOR
from routing_assets.batches.outbox import MANIFEST, SET_ASIDE, SOURCES, next_decision
from routing_assets.datasets.batch import set_aside_of
from routing_assets.datasets.openai_batch import RequestLines, is_openai_batch_file
from routing_assets.datasets.reading import require_file
from routing_assets.datasets.set_aside import records_set_aside
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.files import atomic_path, file_sha256
from routing_assets.storage.journal import Head

_URL = "/v1/chat/completions"
_URLS = {"messages": _URL, "input": "/v1/responses", "prompt": "/v1/completions"}
"""The endpoint of a request that names none, by the field of its body that holds the text."""
_REQUESTS_PER_FILE = 50_000  # OpenAI's limits of a batch file
_BYTES_PER_FILE = 190_000_000
_encode = json.JSONEncoder(ensure_ascii=False).encode
json_text = json.encoder.encode_basestring
"""A text as JSON, quotes included."""


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


@dataclass(frozen=True)
class Manifest:
    """What was handed off; estimates are those of the decision."""

    batch_id: str
    rows: int
    cost_usd: float
    expected_successes: float
    files: tuple[HandedFile, ...]
    dagster_run_id: str | None = None
    """The run whose decision these files are."""
    ledger_entry: int | None = None
    """The newest entry of the journal when the files were written: an anchor outside the database."""
    ledger_hash: str | None = None

    def of(self, model: str) -> tuple[HandedFile, ...]:
        """The request files of one model."""
        return tuple(file for file in self.files if file.model == model)


def hand_off(
    instructions: pa.Table,
    routed: pa.Table,
    folder: Path,
    *,
    batch_id: str,
    run_id: str | None = None,
    ledger_head: Head | None = None,
    originals: Mapping[str, str] | None = None,
    also: Sequence[Path] = (),
    requests_per_file: int = _REQUESTS_PER_FILE,
) -> Manifest:
    """Write one or more request files per model and endpoint, then ``manifest.json``, into a new ``folder``.

    File names are made from safe characters of the model's name and its number, whatever the name holds; the manifest
    tells which file is whose and where it goes. Each file is whole or absent.

    Args:
        instructions: ``instruction_id, instruction``, in any order.
        routed: ``instruction_id, model, expected_success, cost`` (estimated USD).
        run_id: the Dagster run that took the decision.
        ledger_head: the newest entry of the journal, which the manifest anchors.
        originals: the requests that the batch came as (JSON, by id), see :func:`original_requests`: they keep their
            url, system messages and parameters, and only their model is set.
        also: other files of ``folder`` to list in the manifest, such as the routed table.
        requests_per_file: requests beyond so many, or beyond 190 MB, go into a further file.

    Raises:
        InvalidInput: a routed instruction has no text or no original request, or is routed twice.
    """
    texts = dict(zip(*(instructions[name].to_pylist() for name in ("instruction_id", "instruction")), strict=True))
    ids, models = routed["instruction_id"].to_pylist(), routed["model"].to_pylist()
    _check(ids, texts, originals)
    cost = routed["cost"].to_numpy().astype(np.float64)
    files: list[HandedFile] = []
    for number, ((model, endpoint), rows) in enumerate(_rows_by_destination(ids, models, originals), start=1):
        lines = (_line(ids[i], model, endpoint, texts, originals) for i in rows)
        done = 0
        for part, chunk in enumerate(_parts(lines, requests_per_file), start=1):
            path = folder / f"requests-{number:02d}-{safe_name(model)}-{part:03d}.jsonl"
            with atomic_path(path) as temporary:
                temporary.write_bytes(b"".join(chunk))
            usd = float(cost[rows[done : done + len(chunk)]].sum())
            done += len(chunk)
            files.append(_handed(path, rows=len(chunk), model=model, cost_usd=usd, endpoint=endpoint))
    files += [_handed(path) for path in also]
    successes = float(routed["expected_success"].to_numpy().sum(dtype=np.float64))
    manifest = Manifest(batch_id, len(ids), float(cost.sum()), successes, tuple(files), run_id, *_anchor(ledger_head))
    with atomic_path(folder / MANIFEST) as temporary:
        temporary.write_text(json.dumps(asdict(manifest), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a hand-off, every file it lists checked against its hash.

    Raises:
        InvalidInput: the manifest is absent or malformed, names something that is no file of ``folder``, or a file is
            missing or was changed.
    """
    path = folder / MANIFEST
    require_file(path)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        manifest = Manifest(**values | {"files": tuple(HandedFile(**file) for file in values["files"])})
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidInput(
            f"this is not a hand-off manifest ({error})", source=str(path), remedy="Export the batch again"
        ) from error
    for file in manifest.files:
        if Path(file.name).name != file.name or file.name in ("", ".", ".."):
            raise InvalidInput(f"{file.name!r} is not the name of a file in this folder", source=str(path))
        require_file(folder / file.name)
        if file_sha256(folder / file.name) != file.sha256:
            raise InvalidInput(
                "the file is not the one that was handed off",
                source=str(folder / file.name),
                remedy="Export the batch again, or restore the file",
            )
    return manifest


def original_requests(path: Path) -> Mapping[str, str] | None:
    """The requests of an OpenAI Batch file, each as its line, by ``custom_id``; None where the batch is of another
    kind.
    """
    return RequestLines(path) if is_openai_batch_file(path) else None


def safe_name(text: str) -> str:
    """``text`` as part of a file name: letters, digits, dot, dash and underscore, at most 60, no dot in front."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text)[:60].lstrip(".") or "_"


def _check(ids: list[str], texts: Mapping[str, str], originals: Mapping[str, str] | None) -> None:
    if len(set(ids)) < len(ids):
        raise InvalidInput("an instruction is routed twice", column="instruction_id", remedy="Route the batch again")
    for known, what in ((texts, "text"), (originals, "original request")):
        lacking = [name for name in ids if name not in known] if known is not None else []
        if lacking:
            raise InvalidInput(
                f"the routed instruction {lacking[0]!r} has no {what} ({len(lacking)} such)",
                remedy="Give the instructions of the batch that was routed",
            )


def _rows_by_destination(
    ids: list[str], models: list[str], originals: Mapping[str, str] | None
) -> list[tuple[tuple[str, str], np.ndarray]]:
    """The rows of each model and endpoint, sorted by these: a batch API takes one endpoint per file."""
    rows: dict[tuple[str, str], list[int]] = {}
    for i, (name, model) in enumerate(zip(ids, models, strict=True)):
        endpoint = _URL if originals is None else _endpoint(json.loads(originals[name]))
        rows.setdefault((model, endpoint), []).append(i)
    return [(destination, np.array(rows[destination])) for destination in sorted(rows)]


def _endpoint(request: Mapping[str, Any]) -> str:
    if url := request.get("url"):
        return str(url)
    return next((url for field, url in _URLS.items() if field in request["body"]), _URL)


def _line(name: str, model: str, endpoint: str, texts: Mapping[str, str], originals: Mapping[str, str] | None) -> bytes:
    if originals is None:  # only the texts need encoding, which for a million of them saves most of the time
        line = (
            f'{{"custom_id": {json_text(name)}, "method": "POST", "url": "{endpoint}", "body": {{"model": '
            f'{json_text(model)}, "messages": [{{"role": "user", "content": {json_text(texts[name])}}}]}}}}'
        )
    else:
        original = json.loads(originals[name])
        original.pop("source_file", None)  # ours, in a batch joined of several files
        line = _encode({"method": "POST", **original, "url": endpoint, "body": {**original["body"], "model": model}})
    return line.encode() + b"\n"


def _parts(lines: Iterator[bytes], requests_per_file: int) -> Iterator[list[bytes]]:
    part: list[bytes] = []
    size = 0
    for line in lines:
        if part and (len(part) == requests_per_file or size + len(line) > _BYTES_PER_FILE):
            yield part
            part, size = [], 0
        part.append(line)
        size += len(line)
    if part:
        yield part


def _anchor(head: Head | None) -> tuple[int | None, str | None]:
    return (None, None) if head is None else (head.entry, head.entry_hash)


def _handed(path: Path, **about: Any) -> HandedFile:
    return HandedFile(path.name, file_sha256(path), path.stat().st_size, **about)


HANDED_OVER = ("instruction_id", "instruction", "model", "expected_success", "cost")


def export_batch(
    routed: pa.Table,
    instructions: pa.Table,
    folder: Path,
    *,
    staged: Path,
    batch_id: str,
    run_id: str,
    received: Path,
    ledger_head: Head | None = None,
) -> Manifest:
    """Write the routed table, the requests of each model and endpoint, and the manifest that lists them, into
    ``folder``, in place of an earlier decision, see :func:`next_decision`.

    Of a batch that small files became together, ``by_source_file/<file>.jsonl`` holds each file's own part, with the
    ids that the file gave.

    Args:
        staged: where the files are written before they are seen in ``folder``.
        run_id: the Dagster run that took the decision.
        received: the batch as it came; requests of an OpenAI Batch file keep their parameters.
        ledger_head: the newest entry of the journal, which the manifest anchors.
    """
    with next_decision(folder, staged) as new:
        tables = [new / "routed.parquet", new / "routed.jsonl"]
        for path in tables:
            write_routed(routed, instructions, path)
        tables += write_set_aside(instructions, received, new / SET_ASIDE)
        if "source_file" in instructions.column_names:
            _write_by_source(routed, instructions, new / SOURCES)
        return hand_off(
            instructions,
            routed,
            new,
            batch_id=batch_id,
            run_id=run_id,
            ledger_head=ledger_head,
            originals=original_requests(received),
            also=tables,
        )


def write_routed(routed: pa.Table, instructions: pa.Table, path: Path) -> None:
    """Write instruction_id, instruction, model, expected_success and cost (estimated USD) as Parquet, CSV or JSONL."""
    _write(routed.append_column("instruction", instructions["instruction"]).select(HANDED_OVER), path)


def write_set_aside(instructions: pa.Table, received: Path, path: Path) -> list[Path]:
    """Write what of a batch's file is not among its instructions; nothing, and no path, where all of it is."""
    path.unlink(missing_ok=True)
    aside = set_aside_of(instructions)
    if not aside:
        return []
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.writelines(records_set_aside(received, aside))
    return [path]


def _rounded(table: pa.Table) -> pa.Table:
    """Probabilities to six decimals, for text; costs stay as they are, for their sum is within the budget exactly."""
    i = table.column_names.index("expected_success")
    return table.set_column(i, "expected_success", pc.round(table["expected_success"], 6))


def refuse_unknown_ending(path: Path) -> None:
    """Raise InvalidInput for a file of a kind that is not written."""
    if path.suffix not in _WRITERS:
        raise InvalidInput(f"'{path.name}' has no known ending", remedy="Use .parquet, .csv or .jsonl.")


def _write(table: pa.Table, path: Path) -> None:
    refuse_unknown_ending(path)
    with atomic_path(path) as temporary:
        _WRITERS[path.suffix](table, temporary)


def _write_by_source(routed: pa.Table, instructions: pa.Table, folder: Path) -> None:
    """Ids are ``<id of the file>/<own id>``, the former being a plain name."""
    table = routed.append_column("instruction", instructions["instruction"]).select(HANDED_OVER)
    parts = pc.split_pattern(table["instruction_id"], SEPARATOR, max_splits=1)
    source, own = (pc.list_element(parts, i) for i in (0, 1))
    table = table.set_column(0, "instruction_id", own)
    for name in source.unique().to_pylist():
        _write(table.filter(pc.equal(source, name)), folder / f"{name}.jsonl")


def _write_csv(table: pa.Table, path: Path) -> None:
    pyarrow.csv.write_csv(_rounded(table).set_column(2, "model", table["model"].cast(pa.string())), path)


def _write_jsonl(table: pa.Table, path: Path) -> None:
    """Only the texts need encoding, the numbers are finite: a million rows are written in seconds."""
    model = {name: json_text(name) for name in table["model"].unique().to_pylist()}
    with path.open("w", encoding="utf-8") as file:
        for part in _rounded(table).to_batches(max_chunksize=10_000):
            rows = zip(*(column.to_pylist() for column in part.columns), strict=True)
            file.writelines(
                f'{{"instruction_id": {json_text(own_id)}, "instruction": {json_text(text)}, "model": {model[name]}, '
                f'"expected_success": {success!r}, "cost": {cost!r}}}\n'
                for own_id, text, name, success, cost in rows
            )


_WRITERS = {".parquet": pq.write_table, ".csv": _write_csv, ".jsonl": _write_jsonl}
