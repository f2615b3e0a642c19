"""One reading of every kind of request body: what it says, all that it sends, what it asks for."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing_assets.datasets.request_body import read_request
from routing_assets.datasets.tokens import TOKENS_OF_MESSAGE, request_tokens
from routing_assets.foundation.errors import InvalidInput

USER = {"role": "user", "content": "u" * 40}
LONG = "some plain words " * 180
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


def said(text: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


def tokens_of(*texts: str) -> float:
    return request_tokens("\n\n".join(texts))


BODIES: dict[str, tuple[dict[str, Any], str]] = {
    "chat": (said("Hello"), "Hello"),
    "chat parts": (said([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]), "a\n\nb"),
    "only a system message": ({"messages": [{"role": "system", "content": "Name gases"}]}, "Name gases"),
    "only a developer message": ({"messages": [{"role": "developer", "content": "Name gases"}]}, "Name gases"),
    "responses text": ({"input": "Hello"}, "Hello"),
    "responses instructions only": ({"instructions": "Name gases", "input": []}, "Name gases"),
    "responses of an agent": (
        {
            "input": [
                {"role": "user", "content": [{"type": "input_text", "text": "Hello"}]},
                {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c", "output": "42"},
                {"type": "reasoning", "summary": []},
            ]
        },
        "Hello",
    ),
    "completions": ({"prompt": "Once upon"}, "Once upon"),
    "Anthropic": ({"system": "Be brief", **said([{"type": "text", "text": "Hello"}]), "max_tokens": 9}, "Hello"),
    "Anthropic system blocks only": (
        {"system": [{"type": "text", "text": "Name gases"}], "messages": []},
        "Name gases",
    ),
    "Anthropic tool result": (
        said([{"type": "tool_result", "tool_use_id": "t", "content": "42"}, {"type": "text", "text": "Hello"}]),
        "Hello",
    ),
    "Gemini": ({"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}, "Hello"),
    "Gemini without roles": ({"contents": [{"parts": [{"text": "Hello"}]}, {"role": "model", "parts": []}]}, "Hello"),
    "Gemini system only": (
        {"systemInstruction": {"parts": [{"text": "Name gases"}]}, "contents": []},
        "Name gases",
    ),
    "Bedrock Converse": ({"messages": [{"role": "user", "content": [{"text": "Hello"}]}]}, "Hello"),
    "Bedrock Titan": ({"inputText": "Hello", "textGenerationConfig": {"maxTokenCount": 9}}, "Hello"),
}


@pytest.mark.parametrize("kind", BODIES)
def test_the_text_to_route_by_is_the_users_or_else_the_systems(kind: str) -> None:
    body, text = BODIES[kind]
    assert read_request(body).text == text


@given(st.text(min_size=1).filter(str.strip), st.text())
def test_messages_count_with_their_texts_and_their_roles(user: str, system: str) -> None:
    body = {"model": "m", "temperature": 0.2, "messages": [{"role": "user", "content": user}]}
    alone = read_request(body)
    assert alone.input_tokens == alone.text_tokens == tokens_of(user) + TOKENS_OF_MESSAGE
    body["messages"] = [{"role": "system", "content": system}, *body["messages"]]  # type: ignore[misc]
    both = read_request(body)
    assert both.input_tokens == tokens_of(*filter(None, [system]), user) + 2 * TOKENS_OF_MESSAGE
    assert both.text_tokens == alone.text_tokens


@given(st.text(min_size=1).filter(str.strip), st.text())
def test_decisions_of_earlier_versions_counted_by_length(user: str, system: str) -> None:
    body = {"messages": [{"role": "system", "content": system}, {"role": "user", "content": user}]}
    request = read_request(body, by_length=True)
    assert request.input_tokens == max(len("\n\n".join(filter(None, [system, user])).encode()) / 4, 1.0)
    assert request.text_tokens is None


SENT: dict[str, dict[str, Any]] = {
    "tools": {"messages": [USER], "tools": [TOOL] * 50},
    "functions": {"messages": [USER], "functions": [TOOL] * 50},
    "a schema of the answer": {
        "messages": [USER],
        "response_format": {"type": "json_schema", "json_schema": [TOOL] * 50},
    },
    "tool calls": {"messages": [USER, {"role": "assistant", "content": None, "tool_calls": [TOOL] * 50}]},
    "a tool's result": {"messages": [USER, {"role": "tool", "tool_call_id": "1", "content": LONG}]},
    "earlier turns": {"messages": [USER, {"role": "assistant", "content": LONG}, USER]},
    "items of an agent": {"input": [USER, {"type": "function_call_output", "call_id": "c", "output": LONG}]},
    "arguments": {"input": [USER, {"type": "function_call", "name": "f", "arguments": LONG}]},
    "Anthropic's tool use": {
        "messages": [USER, {"role": "assistant", "content": [{"type": "tool_use", "input": {"q": LONG}}]}]
    },
    "Gemini's declarations": {
        "contents": [{"parts": [{"text": "u"}]}],
        "tools": [{"functionDeclarations": [TOOL] * 50}],
    },
    "Bedrock's tools": {"messages": [USER], "toolConfig": {"tools": [TOOL] * 50}},
    "a field that nobody knows": {"messages": [USER], "context": LONG},
    "a part that nobody knows": said([{"type": "text", "text": "u"}, {"type": "memo", "memo": LONG}]),
    "a document as text": said(
        [{"type": "text", "text": "u"}, {"type": "document", "source": {"type": "text", "data": LONG}}]
    ),
    "a kind that is a text": said([{"type": LONG, "text": "u"}, {"type": "text", "text": "u"}]),
}


@pytest.mark.parametrize("kind", SENT)
def test_everything_that_is_sent_counts_about_as_its_json(kind: str) -> None:
    request = read_request(SENT[kind])
    assert request.input_tokens > 0.6 * len(json.dumps(SENT[kind], separators=(",", ":"))) / 4
    assert (request.images, request.audio, request.files) == (0, 0, 0)


DATA = "data:image/png;base64," + "A" * 9000
ATTACHED: dict[str, tuple[Any, str]] = {
    "image by link": ({"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}, "images"),
    "image as data": ({"type": "image_url", "image_url": {"url": DATA}}, "images"),
    "image of responses": ({"type": "input_image", "image_url": DATA}, "images"),
    "image of Anthropic": ({"type": "image", "source": {"type": "base64", "data": "A" * 9000}}, "images"),
    "image of Gemini": ({"inlineData": {"mimeType": "image/png", "data": "A" * 9000}}, "images"),
    "image of Bedrock": ({"image": {"format": "png", "source": {"bytes": "A" * 9000}}}, "images"),
    "image in a tool's result": ({"type": "tool_result", "content": [{"type": "image", "source": {}}]}, "images"),
    "screenshot": ({"type": "computer_call_output", "output": {"image_url": DATA}}, "images"),
    "sound": ({"type": "input_audio", "input_audio": {"data": "A" * 9000, "format": "wav"}}, "audio"),
    "sound of Gemini": ({"inline_data": {"mime_type": "audio/mp3", "data": "A" * 9000}}, "audio"),
    "file": ({"type": "file", "file": {"file_data": "A" * 9000}}, "files"),
    "document": ({"type": "document", "source": {"type": "base64", "data": "A" * 9000}}, "files"),
    "film by link": ({"fileData": {"mimeType": "video/mp4", "fileUri": "gs://b/v"}}, "files"),
}


@pytest.mark.parametrize("kind", ATTACHED)
def test_attachments_are_counted_and_their_bytes_are_no_text(kind: str) -> None:
    part, attachment = ATTACHED[kind]
    request = read_request(said([{"type": "text", "text": "u" * 40}, part]))
    assert {name: getattr(request, name) for name in ("images", "audio", "files")} == {
        **{"images": 0, "audio": 0, "files": 0},
        attachment: 1,
    }
    assert {"images": "vision"}.get(attachment, attachment) in request.needs
    assert request.input_tokens < 40
    assert request.text == "u" * 40


def test_the_number_of_answers_and_the_output_bound_are_read() -> None:
    assert read_request(said("a")).output_bound is None
    for field in ("max_tokens", "max_completion_tokens", "max_output_tokens", "max_gen_len"):
        assert read_request({**said("a"), field: 7}).output_bound == 7
    assert (
        read_request(
            {"contents": [{"parts": [{"text": "a"}]}], "generationConfig": {"maxOutputTokens": 7}}
        ).output_bound
        == 7
    )
    assert read_request({**said("a"), "inferenceConfig": {"maxTokens": 7}}).output_bound == 7
    assert read_request({**said("a"), "max_tokens": None, "n": None}).answers == 1
    assert read_request({**said("a"), "n": 5}).answers == 5
    assert read_request({"prompt": "a", "n": 2, "best_of": 5}).answers == 5
    assert read_request({"prompt": ["a", "b", "c"], "n": 2}).answers == 6
    assert (
        read_request({"contents": [{"parts": [{"text": "a"}]}], "generationConfig": {"candidateCount": 3}}).answers == 3
    )


def test_the_capabilities_that_a_request_needs_are_read() -> None:
    assert read_request(said("a")).needs == frozenset()
    assert read_request({**said("a"), "tools": [TOOL]}).needs == {"tools"}
    assert read_request({**said("a"), "response_format": {"type": "json_object"}}).needs == {"json"}
    assert read_request({"input": "a", "text": {"format": {"type": "json_schema"}}}).needs == {"json"}
    assert read_request({**said("a"), "response_format": {"type": "text"}}).needs == frozenset()


NOT_COUNTABLE = {
    "an answer kept by the provider": ({"input": "a", "previous_response_id": "r"}, "previous_response_id"),
    "a conversation kept by the provider": ({"input": "a", "conversation": "c"}, "conversation"),
    "a prompt kept by the provider": ({"prompt": {"id": "p"}}, "prompt"),
    "a cache of Gemini": ({"contents": [{"parts": [{"text": "a"}]}], "cachedContent": "c"}, "cachedContent"),
    "search by the provider": ({"input": "a", "tools": [{"type": "web_search_preview"}]}, "web_search_preview"),
    "search by Gemini": ({"contents": [{"parts": [{"text": "a"}]}], "tools": [{"googleSearch": {}}]}, "googleSearch"),
    "search by Anthropic": ({**said("a"), "tools": [{"type": "web_search_20250305", "name": "s"}]}, "web_search"),
    "speech": ({**said("a"), "modalities": ["text", "audio"]}, "audio"),
    "pictures": (
        {"contents": [{"parts": [{"text": "a"}]}], "generationConfig": {"responseModalities": ["TEXT", "IMAGE"]}},
        "image",
    ),
}


@pytest.mark.parametrize("kind", NOT_COUNTABLE)
def test_a_field_that_cannot_be_priced_is_named(kind: str) -> None:
    body, name = NOT_COUNTABLE[kind]
    with pytest.raises(InvalidInput, match=name) as caught:
        read_request(body)
    assert caught.value.column
    assert caught.value.remedy


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(max_size=5)
            | st.sampled_from(["type", "role", "content", "text", "source", "image", "tools", "inlineData"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "messages",
                "input",
                "prompt",
                "tools",
                "n",
                "max_tokens",
                "system",
                "modalities",
                "generationConfig",
                "response_format",
            ]
        ),
        JSON,
        max_size=4,
    )
    | JSON
)
def test_any_body_is_read_or_refused_by_name(body: Any) -> None:
    with suppress(InvalidInput):
        request = read_request(body)
        assert request.text.strip()
        assert request.input_tokens >= 1
        assert request.answers >= 1


def test_nesting_beyond_what_can_be_read_is_refused() -> None:
    deep: Any = "x"
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(InvalidInput, match="nested too deeply"):
        read_request({"messages": [USER], "tools": deep})
