"""What submissions are carried out with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from routing_assets.batches.folders import BatchFolders
from routing_assets.batches.submissions.settings import SubmitSettings
from routing_assets.foundation.errors import InvalidInput
from routing_assets.pricing.catalog import ModelCatalog
from routing_assets.providers.clients import open_client
from routing_assets.providers.clients.client import BatchClient
from routing_assets.storage.parquet_store import Store
from routing_assets.storage.warehouse import Warehouse


class Clients:
    """The clients of the providers, each opened when it is first asked for."""

    def __init__(self, opens: Callable[[str], BatchClient] = open_client) -> None:
        self._opens = opens
        self._opened: dict[str, BatchClient | InvalidInput] = {}

    def of(self, provider: str) -> BatchClient:
        """Raises InvalidInput, which says what is missing."""
        if provider not in self._opened:
            try:
                self._opened[provider] = self._opens(provider)
            except InvalidInput as error:
                self._opened[provider] = error
        found = self._opened[provider]
        if isinstance(found, InvalidInput):
            raise found
        return found


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Desk:
    """An installation, its settings for submissions, and the run that acts.

    Attributes:
        catalog: of the prices in force, by which a judge is paid.
    """

    warehouse: Warehouse
    store: Store
    folders: BatchFolders
    settings: SubmitSettings
    run_id: str
    clients: Clients = field(default_factory=Clients)
    now: Callable[[], datetime] = _now
    catalog: ModelCatalog | None = None
