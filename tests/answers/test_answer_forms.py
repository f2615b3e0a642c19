"""The answers of every provider's batch output are read by their content."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from provider_lines import bedrock, chat, claude, expired, gemini, rate_limited, responses, write

from routing_assets.answers.answer import Answer
from routing_assets.answers.forms import read_answer
from routing_assets.answers.reading import is_answer_file, read_answers
from routing_assets.foundation.errors import InvalidInput


def tokens(answer: Answer) -> tuple[int | None, ...]:
    return answer.input_tokens, answer.cached_tokens, answer.output_tokens, answer.reasoning_tokens


COMPLETION = {
    "custom_id": "q",
    "response": {
        "status_code": 200,
        "body": {
            "object": "text_completion",
            "model": "m",
            "choices": [{"text": "Lima", "finish_reason": "length"}],
            "usage": {"prompt_tokens": 5, "completion_tokens": 1},
        },
    },
    "error": None,
}
NOVA = {
    "output": {"message": {"content": [{"text": "Lima"}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 9, "outputTokens": 2},
    "metrics": {"latencyMs": 1500},
}
TITAN = {"inputTextTokenCount": 9, "results": [{"tokenCount": 2, "outputText": "Lima", "completionReason": "FINISH"}]}
LLAMA = {"generation": "Lima", "prompt_token_count": 9, "generation_token_count": 2, "stop_reason": "stop"}
MISTRAL = {"outputs": [{"text": "Lima", "stop_reason": "stop"}]}
COHERE = {"generations": [{"text": "Lima", "finish_reason": "COMPLETE"}]}
XAI = {"usage": {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 55}}
DEEPSEEK = {"usage": {"prompt_tokens": 20, "completion_tokens": 5, "prompt_cache_hit_tokens": 8}}
TOGETHER = {"usage": {"prompt_tokens": 20, "completion_tokens": 5, "cached_tokens": 4}}
VERTEX = {
    "request": {"contents": [], "labels": {"custom_id": "q"}},
    "status": "",
    "response": gemini("q")["response"],
}


@pytest.mark.parametrize(
    ("line", "finish_reason", "counts"),
    [
        (chat("q"), "stop", (1000, 600, 200, 150)),
        (chat("q", **XAI), "stop", (20, None, 35, None)),
        (chat("q", **DEEPSEEK), "stop", (20, 8, 5, None)),
        (chat("q", **TOGETHER), "stop", (20, 4, 5, None)),
        ({"custom_id": "q", "response": chat("q")["response"]["body"]}, "stop", (1000, 600, 200, 150)),
        (responses("q"), "completed", (30, 10, 8, 5)),
        (COMPLETION, "length", (5, None, 1, None)),
        (claude("q"), "end_turn", (12, None, 3, None)),
        (claude("q", cache_read_input_tokens=100, cache_creation_input_tokens=8), "end_turn", (120, 100, 3, None)),
        (gemini("q"), "STOP", (20, None, 11, 7)),
        (VERTEX, "STOP", (20, None, 11, 7)),
        (bedrock("q", claude("q")["result"]["message"]), "end_turn", (12, None, 3, None)),
        (bedrock("q", chat("q")["response"]["body"]), "stop", (1000, 600, 200, 150)),
        (bedrock("q", NOVA), "end_turn", (9, None, 2, None)),
        (bedrock("q", TITAN), "FINISH", (9, None, 2, None)),
        (bedrock("q", LLAMA), "stop", (9, None, 2, None)),
        (bedrock("q", MISTRAL), "stop", (None, None, None, None)),
        (bedrock("q", COHERE), "COMPLETE", (None, None, None, None)),
    ],
)
def test_text_and_tokens_of_every_form(
    line: dict[str, Any], finish_reason: str, counts: tuple[int | None, ...]
) -> None:
    """Cached tokens are among those read, reasoning among those written, whoever counts them apart."""
    answer = read_answer(line)
    assert (answer.instruction_id, answer.text, answer.error) == ("q", "Lima", None)
    assert (answer.finish_reason, tokens(answer)) == (finish_reason, counts)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (expired("q"), "batch_expired"),
        (rate_limited("q"), "HTTP 429: rate_limit_exceeded"),
        (chat("q", None, refusal="I cannot help"), "the model refused: I cannot help"),
        (chat("q", "", finish_reason="content_filter"), "the answer was filtered"),
        ({"custom_id": "q", "result": {"type": "expired"}}, "the call is expired"),
        ({"custom_id": "q", "result": {"type": "canceled"}}, "the call is canceled"),
        (
            {"custom_id": "q", "result": {"type": "errored", "error": {"error": {"type": "overloaded_error"}}}},
            "overloaded_error",
        ),
        ({"key": "q", "error": {"code": 8, "message": "exhausted"}}, "8: exhausted"),
        ({"key": "q", "response": {"promptFeedback": {"blockReason": "SAFETY"}}}, "the prompt was blocked (SAFETY)"),
        ({"request": {"labels": {"custom_id": "q"}}, "status": "Error: 400", "response": {}}, "Error: 400"),
        ({"recordId": "q", "modelInput": {}, "error": {"errorCode": 400, "errorMessage": "bad"}}, "400: bad"),
        ({"custom_id": "q", "response": {"status_code": 200, "body": {}}, "error": None}, "the line holds no response"),
        (gemini("q", response={"candidates": [{"finishReason": "MAX_TOKENS"}]}), "holds no answer (MAX_TOKENS)"),
    ],
)
def test_failed_expired_and_refused_calls_do_not_count_as_answers(line: dict[str, Any], said: str) -> None:
    answer = read_answer(line)
    assert answer.instruction_id == "q"
    assert said in str(answer.error)


def test_a_response_of_an_unknown_form_is_not_taken_for_a_failed_call() -> None:
    reply = {"id": "x", "message": {"content": [{"type": "text", "text": "391"}]}}
    with pytest.raises(InvalidInput, match="in a form that is not known: its fields are id, message"):
        read_answer({"custom_id": "q", "response": reply})


def test_tools_that_a_model_calls_are_its_answer() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    answer = read_answer(chat("q", None, tool_calls=[call], finish_reason="tool_calls"))
    assert answer.error is None
    assert json.loads(answer.text or "") == [call]


@pytest.mark.parametrize(
    "usage", [None, [], {"prompt_tokens": -1, "completion_tokens": "many"}, {"prompt_tokens": True}]
)
def test_an_invalid_count_is_unknown(usage: Any) -> None:
    assert tokens(read_answer(chat("q", usage=usage)))[0::2] == (None, None)


def test_an_incomplete_last_line_is_left_for_later(tmp_path: Path) -> None:
    path = write(tmp_path / "out.jsonl", chat("a"), chat("b"))
    path.write_bytes(path.read_bytes()[:-40])
    assert is_answer_file(path)
    found = read_answers(path)
    assert ([a.instruction_id for a in found.answers], found.faults, found.cut_off) == (["a"], {}, True)
    assert "the last line is incomplete" in found.remarks[0]


def test_an_unreadable_line_is_reported_and_the_others_are_read(tmp_path: Path) -> None:
    path = write(tmp_path / "out.jsonl", chat("a"), {"odd": 1}, {**chat("x"), "custom_id": None}, chat("b"))
    found = read_answers(path)
    assert [a.instruction_id for a in found.answers] == ["a", "b"]
    assert set(found.faults) == {2, 3}
    assert found.remarks[0].startswith("2 lines cannot be read and are not used (line 2: ")


def test_a_file_without_a_complete_line_is_refused(tmp_path: Path) -> None:
    (path := tmp_path / "out.jsonl").write_text('{"custom_id": "a", "resp')
    with pytest.raises(InvalidInput, match="no line is complete"):
        read_answers(path)


def test_a_table_and_a_batch_are_not_taken_for_answers(tmp_path: Path) -> None:
    request = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {}}
    assert not is_answer_file(write(tmp_path / "batch.jsonl", request))
    assert not is_answer_file(write(tmp_path / "o.jsonl", {"instruction_id": "a", "model": "m", "success": 1}))
    assert not is_answer_file(tmp_path / "o.csv")
