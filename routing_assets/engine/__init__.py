"""Engines run a function on the parts of a large table: on this machine, or on a Ray cluster."""

from routing_assets.engine.attempt import WorkerLost
from routing_assets.engine.engine import Engine
from routing_assets.engine.local import LocalEngine
from routing_assets.engine.ray import RayEngine
from routing_assets.engine.settings import EngineSettings

__all__ = ["Engine", "EngineSettings", "LocalEngine", "RayEngine", "WorkerLost"]
