"""Batch files of API requests, one per line: OpenAI's, Anthropic's, Gemini's, Bedrock's, and plain chat lines.

The instruction of a request is the text its user wrote. System and developer messages, which a batch usually repeats
on every line, and earlier assistant turns are left out of it; they stay in the batch file that is sent, and count as
input tokens, as everything else does that the request sends.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from routing_assets.datasets.file_layout import AS_OURS, FileLayout, batch_records
from routing_assets.datasets.reading import is_json_lines
from routing_assets.datasets.request_body import read_request
from routing_assets.datasets.set_aside import Faults
from routing_assets.foundation.errors import InvalidInput
from routing_assets.providers.lines import batch_line, is_request

LOOKED_AT = 20
"""First records of a file, by which it is one of requests or a table."""


def are_requests(records: Sequence[dict[str, Any]]) -> bool:
    """Whether most records look like requests, in the form of any provider: an odd line does not decide."""
    return 2 * sum(map(is_request, records)) > len(records)


def is_openai_batch_file(path: Path, layout: FileLayout = AS_OURS) -> bool:
    """Whether this is a JSON file whose first records look like requests; the rest is not read.

    Raises:
        InvalidInput: when the file is absent, not UTF-8, or its first line is not a JSON object.
    """
    return is_json_lines(path) and are_requests(list(islice(batch_records(path, layout), LOOKED_AT)))


_IDS = "Give it a unique id, name the field that holds it (--id-column), or have ids made (--make-ids position)"
_APART = "Give requests and rows of tables in files of their own, and remove lines that are neither"


def openai_requests(
    records: Iterable[dict[str, Any]], faults: Faults, *, by_length: bool = False
) -> Iterator[dict[str, Any]]:
    """A row of a batch for each request; one without values where it cannot be read; ``faults`` holds why.

    Args:
        by_length: how tokens are counted, see :func:`read_request`.
    """
    for place, record in enumerate(records):
        try:
            row = _row(record, by_length)
        except InvalidInput as fault:
            faults.add(place, fault)
            row = {"instruction_id": None, "instruction": None}
        yield row


def table_rows(records: Iterable[dict[str, Any]], faults: Faults) -> Iterator[dict[str, Any]]:
    """The rows of a table; one without values in the place of a request; ``faults`` holds why."""
    for place, record in enumerate(records):
        if is_request(record):
            faults.add(place, InvalidInput("this is a request among rows of a table", remedy=_APART))
            record = {"instruction_id": None, "instruction": None}
        yield record


def _row(record: dict[str, Any], by_length: bool) -> dict[str, Any]:
    if not is_request(record):
        what = "a row of a table" if "instruction" in record else f"not one: it has {', '.join(map(repr, record))}"
        raise InvalidInput(f"among requests, this is {what}", remedy=_APART)
    line = batch_line(record)
    name = line.id
    if isinstance(name, bool) or not isinstance(name, str | int):
        raise InvalidInput("the request's id is missing or not text", column=line.id_field, remedy=_IDS)
    request = read_request(line.body, line.url, by_length=by_length)
    needs = request.needs | line.needs()
    row: dict[str, Any] = {
        "instruction_id": str(name),
        "instruction": request.text,
        "input_tokens": request.input_tokens,
        "text_tokens": request.text_tokens,
        "output_bound": request.output_bound,
        "answers": request.answers if request.answers > 1 else None,
        "needs": " ".join(sorted(needs)) or None,
        "source_file": record.get("source_file"),
        "reference": record.get("reference"),
        **{
            name: record[name]
            for name in ("task", "group")
            if line.envelope is None and isinstance(record.get(name), str)
        },
    }
    row |= {kind: getattr(request, kind) or None for kind in ("images", "audio", "files")}
    try:
        f"{name}{request.text}".encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(
            "a text holds half a surrogate pair (such as \\ud83d alone), which is not a character",
            column="body",
            remedy="Write the text again as UTF-8",
        ) from error
    return row
