"""Find the catalog's model that a provider's name means.

The provider may add a date, a version, a region or a path, or name a deployment instead.

``gpt-4o-mini-2024-07-18`` is ``gpt-4o-mini``; ``us.anthropic.claude-sonnet-4-20250514-v1:0`` is ``claude-sonnet-4``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache

_BEFORE = re.compile(r"^(?:.*/)?(?:(?:us|eu|apac|ap|jp|au|ca|sa|global|us-gov)\.)?(?:[a-z0-9]+\.(?=[a-z]))?")
"""A path (``models/``, ``openai/``), a region, and the maker's name with a dot, as Bedrock writes them."""
_DATE = re.compile(
    r"(?:[-@](?:\d{4}-\d{2}-\d{2}|20\d{6}|\d{2}-\d{2}|\d{2}-\d{4}|\d{4}|\d{3}|latest|default)|-v\d+(?::\d+)?(?::\d+k)?|:\d+)$"
)


@cache
def plain(name: str) -> str:
    """The name in lower case, without path, region and maker."""
    small = name.strip().lower()
    return _BEFORE.sub("", small) or small


@cache
def undated(name: str) -> frozenset[str]:
    """The plain name, and what remains when version and date are removed from its end, one after the other."""
    names = [plain(name)]
    while (shorter := _DATE.sub("", names[-1])) not in ("", names[-1]):
        names.append(shorter)
    return frozenset(names)


class ModelNames:
    """Which model of the catalog a provider's name means."""

    def __init__(self, models: Iterable[str], also: Mapping[str, str] | None = None) -> None:
        """``also``: by further name, such as that of a deployment, the model that it means."""
        self._models = {**{model: model for model in models}, **(also or {})}
        self._known: dict[tuple[str, str | None], str | None] = {}

    def model(self, name: str, routed: str | None = None) -> str | None:
        """The model that ``name`` means; None where it means none, or more than one.

        Args:
            name: as the provider writes it.
            routed: the model that the call was meant for, which is preferred among those that the name may mean.
        """
        if (name, routed) not in self._known:
            self._known[name, routed] = self._find(name, routed)
        return self._known[name, routed]

    def _find(self, name: str, routed: str | None) -> str | None:
        if name in self._models:
            return self._models[name]
        for alike in (
            lambda known: plain(known) == plain(name),
            lambda known: plain(known) in undated(name),
            lambda known: plain(name) in undated(known),
        ):
            found = {model for known, model in self._models.items() if alike(known)}
            if routed in found:
                return routed
            if found:
                return found.pop() if len(found) == 1 else None
        return None
