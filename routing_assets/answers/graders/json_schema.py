"""A JSON schema that the answer must keep; JSON in a code fence, or with words around it, is found."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass

from routing_assets.answers.graders.grade import Grade, TextGrader, shortened
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.schema import FORM

_FENCE = re.compile(r"```[\w-]*[ \t]*\n(.*?)```", re.DOTALL)
_STARTS = re.compile(r"[{\[]")
_TRIES = 50
_NOTHING = object()


def json_in(text: str) -> Any:
    """The JSON value of an answer: all of it, or else the last code fence of JSON, or else the first object or list.

    Raises:
        ValueError: there is none.
    """
    for candidate in (text, *reversed(_FENCE.findall(text))):
        if (value := _decoded(candidate.strip())) is not _NOTHING:
            return value
    decoder = json.JSONDecoder(parse_constant=_refuse)
    for found in list(_STARTS.finditer(text))[:_TRIES]:
        try:
            return decoder.raw_decode(text, found.start())[0]
        except (ValueError, RecursionError):
            continue
    raise ValueError("the answer holds no JSON")


def _decoded(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return _NOTHING


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _schema(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    from jsonschema import SchemaError
    from jsonschema.validators import validator_for

    try:
        validator_for(schema).check_schema(schema)
    except SchemaError as error:
        raise InvalidInput(f"this is no JSON schema: {error.message}", remedy="Correct the schema.") from error
    return schema


@dataclass(frozen=True, config=FORM)
class JsonSchema(TextGrader):
    """The answer is JSON that keeps a schema."""

    name: ClassVar[str] = "json_schema"
    uses_reference: ClassVar[bool] = False

    schema: Annotated[Mapping[str, Any], AfterValidator(_schema)] = Field(
        description="A JSON schema. References to other files are not followed."
    )

    def grade(self, text: str, reference: str) -> Grade:
        from referencing.exceptions import Unresolvable

        try:
            value = json_in(text)
        except ValueError as error:
            return Grade(0.0, f"{error}: {shortened(text)}")
        try:
            fault = next(iter(self._validator.iter_errors(value)), None)
        except Unresolvable as error:
            return Grade(None, f"the schema refers to what is not in it: {error}")
        except RecursionError:
            return Grade(0.0, "the answer's JSON is nested too deep")
        if fault is None:
            return Grade(1.0, "the answer keeps the schema")
        return Grade(0.0, f"{fault.json_path}: {shortened(fault.message, 200)}")

    @cached_property
    def _validator(self) -> Any:
        from jsonschema.validators import validator_for
        from referencing import Registry

        return validator_for(self.schema)(self.schema, registry=Registry())
