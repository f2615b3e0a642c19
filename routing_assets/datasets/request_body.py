"""Read the body of one API request, for any API: its text, all that it sends, and what it asks for.

It reads chat completions, responses and completions (OpenAI and compatible APIs), messages (Anthropic), contents
(Gemini, Vertex) and the bodies of Bedrock. Unknown fields count too: every text, number and key of a body is input that
is paid for, except settings such as ``temperature``. Images, sound and other files are counted separately.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from routing_assets.datasets.request_content import CAPABILITY, Content
from routing_assets.datasets.tokens import TOKENS_OF_MESSAGE, proxy_tokens_of, request_tokens
from routing_assets.foundation.errors import InvalidInput

CONVERSATIONS = ("messages", "input", "prompt", "contents", "inputText", "message")
"""Fields with what is to be answered; the first one that a body has is read."""
SYSTEM_TEXTS = ("instructions", "system", "systemInstruction", "system_instruction")
OUTPUT_BOUNDS = (
    *("max_completion_tokens", "max_output_tokens", "max_tokens", "max_tokens_to_sample", "max_gen_len"),
    *("maxOutputTokens", "maxTokens", "maxTokenCount"),
)
ANSWER_COUNTS = ("n", "best_of", "candidateCount", "candidate_count")
CONFIGURATIONS = ("generationConfig", "generation_config", "inferenceConfig", "textGenerationConfig")
"""Where Gemini and Bedrock keep the settings that other APIs have at the top level."""
OTHER_WORK = ("embeddings", "moderations", "images", "audio", "videos", "rerank", "score", "classify", "pooling")
"""Endpoints that do not answer an instruction with a text."""
ELSEWHERE = ("previous_response_id", "conversation", "cachedContent", "cached_content")
"""Fields that refer to input which the provider keeps: it is paid for, but cannot be counted here."""
HOSTED_TOOLS = (
    *("web_search", "web_fetch", "file_search", "code_interpreter", "code_execution", "image_generation", "mcp"),
    *("googleSearch", "google_search", "urlContext", "url_context", "codeExecution", "retrieval"),
)
"""Tools that the provider runs: each run has its own price, and its results are further input."""
MODALITIES = ("modalities", "responseModalities", "response_modalities")

_USERS, _SYSTEMS = ("user", "human"), ("system", "developer")


@dataclass(frozen=True)
class Request:
    """One request.

    Attributes:
        text: what the user wrote; the system's text where no user wrote any.
        input_tokens: of everything that is sent, estimated, without images, sound and other files.
        output_bound: most output tokens of one answer; None where there is no bound.
        answers: how many answers are asked for.
        images: the number of images; ``audio`` and ``files`` likewise.
        needs: what a model must be able to do: ``vision``, ``audio``, ``files``, ``tools``, ``json``.
        url: the endpoint, where the request names one.
        text_tokens: of the input tokens, those of the text; None where they are counted by length alone.
    """

    text: str
    input_tokens: float
    output_bound: float | None = None
    answers: int = 1
    images: int = 0
    audio: int = 0
    files: int = 0
    needs: frozenset[str] = frozenset()
    url: str | None = None
    text_tokens: float | None = None


def read_request(body: Any, url: str | None = None, *, by_length: bool = False) -> Request:
    """Read the body of a request.

    Args:
        by_length: count tokens by the length of what is sent alone, as decisions of earlier versions did.

    Raises:
        InvalidInput: naming the field, where there is no body or no text, where input or price cannot be known, or
            where the endpoint does not answer instructions.
    """
    if not isinstance(body, dict):
        raise InvalidInput(
            "the request has no body",
            column="body",
            remedy="Give requests; a provider's output goes to routing-assets answers BATCH FILE",
        )
    _refuse_other_work(body, url)
    settings = {**body, **{k: v for name in CONFIGURATIONS for k, v in _mapping(body.get(name)).items()}}
    _refuse_what_has_no_price(body, settings)
    try:
        text, content = _text(body), Content.of_body(body, (*CONVERSATIONS, *SYSTEM_TEXTS))
        whole = "\n\n".join(content.texts)
    except RecursionError as error:
        raise InvalidInput("the values are nested too deeply", column="body", remedy="Nest them less deeply") from error
    bounds = [_number(settings, name, least=0) for name in OUTPUT_BOUNDS if settings.get(name) is not None]
    answers = [_number(settings, name, least=1) for name in ANSWER_COUNTS if settings.get(name) is not None]
    prompts = body["prompt"] if isinstance(body.get("prompt"), list) else []  # each of them is answered
    if by_length:
        tokens, text_tokens = proxy_tokens_of(whole), None
    else:
        tokens = request_tokens(whole) + TOKENS_OF_MESSAGE * content.messages
        text_tokens = min(request_tokens(text) + TOKENS_OF_MESSAGE, tokens)
    return Request(
        text,
        tokens,
        max(bounds, default=None),
        int(max(answers, default=1)) * max(sum(isinstance(prompt, str) for prompt in prompts), 1),
        **content.attached,
        needs=frozenset(_needs(settings, content)),
        url=url,
        text_tokens=text_tokens,
    )


def _refuse_other_work(body: Mapping[str, Any], url: str | None) -> None:
    endpoint = url.split("?")[0].split("/") if isinstance(url, str) else []
    work = next((name for name in OTHER_WORK if name in endpoint), None)
    if not endpoint and "embedding" in str(body.get("model", "")):
        work = "embeddings"
    if work is not None:
        raise InvalidInput(
            f"the request asks for {work}, not for an answer to an instruction",
            column="url",
            remedy="Send it to its own model without routing",
        )


def _refuse_what_has_no_price(body: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    kept = next((name for name in ELSEWHERE if body.get(name)), None)
    if kept is not None or isinstance(body.get("prompt"), dict):
        name = kept or "prompt"
        raise InvalidInput(
            f"{name} stands for input that the provider keeps, which cannot be counted",
            column=f"body.{name}",
            remedy="Write that input into the request",
        )
    names = [
        name for tool in _list(body.get("tools")) for name in (str(_mapping(tool).get("type", "")), *_mapping(tool))
    ]
    hosted = [name for name in names if name.startswith(HOSTED_TOOLS)]
    hosted += [name for name in ("web_search_options", "mcp_servers") if body.get(name) is not None]
    if hosted:
        raise InvalidInput(
            f"the tool {hosted[0]!r} is run by the provider, at a price that is not known here",
            column="body.tools",
            remedy="Send the request without routing, or without the tool",
        )
    wanted = [str(kind).lower() for name in MODALITIES for kind in _list(settings.get(name))]
    if other := [kind for kind in wanted if kind != "text"]:
        raise InvalidInput(
            f"the answer is to be {other[0]}, whose price is not known here",
            column="body.modalities",
            remedy="Send the request without routing, or ask for text",
        )


def _text(body: Mapping[str, Any]) -> str:
    """The user's text, else the system's. Raises InvalidInput where there is neither."""
    where = next((name for name in CONVERSATIONS if body.get(name) is not None), None)
    if where is None:
        raise InvalidInput(
            "the request has neither messages nor input nor prompt",
            column="body",
            remedy="Each body needs the text to answer, such as messages: [{role: user, content: …}]",
        )
    content = body[where]
    if not isinstance(content, str | list | dict):
        raise InvalidInput(
            f"the content is of type {type(content).__name__}, not text",
            column=f"body.{where}",
            remedy="Only text can be routed",
        )
    beside = [text for name in SYSTEM_TEXTS for text in _texts(body.get(name), _USERS)]
    for texts in (list(_texts(content, _USERS)), [*beside, *_texts(content, _SYSTEMS)]):
        if (text := "\n\n".join(texts)).strip():
            return text
    raise InvalidInput(
        "the request holds no text of a user or of the system",
        column=f"body.{where}",
        remedy="Add a message with role 'user', or remove the line",
    )


def _texts(content: Any, roles: tuple[str, ...]) -> Iterator[str]:
    """All texts in ``content``: a text, a part, a message, or a list of these. Of messages only those of ``roles``.

    Content without a role belongs to the user.
    """
    if isinstance(content, str):
        if roles == _USERS:
            yield content
    elif isinstance(content, list):
        for item in content:
            yield from _texts(item, roles)
    elif isinstance(content, dict):
        role = content.get("role")
        if role is None and content.get("type", "text") in ("text", "input_text"):
            for name in ("text", "parts"):
                yield from _texts(content.get(name), roles)
        elif role in roles:
            for name in ("content", "parts"):
                yield from _texts(content.get(name), _USERS)


def _needs(settings: Mapping[str, Any], content: Content) -> Iterator[str]:
    yield from (CAPABILITY[kind] for kind, count in content.attached.items() if count)
    if any(settings.get(name) for name in ("tools", "functions", "toolConfig")):
        yield "tools"
    answer = _mapping(settings.get("response_format")) or _mapping(_mapping(settings.get("text")).get("format"))
    mime = settings.get("responseMimeType", settings.get("response_mime_type"))
    if answer.get("type", "text") != "text" or mime == "application/json":
        yield "json"


def _number(settings: Mapping[str, Any], name: str, *, least: int) -> float:
    value = settings[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value < float("inf"):
        raise InvalidInput(f"{name} is {value!r}", column=f"body.{name}", remedy=f"Write a number from {least}")
    return float(value)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
