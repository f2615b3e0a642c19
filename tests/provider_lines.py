"""Lines as providers write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def write(path: Path, *records: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8")
    return path


def chat(name: str, text: str | None = "Lima", model: str = "large-2024-08-06", **more: Any) -> dict[str, Any]:
    """A line of OpenAI's Batch output: a chat completion of 1,000 tokens read and 200 written."""
    usage = {"prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200}
    usage |= {"prompt_tokens_details": {"cached_tokens": 600}, "completion_tokens_details": {"reasoning_tokens": 150}}
    message = {"role": "assistant", "content": text, "refusal": more.pop("refusal", None)}
    message |= {"tool_calls": more.pop("tool_calls", None)}
    choice = {"index": 0, "message": message, "finish_reason": more.pop("finish_reason", "stop")}
    body = {"id": f"chatcmpl-{name}", "object": "chat.completion", "created": 1_700_000_000, "model": model}
    body |= {"choices": [choice], "usage": usage} | more
    return {"id": f"batch_{name}", "custom_id": name, "response": {"status_code": 200, "body": body}, "error": None}


def expired(name: str) -> dict[str, Any]:
    """A line of OpenAI's error file."""
    error = {"code": "batch_expired", "message": "This request could not be executed before the window ended."}
    return {"id": f"batch_{name}", "custom_id": name, "response": None, "error": error}


def rate_limited(name: str) -> dict[str, Any]:
    body = {"error": {"message": "Too many requests", "type": "rate_limit", "code": "rate_limit_exceeded"}}
    return {"id": f"b_{name}", "custom_id": name, "response": {"status_code": 429, "body": body}, "error": None}


def responses(name: str) -> dict[str, Any]:
    output = [
        {"type": "reasoning", "summary": []},
        {"type": "message", "content": [{"type": "output_text", "text": "Li"}, {"type": "output_text", "text": "ma"}]},
    ]
    usage = {"input_tokens": 30, "input_tokens_details": {"cached_tokens": 10}, "output_tokens": 8}
    usage |= {"output_tokens_details": {"reasoning_tokens": 5}}
    body = {"id": "resp_1", "object": "response", "created_at": 1.7e9, "status": "completed", "model": "large"}
    body |= {"output": output, "usage": usage, "error": None, "incomplete_details": None}
    return {"id": "x", "custom_id": name, "response": {"status_code": 200, "body": body}, "error": None}


def claude(name: str, text: str = "Lima", **usage: Any) -> dict[str, Any]:
    """A line of Anthropic's results."""
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-20250514"}
    message |= {"content": [{"type": "thinking", "thinking": "?"}, {"type": "text", "text": text}]}
    message |= {"stop_reason": "end_turn", "usage": {"input_tokens": 12, "output_tokens": 3} | usage}
    return {"custom_id": name, "result": {"type": "succeeded", "message": message}}


def gemini(name: str, text: str = "Lima", **about: Any) -> dict[str, Any]:
    """A line of Gemini's batch output."""
    parts = [{"text": "hm", "thought": True}, {"text": text}]
    usage = {"promptTokenCount": 20, "candidatesTokenCount": 4, "thoughtsTokenCount": 7, "totalTokenCount": 31}
    response = {"candidates": [{"content": {"parts": parts, "role": "model"}, "finishReason": "STOP"}]}
    response |= {"usageMetadata": usage, "modelVersion": "gemini-2.5-flash"}
    return {"key": name, "response": response} | about


def bedrock(name: str, output: dict[str, Any]) -> dict[str, Any]:
    """A line of Bedrock's batch output."""
    return {"recordId": name, "modelInput": {"prompt": "?"}, "modelOutput": output}
