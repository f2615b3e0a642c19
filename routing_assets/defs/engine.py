"""The engine that works on the parts of large tables, as assets ask for it."""

from dataclasses import asdict

import dagster as dg
from pydantic import Field

from routing_assets.batches.policy import read_policy
from routing_assets.defs.common import failure
from routing_assets.defs.home import RoutingHome
from routing_assets.engine import Engine, EngineSettings
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.schema import read_values


class BatchEngine(dg.ConfigurableResource):
    """The engine of this run; empty fields are taken from ``engine`` of the policy file."""

    home: dg.ResourceDependency[RoutingHome]
    kind: str | None = Field(default=None, description="local: this machine. ray: a Ray cluster.")
    workers: int | None = Field(default=None, description="local: processes of one thread; default: one for each core.")
    address: str | None = Field(default=None, description="ray: the head's host:port; default: auto, as on its nodes.")
    in_flight: int | None = Field(default=None, description="ray: tasks at a time; default: two for each core.")

    def engine(self) -> Engine:
        """The engine. Raises dagster.Failure where the settings, or the policy file, are wrong."""
        own = {name: value for name, value in self.model_dump(exclude={"home"}).items() if value is not None}
        path = self.home.paths().policy_file
        try:
            standing = asdict(read_policy(path).engine or EngineSettings())
            return read_values(EngineSettings, standing | own, source="the resource engine").engine()
        except InvalidInput as error:
            raise failure(error) from error
