"""Anthropic's Message Batches. The base URL is that of the SDK: ``ANTHROPIC_BASE_URL``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from routing_assets.providers.clients.client import READ_S, TRANSFER_S, BatchClient, Job, Page, faults_of


class AnthropicBatches(BatchClient):
    """A job keeps no name: it is told by its number of requests, and by their ids once it has results."""

    provider = "anthropic"
    keys = ("ANTHROPIC_API_KEY",)
    names_jobs = False

    def __init__(self, key: str) -> None:
        import anthropic

        self._sdk: Any = anthropic
        self._batches: Any = anthropic.Anthropic(api_key=key, max_retries=0, timeout=TRANSFER_S).messages.batches

    def page(self, after: str | None = None) -> Page:
        with self._faults():
            page = self._batches.list(limit=1000, timeout=READ_S, **({"after_id": after} if after else {}))
        return Page(tuple(map(_job, page.data)), page.last_id if page.has_more else None)

    def job(self, job_id: str) -> Job:
        with self._faults():
            return _job(self._batches.retrieve(job_id, timeout=READ_S))

    def create(self, uploaded: str, name: str, *, model: str, endpoint: str) -> Job:
        with Path(uploaded).open(encoding="utf-8") as lines:
            requests = [json.loads(line) for line in lines]
        with self._faults():
            return _job(self._batches.create(requests=requests))

    def results(self, job: Job) -> Iterator[bytes]:
        if job.state != "failed":
            with self._faults(), self._batches.with_streaming_response.results(job.id) as response:
                yield from response.iter_bytes(1 << 20)

    def failure(self, request_id: str, why: str) -> dict[str, Any]:
        error = {"type": "error", "error": {"type": "not_answered", "message": why}}
        return {"custom_id": request_id, "result": {"type": "errored", "error": error}}

    def _faults(self) -> AbstractContextManager[None]:
        return faults_of(self._sdk.APIStatusError, self._sdk.AnthropicError)


def _job(batch: Any) -> Job:
    counts, state = batch.request_counts, "open"
    if batch.processing_status == "ended":
        state = "failed" if batch.archived_at else "expired" if counts.expired else "done"
    requests = counts.processing + counts.succeeded + counts.errored + counts.canceled + counts.expired
    why = "the results are archived" if batch.archived_at else None
    return Job(batch.id, state, batch.created_at, batch.ended_at, requests=requests, why=why)  # type: ignore[arg-type]
