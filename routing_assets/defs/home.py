"""Access to an installation for assets, sensors and schedules."""

from pathlib import Path

import dagster as dg
from pydantic import Field

from routing_assets.foundation.home import Home
from routing_assets.storage.warehouse import Warehouse


class RoutingHome(dg.ConfigurableResource):
    """The installation's folder, with its warehouse."""

    root: str | None = Field(default=None, description="The folder; default: ROUTING_HOME, else .routing here.")

    def paths(self) -> Home:
        """The folder and every path under it."""
        return Home.from_env() if self.root is None else Home(Path(self.root))

    def warehouse(self) -> Warehouse:
        """The DuckDB warehouse."""
        return Warehouse(self.paths().warehouse)
