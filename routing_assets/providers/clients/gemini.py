"""Gemini's Batch API. The base URL is that of the SDK: ``GOOGLE_GEMINI_BASE_URL``."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from routing_assets.providers.clients.client import READ_S, TRANSFER_S, BatchClient, Job, Page, ProviderFault

_STATES = {
    "JOB_STATE_SUCCEEDED": "done",
    "JOB_STATE_PARTIALLY_SUCCEEDED": "done",
    "JOB_STATE_FAILED": "failed",
    "JOB_STATE_CANCELLED": "failed",
    "JOB_STATE_EXPIRED": "expired",
}


class GeminiBatches(BatchClient):
    """A job keeps our name as its display name."""

    provider = "gemini"
    keys = ("GEMINI_API_KEY", "GOOGLE_API_KEY")
    newest_first = False

    def __init__(self, key: str) -> None:
        from google import genai
        from google.genai.types import HttpOptions, HttpRetryOptions

        once = HttpRetryOptions(attempts=1)
        transfer = HttpOptions(timeout=int(TRANSFER_S * 1000), retry_options=once)
        self._client: Any = genai.Client(api_key=key, vertexai=False, http_options=transfer)
        self._look = HttpOptions(timeout=int(READ_S * 1000), retry_options=once)

    def page(self, after: str | None = None) -> Page:
        with self._faults():
            found = self._client.batches.list(
                config={"page_size": 100, "page_token": after, "http_options": self._look}
            )
        return Page(tuple(map(_job, found.page)), found.config["page_token"] or None)

    def job(self, job_id: str) -> Job:
        with self._faults():
            return _job(self._client.batches.get(name=job_id, config={"http_options": self._look}))

    def upload(self, path: Path, name: str) -> str:
        with self._faults():
            config = {"display_name": name, "mime_type": "jsonl"}
            return str(self._client.files.upload(file=str(path), config=config).name)

    def create(self, uploaded: str, name: str, *, model: str, endpoint: str) -> Job:
        with self._faults():
            return _job(self._client.batches.create(model=model, src=uploaded, config={"display_name": name}))

    def results(self, job: Job) -> Iterator[bytes]:
        for name in job.files:
            with tempfile.TemporaryFile() as file:
                with self._faults():
                    self._client.files.download(file=name, destination=file)
                file.seek(0)
                yield from iter(lambda file=file: file.read(1 << 20), b"")  # type: ignore[misc]

    def failure(self, request_id: str, why: str) -> dict[str, Any]:
        return {"key": request_id, "error": {"status": "NOT_ANSWERED", "message": why}}

    @contextmanager
    def _faults(self) -> Iterator[None]:
        import httpx2
        from google.genai import errors

        try:
            yield
        except errors.APIError as error:
            headers = getattr(error.response, "headers", {})
            raise ProviderFault(error.message or str(error), error.code, headers.get("retry-after")) from error
        except (httpx2.HTTPError, ValueError, KeyError) as error:  # the SDK's own, for answers that are cut off
            raise ProviderFault(str(error)) from error


def _job(job: Any) -> Job:
    state: Any = _STATES.get(job.state.name, "open") if job.state else "open"
    files = (job.dest.file_name,) if job.dest and job.dest.file_name else ()
    ended = (job.end_time or job.update_time) if state != "open" else None
    return Job(job.name, state, job.create_time, ended, job.display_name or "", why=job.state.name, files=files)
