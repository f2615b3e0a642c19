"""Reads the files that people write with pydantic models; an error names the place, the problem and the remedy."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import ConfigDict, Field, GetCoreSchemaHandler, TypeAdapter, ValidationError
from pydantic_core import CoreSchema, ErrorDetails, core_schema

from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.names import printable
from routing_assets.foundation.yaml_files import read_yaml

T = TypeVar("T")
Place = tuple[Any, ...]
"""Keys and indices that lead to a value within a document."""

FORM = ConfigDict(extra="forbid", field_title_generator=lambda name, _: name)
"""Configuration of every model: unknown keys are refused."""
MAX_SHOWN = 80
"""Characters that a message shows of a wrong value."""
UNKNOWN = ("unexpected_keyword_argument", "extra_forbidden", "invalid_key")
EXPECTED = {
    "bool_type": "true or false",
    "int_type": "a whole number",
    "float_type": "a number, such as 0.9",
    "finite_number": "a finite number",
    "string_type": "a text; put it in quotes",
    "greater_than_equal": "at least {ge:g}",
    "less_than_equal": "at most {le:g}",
    "less_than": "less than {lt:g}",
    "too_short": "non-empty",
    **dict.fromkeys(("tuple_type", "list_type", "sequence_str", "is_instance_of"), "a list, such as [eu, vision]"),
    **dict.fromkeys(("dict_type", "mapping_type", "dataclass_type"), "a mapping, with one 'name: value' per line"),
}
"""What a value must be, by pydantic's type of error, where pydantic's own message is unclear."""


@dataclass(frozen=True)
class AsWritten:
    """Checks a value as ``form`` but keeps it as written, because the hash of 5 differs from that of 5.0."""

    form: Any

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_wrap_validator_function(_keep, handler.generate_schema(self.form))


def _keep(value: Any, check: Callable[[Any], Any]) -> Any:
    check(value)
    return value


Amount = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0)]
Share = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0, le=1)]
AmountAsWritten = Annotated[float, AsWritten(Amount)]
ShareAsWritten = Annotated[float, AsWritten(Share)]
YesNo = Annotated[bool, Field(strict=True)]
Text = Annotated[str, Field(strict=True)]


def read_values(form: type[T], values: Any, *, source: str, line_of: Callable[[Place], int | None] | None = None) -> T:
    """The values as an object of the model ``form``.

    Args:
        source: name of the file or option that the values come from, for messages.
        line_of: gives the line of a value in ``source``.

    Raises:
        InvalidInput: a value is wrong. The message names source, line and field of the first error, and the remedy.
    """
    try:
        return TypeAdapter(form).validate_python(values)
    except ValidationError as error:
        faults = [(fault, _place(values, fault["loc"])) for fault in error.errors(include_url=False)]
        fault, place = min(faults, key=lambda fault: (fault[0]["type"] not in UNKNOWN, -len(fault[1])))
        problem, remedy = _explained(form, fault, place)
        row = line_of(place) if line_of else None
        raise InvalidInput(problem, source=source, row=row, remedy=remedy) from error


def read_file(form: type[T], path: Path) -> T:
    """A YAML file as an object of the model ``form``; an empty file sets no field.

    Raises:
        InvalidInput: as :func:`read_values`, or the file is not plain YAML.
    """
    document = read_yaml(path)
    values = {} if document.values is None else document.values
    return read_values(form, values, source=str(path), line_of=document.line_of)


def json_schema(form: Any) -> dict[str, Any]:
    """The JSON schema of a model, with a description of each field."""
    return TypeAdapter(form).json_schema()


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``Did you mean 'x'? `` with the most similar known name; empty when no name is similar."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"Did you mean {close[0]!r}? " if close else ""


def _explained(form: Any, fault: ErrorDetails, place: Place) -> tuple[str, str | None]:
    """The problem and the remedy of a pydantic error."""
    name, at, cause = fault["loc"][-1] if fault["loc"] else "", ".".join(map(str, place)), fault.get("ctx", {})
    if fault["type"] in UNKNOWN:
        known, within = _fields(form, place[:-1]), ".".join(map(str, place[:-1]))
        problem = f"{name!r} is unknown{within and f' in {within}'}"
        remedy = f"{did_you_mean(str(name), known)}Choose from {', '.join(known)}."
    elif fault["type"] == "missing":
        problem = f"{'.'.join(map(str, (*place, name)))} is missing"
        remedy = f"Add it. {_fields(form, place).get(str(name), {}).get('description', '')}"
    elif isinstance(cause.get("error"), InvalidInput):
        problem, remedy = f"{at and f'{at}: '}{cause['error'].problem}", cause["error"].remedy
    else:
        said = fault["msg"].removeprefix("Input should be ")
        expected = EXPECTED.get(fault["type"], "{said}").format(said=said, **cause)
        problem, remedy = f"{at or 'this'} is {_shown(fault['input'])}", f"It must be {expected}."
    return printable(problem), remedy


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"


def _place(values: Any, location: Sequence[Any]) -> Place:
    """The keys and indices of pydantic's location. Its other parts name the types that pydantic tried."""
    place: list[Any] = []
    for part in location:
        if part in values if isinstance(values, Mapping) else isinstance(values, list) and isinstance(part, int):
            values = values[part]
            place.append(part)
    return tuple(place)


def _fields(form: Any, place: Place) -> dict[str, dict[str, Any]]:
    """The JSON schemas of the fields that are allowed at a place."""
    root = json_schema(form)
    nodes = list(_branches(root, root))
    for part in place:
        inner = [
            node.get("properties", {}).get(part) or node.get("additionalProperties") or node.get("items")
            for node in nodes
        ]
        nodes = [branch for node in inner if isinstance(node, dict) for branch in _branches(root, node)]
    return {name: field for node in nodes for name, field in node.get("properties", {}).items()}


def _branches(root: Mapping[str, Any], node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The alternatives of a JSON schema, with ``$ref`` and ``anyOf`` resolved."""
    if "$ref" in node:
        yield from _branches(root, root["$defs"][node["$ref"].rpartition("/")[2]])
    elif "anyOf" in node:
        for choice in node["anyOf"]:
            yield from _branches(root, choice)
    else:
        yield node
