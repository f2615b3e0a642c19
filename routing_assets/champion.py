"""The router in force: put there by training once its checks passed, read by every batch."""

from __future__ import annotations

from dataclasses import dataclass

from routing_assets.ledger import router_in_force
from routing_assets.prediction.router import Router
from routing_assets.settings import Home


@dataclass(frozen=True)
class Champion:
    """A router and the version that the ledger knows it by."""

    version: str
    router: Router


def load_champion(home: Home) -> Champion:
    """The router in force. Raises InvalidInput when none was trained yet."""
    version = router_in_force(home)["router_version"]
    return Champion(version, Router.load(home.routers / version, embeddings_cache=home.embeddings))
