"""A local server that behaves like the batch APIs of OpenAI, Anthropic and Gemini, with faults on demand."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.parser import BytesParser
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from provider_lines import chat, claude, expired, gemini, rate_limited

INPUT_TOKENS, OUTPUT_TOKENS = 100, 50
"""Of every answer."""


@dataclass
class Plan:
    """What becomes of a job: it ends so, after so many minutes, and these requests, by place, are not answered."""

    state: str = "done"
    minutes: float = 30
    failing: frozenset[int] = frozenset()
    lacking: frozenset[int] = frozenset()
    """Requests without a line in the results for ten minutes after the end."""


@dataclass
class FakeJob:
    provider: str
    id: str
    name: str
    created: datetime
    requests: list[tuple[str, str]]
    """Id and prompt of each."""
    plan: Plan
    answered: list[bool] = field(default_factory=list)


class BatchApis:
    """The server, with what it was sent.

    Attributes:
        now: its clock, and that of its jobs.
        faults: by operation (upload, create, page, job, results), the faults of the next calls, None for none: a status
            such as ``429``; ``cut``: the call takes effect, but its answer does not come; ``half``: the answer is cut.
        plans: what becomes of the next jobs.
        fault: asked for a fault where ``faults`` has none for an operation; ``plan`` likewise.
    """

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.jobs: list[FakeJob] = []
        self.calls: list[str] = []
        self.faults: dict[str, deque[str | None]] = {}
        self.plans: deque[Plan] = deque()
        self.fault: Callable[[str], str | None] = lambda operation: None
        self.plan: Callable[[], Plan] = Plan
        self.fails: Callable[[str], bool] = lambda prompt: False
        self._files: dict[str, bytes] = {}
        self._lock = threading.RLock()

    def __enter__(self) -> BatchApis:
        apis = self

        class Handler(_Handler):
            server_apis = apis

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def environment(self) -> dict[str, str]:
        """Keys, and where the SDKs find this server."""
        url = f"http://127.0.0.1:{self._server.server_port}"
        keys = dict.fromkeys(("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY"), "test-key")
        return keys | {
            "OPENAI_BASE_URL": f"{url}/openai/v1",
            "ANTHROPIC_BASE_URL": f"{url}/anthropic",
            "GOOGLE_GEMINI_BASE_URL": f"{url}/gemini",
        }

    def pass_time(self, minutes: float) -> None:
        self.now += timedelta(minutes=minutes)

    @property
    def paid(self) -> Counter[str]:
        """By prompt, how often its answer was, or is going to be, paid for."""
        return Counter(
            prompt
            for job in self.jobs
            for (_, prompt), answered in zip(job.requests, job.answered, strict=True)
            if answered
        )

    def add(self, provider: str, name: str, requests: list[tuple[str, str]]) -> FakeJob:
        """Create a job, which is paid for."""
        plan = self.plans.popleft() if self.plans else self.plan()
        job = FakeJob(provider, f"{provider}_{len(self.jobs):06d}", name, self.now, requests, plan)
        half = len(requests) // 2 if plan.state == "expired" else len(requests)
        job.answered = [
            plan.state != "failed" and n < half and n not in plan.failing and not self.fails(prompt)
            for n, (_, prompt) in enumerate(requests)
        ]
        self.jobs.append(job)
        return job

    def handle(self, operation: str, handler: _Handler, answer: Callable[[], tuple[bytes, dict[str, str]]]) -> None:
        """Answer a call, or do what its fault says."""
        with self._lock:
            self.calls.append(operation)
            planned = self.faults.get(operation)
            fault = planned.popleft() if planned else self.fault(operation)
            if fault and fault.isdecimal():
                headers = {"retry-after": "120"} if fault == "429" else {}
                said = {"error": {"message": f"a fault: {fault}", "code": int(fault), "status": "FAULT"}}
                return handler.reply(json.dumps(said).encode(), headers, status=int(fault))
            body, headers = answer()
        if fault == "cut":
            handler.close_connection = True
            return None
        return handler.reply(body, headers, half=fault == "half")

    def state_of(self, job: FakeJob) -> str:
        return job.plan.state if self.now >= job.created + timedelta(minutes=job.plan.minutes) else "open"

    def ended(self, job: FakeJob) -> datetime:
        return job.created + timedelta(minutes=job.plan.minutes)

    def results(self, job: FakeJob) -> tuple[bytes, bytes]:
        """The answers, and the requests that failed, as JSON lines."""
        usage = {"prompt_tokens": INPUT_TOKENS, "completion_tokens": OUTPUT_TOKENS}
        tokens = {"input_tokens": INPUT_TOKENS, "output_tokens": OUTPUT_TOKENS}
        counts = {"promptTokenCount": INPUT_TOKENS, "candidatesTokenCount": OUTPUT_TOKENS}
        good, bad = [], []
        late = self.now < self.ended(job) + timedelta(minutes=10)
        for n, ((name, prompt), answered) in enumerate(zip(job.requests, job.answered, strict=True)):
            if late and n in job.plan.lacking:
                continue
            text = f"answer to {prompt}"
            match job.provider:
                case "openai":
                    line = chat(name, text, "gpt", usage=usage)
                    failed = expired(name) if job.plan.state == "expired" else rate_limited(name)
                case "anthropic":
                    line = claude(name, text, **tokens)
                    kind = "expired" if job.plan.state == "expired" else "errored"
                    error = {"error": {"type": "overloaded", "message": "?"}} if kind == "errored" else {}
                    failed = {"custom_id": name, "result": {"type": kind, **error}}
                case _:
                    line = gemini(name, text)
                    line["response"] |= {"usageMetadata": counts}
                    failed = {"key": name, "error": {"code": 8, "message": "exhausted"}}
            (good if answered else bad).append(line if answered else failed)
        return _lines(good), _lines(bad)


def _lines(records: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def prompt_of(request: Any) -> str:
    """The text of the last message of a request in any of the three forms."""
    if "contents" in request:
        return str(request["contents"][-1]["parts"][0]["text"])
    content = request["messages"][-1]["content"]
    return content if isinstance(content, str) else str(content[0]["text"])


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else the body waits for the client to acknowledge the headers
    server_apis: BatchApis

    def log_message(self, *_: object) -> None:
        pass

    def reply(self, body: bytes, headers: dict[str, str], *, status: int = 200, half: bool = False) -> None:
        self.send_response(status)
        for name, value in ({"content-type": "application/json"} | headers).items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if half else body)
        if half:
            self.close_connection = True

    def do_GET(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        self._serve(self.rfile.read(int(self.headers.get("content-length") or 0)))

    def _serve(self, body: bytes) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        for method, pattern, operation, serve in ROUTES:
            if method == self.command and (found := re.fullmatch(pattern, parts.path)):
                apis = self.server_apis
                call = {"query": query, "body": body, "headers": self.headers, "url": self.path}
                return apis.handle(operation, self, partial(serve, apis, found.groups(), call))
        return self.reply(
            json.dumps({"error": {"message": f"no {self.command} {parts.path}"}}).encode(), {}, status=404
        )


def _json(value: Any) -> tuple[bytes, dict[str, str]]:
    return json.dumps(value).encode(), {}


def _job(apis: BatchApis, job_id: str) -> FakeJob:
    return next(job for job in apis.jobs if job.id == job_id)


def _newest(apis: BatchApis, provider: str, after: str | None, size: int) -> tuple[list[FakeJob], bool]:
    own = [job for job in reversed(apis.jobs) if job.provider == provider]
    start = next((n + 1 for n, job in enumerate(own) if job.id == after), 0)
    return own[start : start + size], start + size < len(own)


def _store(apis: BatchApis, data: bytes) -> str:
    name = f"file-{len(apis._files)}"
    apis._files[name] = data
    return name


def _openai_upload(apis: BatchApis, _: Any, call: Any) -> Any:
    head = f"content-type: {call['headers']['content-type']}\r\n\r\n".encode()
    form = BytesParser().parsebytes(head + call["body"])
    data = next(part for part in form.get_payload() if part.get_filename())  # type: ignore[union-attr]
    return _json({"id": _store(apis, data.get_payload(decode=True)), "object": "file", "bytes": 1, "created_at": 1,
                  "filename": "x", "purpose": "batch", "status": "processed"})  # fmt: skip


def _openai_create(apis: BatchApis, _: Any, call: Any) -> Any:
    asked = json.loads(call["body"])
    lines = [json.loads(line) for line in apis._files[asked["input_file_id"]].splitlines()]
    assert all(line["url"] == asked["endpoint"] for line in lines)
    requests = [(line["custom_id"], prompt_of(line["body"])) for line in lines]
    return _json(_openai_batch(apis, apis.add("openai", json.dumps(asked["metadata"]), requests)))


def _openai_batch(apis: BatchApis, job: FakeJob) -> dict[str, Any]:
    state = apis.state_of(job)
    batch = {"id": job.id, "object": "batch", "endpoint": "/v1/chat/completions", "input_file_id": "file",
             "completion_window": "24h", "created_at": int(job.created.timestamp()),
             "metadata": json.loads(job.name)}  # fmt: skip
    status = {"open": "in_progress", "done": "completed", "failed": "failed", "expired": "expired"}[state]
    batch |= {"status": status}
    if state != "open":
        batch |= {f"{status}_at": int(apis.ended(job).timestamp())}
    if state == "failed":
        batch |= {"errors": {"object": "list", "data": [{"code": "invalid", "message": "the file is not valid"}]}}
    if state in ("done", "expired"):
        batch |= {"output_file_id": f"out-{job.id}", "error_file_id": f"err-{job.id}"}
    return batch


def _openai_list(apis: BatchApis, _: Any, call: Any) -> Any:
    jobs, more = _newest(apis, "openai", call["query"].get("after"), int(call["query"]["limit"]))
    return _json({"object": "list", "data": [_openai_batch(apis, job) for job in jobs], "has_more": more})


def _openai_content(apis: BatchApis, found: Any, _: Any) -> Any:
    good, bad = apis.results(_job(apis, found[1]))
    return good if found[0] == "out" else bad, {}


def _anthropic_create(apis: BatchApis, _: Any, call: Any) -> Any:
    lines = json.loads(call["body"])["requests"]
    return _json(_anthropic_batch(apis, apis.add(
        "anthropic", "", [(line["custom_id"], prompt_of(line["params"])) for line in lines]
    )))  # fmt: skip


def _anthropic_batch(apis: BatchApis, job: FakeJob) -> dict[str, Any]:
    state, size = apis.state_of(job), len(job.requests)
    counts = dict.fromkeys(("processing", "succeeded", "errored", "canceled", "expired"), 0)
    if state == "open":
        counts["processing"] = size
    else:
        counts["succeeded"] = sum(job.answered)
        counts["expired" if state == "expired" else "errored"] = size - sum(job.answered)
    return {"id": job.id, "type": "message_batch", "processing_status": "in_progress" if state == "open" else "ended",
            "request_counts": counts, "created_at": job.created.isoformat(),
            "expires_at": (job.created + timedelta(hours=24)).isoformat(),
            "ended_at": None if state == "open" else apis.ended(job).isoformat(),
            "results_url": None if state == "open" else f"/v1/messages/batches/{job.id}/results"}  # fmt: skip


def _anthropic_list(apis: BatchApis, _: Any, call: Any) -> Any:
    jobs, more = _newest(apis, "anthropic", call["query"].get("after_id"), int(call["query"]["limit"]))
    data = [_anthropic_batch(apis, job) for job in jobs]
    ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {"first_id": None, "last_id": None}
    return _json({"data": data, "has_more": more, **ends})


def _anthropic_results(apis: BatchApis, found: Any, _: Any) -> Any:
    return b"".join(apis.results(_job(apis, found[0]))), {"content-type": "application/x-jsonl"}


def _gemini_start(apis: BatchApis, _: Any, call: Any) -> Any:
    url = f"{apis.environment['GOOGLE_GEMINI_BASE_URL']}/upload/v1/data"
    return b"{}", {"x-goog-upload-url": url, "x-goog-upload-status": "active"}


def _gemini_data(apis: BatchApis, _: Any, call: Any) -> Any:
    name = f"files/{_store(apis, call['body'])}"
    return json.dumps({"file": {"name": name}}).encode(), {"x-goog-upload-status": "final"}


def _gemini_create(apis: BatchApis, found: Any, call: Any) -> Any:
    asked = json.loads(call["body"])["batch"]
    data = apis._files[asked["inputConfig"]["fileName"].removeprefix("files/")]
    lines = [json.loads(line) for line in data.splitlines()]
    requests = [(line["key"], prompt_of(line["request"])) for line in lines]
    return _json(_gemini_batch(apis, apis.add("gemini", asked["displayName"], requests)))


def _gemini_batch(apis: BatchApis, job: FakeJob) -> dict[str, Any]:
    state = apis.state_of(job)
    named = {"open": "RUNNING", "done": "SUCCEEDED", "failed": "FAILED", "expired": "EXPIRED"}[state]
    about: dict[str, Any] = {"displayName": job.name, "state": f"BATCH_STATE_{named}",
                             "createTime": job.created.isoformat().replace("+00:00", "Z")}  # fmt: skip
    if state != "open":
        about |= {"updateTime": apis.ended(job).isoformat().replace("+00:00", "Z")}
    if state in ("done", "expired"):
        about |= {"output": {"responsesFile": f"files/out-{job.id}"}}
    return {"name": f"batches/{job.id}", "metadata": about}


def _gemini_list(apis: BatchApis, _: Any, call: Any) -> Any:
    jobs, more = _newest(apis, "gemini", call["query"].get("pageToken"), int(call["query"]["pageSize"]))
    token = {"nextPageToken": jobs[-1].id} if more else {}
    return _json({"operations": [_gemini_batch(apis, job) for job in jobs], **token})


def _gemini_results(apis: BatchApis, found: Any, _: Any) -> Any:
    return b"".join(apis.results(_job(apis, found[0]))), {"content-type": "application/jsonl"}


ROUTES: tuple[tuple[str, str, str, Callable[..., Any]], ...] = (
    ("POST", "/openai/v1/files", "upload", _openai_upload),
    ("POST", "/openai/v1/batches", "create", _openai_create),
    ("GET", "/openai/v1/batches", "page", _openai_list),
    ("GET", "/openai/v1/batches/([^/]+)", "job", lambda a, f, c: _json(_openai_batch(a, _job(a, f[0])))),
    ("GET", "/openai/v1/files/(out|err)-([^/]+)/content", "results", _openai_content),
    ("POST", "/anthropic/v1/messages/batches", "create", _anthropic_create),
    ("GET", "/anthropic/v1/messages/batches", "page", _anthropic_list),
    ("GET", "/anthropic/v1/messages/batches/([^/]+)", "job", lambda a, f, c: _json(_anthropic_batch(a, _job(a, f[0])))),
    ("GET", "/anthropic/v1/messages/batches/([^/]+)/results", "results", _anthropic_results),
    ("POST", "/gemini/upload/v1(?:beta)?/files", "upload", _gemini_start),
    ("POST", "/gemini/upload/v1(?:beta)?/data", "upload", _gemini_data),
    ("POST", "/gemini/v1(?:beta)?/models/([^:]+):batchGenerateContent", "create", _gemini_create),
    ("GET", "/gemini/v1(?:beta)?/batches", "page", _gemini_list),
    ("GET", "/gemini/v1(?:beta)?/batches/([^/]+)", "job", lambda a, f, c: _json(_gemini_batch(a, _job(a, f[0])))),
    ("GET", "/gemini/v1(?:beta)?/files/out-([^/:]+):download", "results", _gemini_results),
)
START = datetime(2026, 11, 2, 8, tzinfo=UTC)
