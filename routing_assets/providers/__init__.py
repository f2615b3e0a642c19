"""Providers of models, and the form of request that each takes."""

from routing_assets.providers.provider import PROVIDERS, Destination, Provider

__all__ = ["PROVIDERS", "Destination", "Provider"]
