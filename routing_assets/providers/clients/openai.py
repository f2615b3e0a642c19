"""OpenAI's Batch API. The base URL is that of the SDK: ``OPENAI_BASE_URL``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from routing_assets.providers.clients.client import READ_S, TRANSFER_S, BatchClient, Job, Page, faults_of

_NAME = "submission"
_STATES = {"completed": "done", "failed": "failed", "cancelled": "failed", "expired": "expired"}


class OpenAIBatches(BatchClient):
    """A job keeps our name in its metadata."""

    provider = "openai"
    keys = ("OPENAI_API_KEY",)

    def __init__(self, key: str) -> None:
        import openai

        self._sdk: Any = openai
        self._client: Any = openai.OpenAI(api_key=key, max_retries=0, timeout=TRANSFER_S)

    def page(self, after: str | None = None) -> Page:
        with self._faults():
            page = self._client.batches.list(limit=100, timeout=READ_S, **({"after": after} if after else {}))
        return Page(tuple(map(_job, page.data)), page.data[-1].id if page.has_more and page.data else None)

    def job(self, job_id: str) -> Job:
        with self._faults():
            return _job(self._client.batches.retrieve(job_id, timeout=READ_S))

    def upload(self, path: Path, name: str) -> str:
        with self._faults(), path.open("rb") as file:
            return str(self._client.files.create(file=(f"{name}.jsonl", file), purpose="batch").id)

    def create(self, uploaded: str, name: str, *, model: str, endpoint: str) -> Job:
        with self._faults():
            return _job(
                self._client.batches.create(
                    input_file_id=uploaded, endpoint=endpoint, completion_window="24h", metadata={_NAME: name}
                )
            )

    def results(self, job: Job) -> Iterator[bytes]:
        for file_id in job.files:
            with self._faults(), self._client.files.with_streaming_response.content(file_id) as response:
                yield from response.iter_bytes(1 << 20)

    def failure(self, request_id: str, why: str) -> dict[str, Any]:
        return {"custom_id": request_id, "response": None, "error": {"code": "not_answered", "message": why}}

    def _faults(self) -> AbstractContextManager[None]:
        return faults_of(self._sdk.APIStatusError, self._sdk.OpenAIError)


def _job(batch: Any) -> Job:
    ended = batch.completed_at or batch.failed_at or batch.expired_at or batch.cancelled_at
    errors = batch.errors.data if batch.errors and batch.errors.data else []
    state: Any = _STATES.get(batch.status, "open")
    return Job(
        batch.id,
        state,
        datetime.fromtimestamp(batch.created_at, UTC),
        datetime.fromtimestamp(ended, UTC) if ended else None,
        (batch.metadata or {}).get(_NAME, ""),
        why="; ".join(str(error.message) for error in errors) or batch.status,
        files=tuple(filter(None, (batch.output_file_id, batch.error_file_id))),
    )
