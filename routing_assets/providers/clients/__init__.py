"""The providers' batch APIs, each by its official SDK, which is imported only when a client is opened."""

from __future__ import annotations

import os
from collections.abc import Mapping

from routing_assets.foundation.errors import InvalidInput
from routing_assets.providers.clients.anthropic import AnthropicBatches
from routing_assets.providers.clients.client import BatchClient
from routing_assets.providers.clients.gemini import GeminiBatches
from routing_assets.providers.clients.openai import OpenAIBatches

CLIENTS: dict[str, type[BatchClient]] = {
    "openai": OpenAIBatches,
    "anthropic": AnthropicBatches,
    "gemini": GeminiBatches,
}
"""By the name of the provider in the catalog."""


def open_client(provider: str, environment: Mapping[str, str] = os.environ) -> BatchClient:
    """A client of a provider, with the key that the environment holds.

    Raises:
        InvalidInput: the environment holds no key, or the SDK is not installed.
    """
    kind = CLIENTS[provider]
    key = next((environment[name] for name in kind.keys if environment.get(name)), None)
    if key is None:
        raise InvalidInput(
            f"nothing is sent to {provider}: the environment has no {' or '.join(kind.keys)}",
            remedy="Set it for the processes of Dagster.",
        )
    try:
        return kind(key)
    except ModuleNotFoundError as error:
        raise InvalidInput(
            f"nothing is sent to {provider}: its SDK is not installed ({error})",
            remedy="Install it: pip install 'routing_assets[providers]'",
        ) from error
