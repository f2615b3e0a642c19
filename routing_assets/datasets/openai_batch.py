"""OpenAI Batch JSONL: one API request per line, ``{"custom_id", "method", "url", "body"}``.

The instruction of a request is the text its user wrote. System and developer messages, which a batch usually repeats
on every line, and earlier assistant turns are left out of it; they stay in the batch file that is sent, and count as
input tokens.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from routing_assets.datasets.reading import first_json_line
from routing_assets.datasets.tokens import proxy_tokens_of
from routing_assets.errors import InvalidInput

_TEXT_PARTS = ("text", "input_text")


def is_openai_batch(records: list[dict[str, Any]]) -> bool:
    """Whether the first record looks like a request of an OpenAI Batch file."""
    return "custom_id" in records[0] and "body" in records[0]


def is_openai_batch_file(path: Path) -> bool:
    """Whether this is a JSONL file whose first line looks so; the rest is not read.

    Raises:
        InvalidInput: when the file is absent, not UTF-8, or its first line is no JSON object.
    """
    return path.suffix.lower() in (".jsonl", ".ndjson") and is_openai_batch([first_json_line(path)])


def openai_requests(records: list[dict[str, Any]], *, source: str) -> list[dict[str, Any]]:
    """Id, instruction and input tokens of each request (chat completions, responses, completions, embeddings).

    Raises:
        InvalidInput: naming the line whose request has no id, no text of a user, or content that is not text.
    """
    return [_request(record, source, row) for row, record in enumerate(records, start=1)]


def _request(record: dict[str, Any], source: str, row: int) -> dict[str, Any]:
    body = record.get("body")
    if not isinstance(body, dict):
        raise InvalidInput("the request has no body", source=source, row=row, column="body")
    for field in ("messages", "input", "prompt"):
        if field in body:
            try:
                text = "\n\n".join(_user_texts(body[field]))
            except ValueError as error:
                raise InvalidInput(
                    str(error), source=source, row=row, column=f"body.{field}", remedy="Only text can be routed"
                ) from error
            if not text.strip():
                raise InvalidInput(
                    "the request holds no text of a user",
                    source=source,
                    row=row,
                    column=f"body.{field}",
                    remedy="Add a message with role 'user', or remove the line",
                )
            request = {
                "instruction_id": record.get("custom_id"),
                "instruction": text,
                "input_tokens": proxy_tokens_of("\n\n".join(_all_texts([body.get("instructions"), body[field]]))),
            }
            return request | ({"source_file": record["source_file"]} if "source_file" in record else {})
    raise InvalidInput(
        "the request has neither messages nor input nor prompt",
        source=source,
        row=row,
        column="body",
        remedy="Each body needs the text to answer, such as messages: [{role: user, content: …}]",
    )


def _user_texts(content: Any) -> list[str]:
    """The user's texts in a text, a list of texts, a list of messages or a list of content parts."""
    if isinstance(content, str):
        return [content]
    if not isinstance(content, list):
        raise ValueError(f"the content is of type {type(content).__name__}, not text")
    texts: list[str] = []
    for item in content:
        if isinstance(item, str):
            texts.append(item)
        elif isinstance(item, dict) and "role" in item:
            if item["role"] == "user":
                texts += _user_texts(item.get("content"))
        elif isinstance(item, dict) and item.get("type") in _TEXT_PARTS:
            texts += _user_texts(item.get("text"))
        else:
            kind = item.get("type") if isinstance(item, dict) else type(item).__name__
            raise ValueError(f"the content has a part of type {kind!r}, not text")
    return texts


def _all_texts(content: Any) -> list[str]:
    """Every text in it, whoever wrote it, in no order; what is no text is passed over."""
    texts, waiting = [], [content]
    while waiting:
        part = waiting.pop()
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, list):
            waiting += part
        elif isinstance(part, dict):
            waiting.append(part.get("content") or part.get("text"))
    return texts
