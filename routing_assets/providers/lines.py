"""One line of a file of requests for any provider: its id, and its body in the provider's form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from routing_assets.providers.anthropic import Messages
from routing_assets.providers.bedrock import Converse
from routing_assets.providers.common import CannotTranslate, CommonRequest
from routing_assets.providers.form import Form, mapping
from routing_assets.providers.gemini import Contents
from routing_assets.providers.openai import Chat, Completions
from routing_assets.providers.openai_responses import Responses

FORMS: dict[str, Form] = {
    form.name: form for form in (Chat(), Responses(), Completions(), Messages(), Contents(), Converse())
}
BODIES = {"body": "custom_id", "params": "custom_id", "request": "key", "modelInput": "recordId"}
"""By the field that holds the body, the field that holds the id; in plain chat lines the body is the line itself."""
_IDS = ("custom_id", "key", "recordId", "instruction_id", "id")
_NOT_OF_CHAT = (*_IDS, "task", "group", "source_file")
CHAT_FIELDS = (
    *("messages", "model", "tools", "tool_choice", "response_format", "parallel_tool_calls", "functions"),
    *("function_call", "logprobs", "top_logprobs", "logit_bias", "modalities", "audio", "reasoning_effort"),
    *(key for own in Chat.parameters.values() for key in own),
)
"""Fields of a plain chat line that are its request; others are the user's own notes."""


@dataclass(frozen=True)
class BatchLine:
    """One request of a batch file.

    Attributes:
        envelope: the field that holds the body; None in a plain chat line.
        id_field: the field that holds the id.
        id: the value of that field.
        form: the form of the body.
        url: the endpoint, where the line names one.
    """

    envelope: str | None
    id_field: str
    id: Any
    body: Any
    form: Form
    url: Any = None

    def common(self) -> CommonRequest:
        """The request in the common form. Raises CannotTranslate where that would lose what is asked."""
        try:
            return self.form.read(self.body)
        except RecursionError as error:
            raise CannotTranslate("nesting") from error

    def needs(self) -> set[str]:
        """What the model's provider must be able to express.

        ``form:chat.n`` is a feature that several forms have; ``only:chat.logprobs`` keeps the request in its own form.
        """
        only, features = set(), self.form.meaningful(self.body)
        try:
            features |= self.common().features
        except CannotTranslate as error:
            only = {f"only:{self.form.name}.{error.what}"}
        return only | {f"form:{self.form.name}.{feature}" for feature in features}


def is_request(record: Mapping[str, Any]) -> bool:
    """Whether a line looks like a request rather than a row of a table."""
    if "instruction" in record:
        return False
    if isinstance(record.get("messages"), list):
        return True
    return "instruction_id" not in record and not {"custom_id", *BODIES}.isdisjoint(record)


def batch_line(record: Mapping[str, Any]) -> BatchLine:
    """The request of a line; its body may be missing or of any type."""
    envelope = next((name for name in BODIES if name in record), None)
    usual = BODIES.get(envelope or "", "custom_id")
    id_field = next((name for name in (usual, *_IDS) if record.get(name) is not None), usual)
    if envelope is None and "messages" in record:
        body: Any = {name: record[name] for name in CHAT_FIELDS if name in record}
    else:
        body = record.get(envelope or "body")
    url = record.get("url") if envelope == "body" else None
    return BatchLine(envelope, id_field, record.get(id_field), body, _form(envelope, mapping(body), url), url)


def with_id(record: Mapping[str, Any], name: Any) -> dict[str, Any]:
    """The line with another id, or with one in place of none."""
    return {**record, BODIES.get(batch_line(record).envelope or "", "custom_id"): name}


def _form(envelope: str | None, body: Mapping[str, Any], url: Any) -> Form:
    if envelope == "params":
        return FORMS["messages"]
    if envelope == "request" or "contents" in body:
        return FORMS["contents"]
    if envelope == "modelInput":
        return _of_bedrock(body)
    if "messages" in body:
        return FORMS["chat"]
    return FORMS["responses" if "input" in body else "completions" if "prompt" in body else "chat"]


def _of_bedrock(body: Mapping[str, Any]) -> Form:
    if "anthropic_version" in body:
        return FORMS["messages"]
    if isinstance(body.get("messages"), list):
        contents = [mapping(message).get("content") for message in body["messages"]]
        blocks = [block for content in contents if isinstance(content, list) for block in content]
        return FORMS["converse" if blocks and not any("type" in mapping(block) for block in blocks) else "chat"]
    return FORMS["completions"]
