"""Where models run, and the form of a request that each provider takes."""

from routing_assets.providers.provider import PROVIDERS, Destination, Provider

__all__ = ["PROVIDERS", "Destination", "Provider"]
