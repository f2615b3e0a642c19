"""The engine that the policy file names."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from routing_assets.engine.engine import Engine
from routing_assets.engine.local import LocalEngine
from routing_assets.engine.ray import RayEngine
from routing_assets.foundation.schema import FORM, Text

Count = Annotated[int, Field(strict=True, ge=1)]


@dataclass(frozen=True, config=FORM)
class EngineSettings:
    """``engine`` in the policy file: where the work on the parts of large tables is done."""

    kind: Literal["local", "ray"] = Field(default="local", description="This machine, or a Ray cluster.")
    workers: Count | None = Field(
        default=None, description="Local: processes of one thread each. Without it, one for each core."
    )
    address: Text = Field(
        default="auto", description="Ray: the cluster's head as host:port, or auto on one of its nodes."
    )
    in_flight: Count | None = Field(
        default=None, description="Ray: tasks at a time. Without it, two for each core of the cluster."
    )

    def engine(self) -> Engine:
        """The engine. It connects to a cluster only once there is work."""
        if self.kind == "ray":
            return RayEngine(self.address, self.in_flight)
        import joblib

        return LocalEngine(self.workers or joblib.cpu_count())
