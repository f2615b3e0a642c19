"""Where homes made by earlier versions look for Dagster's storage: their ``dagster.yaml`` names this module."""

from routing_assets.dagster_instance.kept_connections import KeptConnections

__all__ = ["KeptConnections"]
