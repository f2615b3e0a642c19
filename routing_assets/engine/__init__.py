"""Where the work on the parts of a large table is done: on this machine, or on a cluster."""

from routing_assets.engine.engine import Engine
from routing_assets.engine.local import LocalEngine

__all__ = ["Engine", "LocalEngine"]
