from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing_assets.providers import PROVIDERS, Destination
from routing_assets.providers.common import (
    AnswerFormat,
    CannotTranslate,
    CommonRequest,
    Media,
    Message,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from routing_assets.providers.lines import FORMS, batch_line

TEXTS = st.sampled_from(["Hello", "as JSON, please", "ž\n🙂"]).map(Text)
MEDIA = st.sampled_from(
    [
        Media("image/png", "aGk="),
        Media("image/gif", "aGk="),
        Media("image/png", link="https://example.org/a.png"),
        Media("audio/wav", "aGk="),
        Media("application/pdf", "aGk="),
    ]
)
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
TOOLS = st.sampled_from([(), (Tool("look", "Looks.", SCHEMA), Tool("find", None, SCHEMA))])
ANSWERS = st.sampled_from([None, AnswerFormat(), AnswerFormat(SCHEMA), AnswerFormat(SCHEMA, strict=True)])
SETTINGS = st.fixed_dictionaries(
    {"max_tokens": st.integers(1, 100)},
    optional={
        "temperature": st.sampled_from([0.0, 0.7]),
        "top_p": st.just(0.9),
        "stop": st.sampled_from([("x",), ("\n",), tuple("abcdef")]),
        "n": st.integers(2, 3),
    },
)


@st.composite
def requests(draw: st.DrawFn) -> CommonRequest:
    tools = draw(TOOLS)
    first = Message("user", tuple(draw(st.lists(TEXTS | MEDIA, min_size=1, max_size=3))))
    messages = [first]
    if tools and draw(st.booleans()):
        call = ToolCall("call_1_0", "look", {"a": "b"})
        result = ToolResult("call_1_0", "look", "found", draw(st.booleans()))
        messages += [Message("assistant", (call,)), Message("user", (result, draw(TEXTS)))]
    return CommonRequest(
        tuple(messages),
        tuple(draw(st.lists(st.sampled_from(["Be brief.", "Be kind."]), max_size=2))),
        tools,
        draw(st.sampled_from([None, ToolChoice("auto"), ToolChoice("any"), ToolChoice("tool", "look")]))
        if tools
        else None,
        draw(ANSWERS),
        draw(SETTINGS),
    )


@given(requests(), st.sampled_from([p for p in PROVIDERS.values()]))
def test_a_request_that_a_form_writes_is_read_back_equal(request: CommonRequest, provider: Any) -> None:
    form = provider.form
    if not request.features <= form.expresses:
        return
    body, changes = form.write(request)
    read = form.read(json.loads(json.dumps(body)))
    if request.answer is not None:
        kept = read.answer.strict if form.name != "contents" else request.answer.strict
        read = replace(read, answer=replace(read.answer, name="answer", strict=kept))
    assert not changes
    assert read == request


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["role", "content", "type", "text", "parts", "source", "tool_calls", "function", "name", "data"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)
FIELDS = st.sampled_from(
    [
        *("messages", "input", "contents", "system", "systemInstruction", "tools", "tool_choice", "toolConfig"),
        *("generationConfig", "inferenceConfig", "response_format", "output_config", "stop", "n", "max_tokens", "text"),
    ]
)


@given(st.dictionaries(FIELDS, ANYTHING, max_size=6), st.sampled_from(sorted(FORMS)))
def test_any_body_is_read_or_cannot_be_translated(body: dict[str, Any], form: str) -> None:
    try:
        request = FORMS[form].read(body)
    except CannotTranslate as error:
        what = error.what
        request = None
    if request is None:
        assert what.isascii()
        assert not set(what) & set(" .:")
        return
    for provider in PROVIDERS.values():
        if request.features <= provider.form.expresses:
            json.dumps(provider.form.write(request)[0])


@given(st.dictionaries(FIELDS, ANYTHING, max_size=6), st.sampled_from(["body", "params", "request", "modelInput"]))
def test_a_destination_writes_every_request_that_it_takes(body: dict[str, Any], envelope: str) -> None:
    line = batch_line({"custom_id": "1", envelope: body})
    needs = line.needs()
    for provider in PROVIDERS:
        for model in ("model", "anthropic.claude"):
            to = Destination.of(provider, model)
            if all(map(to.takes, needs)):
                to.body(line)


CHAT = {"model": "x", "messages": [{"role": "user", "content": "Hello"}]}


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"logit_bias": {"1": 2}}, "logit_bias"),
        ({"response_format": {"type": "json_object"}}, "json_unsaid"),
        ({"stop": "\n"}, "blank_stop"),
        ({"messages": [{"role": "assistant", "content": "a"}]}, "assistant_last"),
    ],
)
def test_a_request_that_anthropic_cannot_take_is_refused_by_name(more: dict[str, Any], what: str) -> None:
    line = batch_line({"custom_id": "1", "body": CHAT | more})
    claude, gpt = Destination.of("anthropic", "claude"), Destination.of("openai", "gpt")
    refused = {need.partition(".")[2] for need in line.needs() if not claude.takes(need)}
    assert what in refused
    assert all(map(gpt.takes, line.needs()))


def test_a_parameter_that_a_model_refuses_is_renamed_left_out_or_keeps_the_request_away() -> None:
    line = batch_line({"custom_id": "1", "body": CHAT | {"max_tokens": 5, "temperature": 0.2, "stop": "x"}})
    reasoning = Destination.of("openai", "o", ("max_tokens", "temperature"))
    body, changes = reasoning.body(line)
    assert body == CHAT | {"model": "o", "stop": "x", "max_completion_tokens": 5}
    assert sorted(changes) == ["max_tokens is sent as max_completion_tokens", "temperature is left out"]
    assert all(map(reasoning.takes, line.needs()))
    assert not Destination.of("openai", "o", ("stop",)).takes("form:chat.stop")
    assert not Destination.of("gemini", "g", ("max_tokens",)).takes("form:chat.max_tokens")
