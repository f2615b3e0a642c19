"""What the batch APIs have in common: files of requests become jobs, which are listed and whose results are fetched.

No request is repeated by an SDK, for a repeated creation of a job is paid for twice.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any, ClassVar, Literal

READ_S, TRANSFER_S = 10.0, 600.0
"""Seconds after which a look at jobs, and the transfer of a file, is given up."""


class ProviderFault(Exception):
    """A provider refused a call, failed, or could not be reached.

    Attributes:
        status: of HTTP; None where no answer came.
        retry_after: seconds that the provider asks to wait.
    """

    def __init__(self, why: str, status: int | None = None, retry_after: str | None = None) -> None:
        super().__init__(f"HTTP {status}: {why}" if status else why)
        self.status = status
        self.retry_after = float(retry_after) if retry_after and retry_after.isdecimal() else None

    @property
    def refused(self) -> bool:
        """Whether the call certainly had no effect. After any other fault it may have had one."""
        return self.status is not None and 400 <= self.status < 500 and self.status != 408

    @property
    def lasting(self) -> bool:
        """Whether the same call would be refused again, because of what is sent."""
        return self.status in (400, 404, 413, 422)


@dataclass(frozen=True)
class Job:
    """A batch job as its provider describes it.

    Attributes:
        name: the name that we gave it; None where the provider keeps none.
        requests: how many it has; None where that is unknown.
        files: ids of its results, where the provider names them.
    """

    id: str
    state: Literal["open", "done", "failed", "expired"]
    created: datetime
    ended: datetime | None = None
    name: str | None = None
    requests: int | None = None
    why: str | None = None
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Page:
    """Some of a provider's jobs; ``after`` leads to the next page, None after the last."""

    jobs: tuple[Job, ...]
    after: str | None


class BatchClient(ABC):
    """A provider's batch API. Every method raises ProviderFault."""

    provider: ClassVar[str]
    keys: ClassVar[tuple[str, ...]]
    """Variables of the environment that may hold the key."""
    names_jobs: ClassVar[bool] = True
    """Whether a job keeps the name that we give it."""
    newest_first: ClassVar[bool] = True
    """Whether jobs are certainly listed from the newest to the oldest."""

    @abstractmethod
    def __init__(self, key: str) -> None:
        """Raises ModuleNotFoundError where the SDK is not installed."""

    @abstractmethod
    def page(self, after: str | None = None) -> Page:
        """A page of the jobs of this key."""

    @abstractmethod
    def job(self, job_id: str) -> Job:
        """One job."""

    def upload(self, path: Path, name: str) -> str:
        """Upload a file of requests, which costs nothing and starts nothing; returns the provider's id of it."""
        return str(path)

    @abstractmethod
    def create(self, uploaded: str, name: str, *, model: str, endpoint: str) -> Job:
        """Create a job of the requests of a file. This is the call that is paid for.

        Args:
            model: as the API knows it.
            endpoint: as the manifest names it.
        """

    @abstractmethod
    def results(self, job: Job) -> Iterator[bytes]:
        """The results of an ended job in pieces, as JSON lines. A job that failed may have none."""

    @abstractmethod
    def failure(self, request_id: str, why: str) -> dict[str, Any]:
        """The line of the results that this provider would write for a request that failed."""


@contextmanager
def faults_of(status: type[Any], other: type[Exception]) -> Iterator[None]:
    """Raise ProviderFault for the errors of an SDK, and for answers that are cut off.

    Args:
        status: its error for an answer of HTTP that is not a success.
        other: the base of its errors.
    """
    import httpx2

    try:
        yield
    except status as error:
        raise ProviderFault(error.message, error.status_code, error.response.headers.get("retry-after")) from error
    except (other, httpx2.HTTPError, ValueError) as error:
        raise ProviderFault(str(error)) from error


def write_lines(pieces: Iterator[bytes], file: IO[bytes]) -> None:
    """Write the pieces of a file of lines; its last line ends."""
    last = b"\n"
    for piece in pieces:
        file.write(piece)
        last = piece[-1:] or last
    if last != b"\n":
        file.write(b"\n")
