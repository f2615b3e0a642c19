"""JSON that is no sequence of lines: an array of objects, or one object that holds such a list."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any

from routing_assets.datasets.file_faults import not_utf8
from routing_assets.foundation.errors import InvalidInput

WRAPPERS = ("requests", "data", "rows", "items", "instances", "examples", "prompts", "instructions", "records")
"""Fields of one object that hold the list of all records, such as the body of Anthropic's request for a batch."""
REMEDY = "Write the file again, or check its end. JSON has no comments, and no comma after the last element"
_BYTES_AT_ONCE = 1 << 20
_SPACE = " \t\r\n"


def array_elements(text: BufferedReader, path: Path, longest: int) -> Iterator[tuple[int, bytes]]:
    """The elements of a JSON array by their number, from 1, each on one line; little is held but the longest.

    Args:
        text: of the file, from the bracket that opens the array.
        longest: bytes that an element may have.

    Raises:
        InvalidInput: naming the first element that is not JSON or too long.
    """
    held = _Held(text, path, longest)
    held.skip()
    number, after = 0, "]"
    if held.peek() == "]":
        held.skip()
    else:
        after = ","
    while after == ",":
        number += 1
        yield number, held.value(number).replace("\n", " ").replace("\r", " ").encode(errors="surrogatepass")
        after = held.peek()
        if after not in (",", "]"):
            raise _not_json(path, number, "no comma follows it")
        held.skip()
    if held.peek():
        raise _not_json(path, number, "more follows the end of the array")


def records_within(document: Any, path: Path) -> list[dict[str, Any]]:
    """The records of one JSON object: its list of objects, or itself where it has none.

    Raises:
        InvalidInput: it has more than one such list, or is a table that is not written record by record.
    """
    fields = [set(value) if isinstance(value, dict) else None for value in document.values()]
    by_column = len(fields) > 1 and bool(fields[0]) and all(of == fields[0] for of in fields)
    if by_column or document.keys() == {"columns", "index", "data"}:
        raise InvalidInput(
            "the JSON holds a table by its columns or its index, as pandas writes it",
            source=str(path),
            remedy="Write it record by record: to_json(..., orient='records', lines=True)",
        )
    known = [name for name in WRAPPERS if _is_list_of_objects(document.get(name))]
    if not known:
        return [document]
    if len(known) > 1:
        raise InvalidInput(
            f"the object holds several lists: {', '.join(known)}", source=str(path), remedy="Write one as JSON Lines"
        )
    return list(document[known[0]])


class _Held:
    """The text that was read and not used yet."""

    def __init__(self, text: BufferedReader, path: Path, longest: int) -> None:
        self._file, self._path, self._longest = text, path, longest
        self._decode = codecs.getincrementaldecoder("utf-8")().decode
        self._text, self._at, self._number, self._ended = "", 0, 1, False

    def peek(self) -> str:
        """The next character that is no space; empty at the end."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in _SPACE:
                self._at += 1
            if self._at < len(self._text) or self._ended:
                return self._text[self._at : self._at + 1]
            self._more(_BYTES_AT_ONCE)

    def skip(self) -> None:
        """Pass over the next character that is no space."""
        self.peek()
        self._at += 1

    def value(self, number: int) -> str:
        """The text of the next value, which is element ``number``."""
        self.peek()
        self._number, more = number, _BYTES_AT_ONCE
        while True:
            try:
                end = _JSON.raw_decode(self._text, self._at)[1]
                if end < len(self._text) or self._ended:
                    value, self._at = self._text[self._at : end], end
                    return value
            except RecursionError as error:
                raise _not_json(self._path, number, "the values are nested too deeply") from error
            except ValueError as error:
                if self._ended or len(self._text) - self._at > self._longest:
                    raise _not_json(self._path, number, str(error)) from error
            self._more(more)
            more *= 2

    def _more(self, size: int) -> None:
        block = self._file.read(size)
        self._ended = not block
        try:
            more = self._decode(block, final=self._ended)
        except UnicodeDecodeError as error:
            raise not_utf8(self._path, error, self._number) from error
        self._text, self._at = self._text[self._at :] + more, 0


_JSON = json.JSONDecoder()


def _is_list_of_objects(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def _not_json(path: Path, number: int, why: str) -> InvalidInput:
    return InvalidInput(
        f"this element of the array is not JSON ({why})",
        source=str(path),
        row=number,
        remedy=REMEDY,
    )
