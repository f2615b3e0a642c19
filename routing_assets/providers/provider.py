"""Providers: the files that each takes, and the requests that it can answer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from routing_assets.providers.anthropic import Messages
from routing_assets.providers.common import CommonRequest, Message, Text
from routing_assets.providers.form import Form
from routing_assets.providers.lines import FORMS, BatchLine
from routing_assets.providers.openai import CompatibleChat

DEFAULT = "openai"
_OPENAI = ("chat", "responses", "completions")
_BEDROCK_VERSION = "bedrock-2023-05-31"


class BedrockMessages(Messages):
    """Anthropic's messages on Bedrock, which does not follow links."""

    expresses = Messages.expresses - {"image_link", "document_link"}


@dataclass(frozen=True)
class Provider:
    """How a provider takes a batch.

    Attributes:
        form: the form into which requests of other providers are translated.
        as_they_come: names of the forms that it takes unchanged.
        requests_per_file, bytes_per_file: limits of a file; a little below the provider's own limits.
        ids: the pattern that an id of a request must match; None: any text.
    """

    name: str
    form: Form
    as_they_come: tuple[str, ...]
    endpoint: str
    id_field: str
    envelope: str
    requests_per_file: int
    bytes_per_file: int
    ids: re.Pattern[str] | None = None


_SHORT = re.compile("[a-zA-Z0-9_-]{1,64}")
_PLAIN = re.compile("[a-zA-Z0-9]{1,64}")
_OPENAI_LIMITS = (50_000, 190_000_000)
_BEDROCK_LIMITS = (50_000, 950_000_000)
_CHAT = ("/v1/chat/completions", "custom_id", "body")
_BEDROCK = ("recordId", "modelInput")
PROVIDERS = {
    provider.name: provider
    for provider in (
        Provider("openai", FORMS["chat"], _OPENAI, *_CHAT, *_OPENAI_LIMITS),
        Provider("openai_compatible", CompatibleChat(), _OPENAI, *_CHAT, *_OPENAI_LIMITS),
        Provider(
            "anthropic",
            FORMS["messages"],
            ("messages",),
            "/v1/messages",
            "custom_id",
            "params",
            100_000,
            240_000_000,
            ids=_SHORT,
        ),
        Provider("gemini", FORMS["contents"], ("contents",), "generateContent", "key", "request", 200_000, 950_000_000),
        Provider("bedrock", FORMS["converse"], ("converse",), "Converse", *_BEDROCK, *_BEDROCK_LIMITS, _PLAIN),
    )
}
_CLAUDE_ON_BEDROCK = Provider(
    "bedrock", BedrockMessages(), ("messages",), "InvokeModel", *_BEDROCK, *_BEDROCK_LIMITS, _PLAIN
)


@dataclass(frozen=True)
class Destination:
    """Where the requests of one model go.

    Attributes:
        model: the name that the API knows.
        unsupported: parameters that the model refuses.
    """

    provider: Provider
    model: str
    unsupported: frozenset[str] = frozenset()

    @classmethod
    def of(cls, provider: str, model: str, unsupported: tuple[str, ...] = ()) -> Destination:
        """The destination of a model; Claude on Bedrock takes Anthropic's messages."""
        claude = provider == "bedrock" and "anthropic." in model
        return cls(_CLAUDE_ON_BEDROCK if claude else PROVIDERS[provider], model, frozenset(unsupported))

    def takes(self, need: str) -> bool:
        """Whether a request with this need (see ``BatchLine.needs``) can be sent here and still ask the same."""
        kind, _, named = need.partition(":")
        form, _, what = named.partition(".")
        if self.provider.form.refuses(what, self.unsupported):
            return False
        if form in self.provider.as_they_come:
            return not (what.endswith("_link") and self.provider is _CLAUDE_ON_BEDROCK)
        return kind == "form" and what in self.provider.form.expresses

    def body(self, line: BatchLine) -> tuple[dict[str, Any], list[str]]:
        """The body to send for a request, and what was changed in it."""
        if line.form.name in self.provider.as_they_come:
            body, changes, form = dict(line.body), list[str](), line.form
            if form.configuration and isinstance(body.get(form.configuration), dict):
                body[form.configuration] = dict(body[form.configuration])
        else:
            (body, changes), form = self.provider.form.write(line.common()), self.provider.form
        changes += form.without(body, self.unsupported)
        return self._named(body), changes

    def prompt(self, text: str) -> tuple[dict[str, Any], list[str]]:
        """The body of the simplest request: one text of the user; and what was changed in it."""
        body, changes = self.provider.form.write(CommonRequest((Message("user", (Text(text),)),)))
        return self._named(body), changes

    def line(self, request_id: Any, body: Mapping[str, Any], endpoint: str) -> dict[str, Any]:
        """The line of the batch file."""
        route = {"method": "POST", "url": endpoint} if self.provider.envelope == "body" else {}
        return {self.provider.id_field: request_id, **route, self.provider.envelope: body}

    def _named(self, body: dict[str, Any]) -> dict[str, Any]:
        """The body with the model's name, where this form holds it."""
        if self.provider.name not in ("gemini", "bedrock"):
            body.pop("anthropic_version", None)
            return {**body, "model": self.model} if "model" in body else {"model": self.model, **body}
        for name in ("model", "modelId", "anthropic_version"):
            body.pop(name, None)
        return {"anthropic_version": _BEDROCK_VERSION, **body} if self.provider is _CLAUDE_ON_BEDROCK else body
