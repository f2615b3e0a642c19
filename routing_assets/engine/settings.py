"""Which engine, and how much of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from routing_assets.engine.engine import Engine
from routing_assets.engine.local import LocalEngine
from routing_assets.engine.ray import RayEngine
from routing_assets.foundation.errors import InvalidInput

KINDS = ("local", "ray")


@dataclass(frozen=True)
class EngineSettings:
    """Where the work on the parts of large tables is done.

    Attributes:
        kind: ``local`` or ``ray``.
        workers: local: processes of one thread each; None: one for each core that this process may use.
        address: ray: the cluster's head as ``host:port``, or ``auto`` on one of its nodes.
        in_flight: ray: tasks at a time; None: two for each core of the cluster.
    """

    kind: str = "local"
    workers: int | None = None
    address: str = "auto"
    in_flight: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InvalidInput(f"there is no engine {self.kind!r}", remedy=f"Choose one of {', '.join(KINDS)}.")
        if not isinstance(self.address, str):
            raise InvalidInput(f"the engine's address is {self.address!r}", remedy="Write host:port, or auto.")
        for name in ("workers", "in_flight"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise InvalidInput(f"the engine's {name} is {value!r}", remedy="Give a whole number from 1.")

    def engine(self) -> Engine:
        """The engine. A cluster is not asked for before there is work for it."""
        if self.kind == "ray":
            return RayEngine(self.address, self.in_flight)
        import joblib

        return LocalEngine(self.workers or joblib.cpu_count())


def engine_settings(values: Any, *, source: str) -> EngineSettings:
    """Settings as they are written, ``{kind: ray, address: ...}``. Raises InvalidInput for what cannot be meant."""
    known = [field.name for field in fields(EngineSettings)]
    if not isinstance(values, Mapping) or not values.keys() <= set(known):
        raise InvalidInput(
            f"the engine is {values!r}", source=source, remedy=f"Write a mapping with any of {', '.join(known)}."
        )
    try:
        return EngineSettings(**values)
    except InvalidInput as error:
        raise error.of(source) from error
