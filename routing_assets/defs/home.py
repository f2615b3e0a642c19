"""Access to an installation for assets, sensors and schedules."""

from pathlib import Path

import dagster as dg
from pydantic import Field

from routing_assets.home import Home


class RoutingHome(dg.ConfigurableResource):
    """The installation's folder and what it holds."""

    root: str | None = Field(default=None, description="The folder; default: ROUTING_HOME, else .routing here.")

    def paths(self) -> Home:
        """The folder and every path under it."""
        return Home.from_env() if self.root is None else Home(Path(self.root))
