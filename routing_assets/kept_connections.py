"""Earlier versions wrote this module's name into ``dagster.yaml``; it leads to Dagster's storage of today."""

from routing_assets.dagster_instance.kept_connections import KeptConnections

__all__ = ["KeptConnections"]
