"""Access to ROUTING_HOME for assets, sensors and schedules."""

import dagster as dg

from routing_assets.settings import Home
from routing_assets.warehouse import Warehouse


class RoutingHome(dg.ConfigurableResource):
    """The installation's folder, from ROUTING_HOME, with its warehouse."""

    def paths(self) -> Home:
        """The folder and every path under it."""
        return Home.from_env()

    def warehouse(self) -> Warehouse:
        """The DuckDB warehouse."""
        return Warehouse(self.paths().warehouse)
