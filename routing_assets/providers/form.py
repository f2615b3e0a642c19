"""The form in which a provider takes a request: what it can express, and how it is read and written."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

from routing_assets.providers.common import CannotTranslate, CommonRequest

MEANINGFUL = ("max_tokens", "n", "stop", "response_format", "tools")
"""Parameters that change what is asked or paid for. A request with one goes only to models that take it."""


class Form(ABC):
    """One form of a request's body."""

    name: ClassVar[str]
    parameters: ClassVar[Mapping[str, tuple[str, ...]]]
    """By the common name of a setting, its own names in this form; the first is written."""
    configuration: ClassVar[str | None] = None
    """The field of the body that holds the settings; None where they are fields of the body itself."""
    greatest_temperature: ClassVar[float] = 2.0
    expresses: frozenset[str] = frozenset()
    """Features of requests in other forms that this form can express, see ``CommonRequest.features``."""

    @abstractmethod
    def read(self, body: Mapping[str, Any]) -> CommonRequest:
        """The body in the common form. Raises CannotTranslate where that would lose what is asked."""

    @abstractmethod
    def write_content(self, request: CommonRequest) -> dict[str, Any]:
        """The body without its settings."""

    def write(self, request: CommonRequest) -> tuple[dict[str, Any], list[str]]:
        """The body, and what was changed on the way, such as "seed is left out"."""
        body, changes = self.write_content(request), [f"{name} is left out" for name in sorted(request.left_out)]
        settings = {}
        for name, value in request.settings.items():
            if name not in self.parameters:
                changes.append(f"{name} is left out")
                continue
            if name == "temperature" and value > self.greatest_temperature:
                value = self.greatest_temperature
                changes.append(f"temperature is lowered to {value:g}")
            settings[self.parameters[name][0]] = list(value) if name == "stop" else value
        if self.configuration is None:
            body |= settings
        elif settings:
            body[self.configuration] = {**settings, **body.get(self.configuration, {})}
        return body, changes

    def settings_of(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The settings of a body by their common names; values that are null or of the wrong type are left out."""
        where = body if self.configuration is None else mapping(body.get(self.configuration))
        settings = {}
        for name, own in self.parameters.items():
            value = next((where[key] for key in own if where.get(key) is not None), None)
            if name == "stop":
                stops = [value] if isinstance(value, str) else value if isinstance(value, list) else []
                value = tuple(stops) if stops and all(isinstance(stop, str) and stop for stop in stops) else None
            elif isinstance(value, bool) or not isinstance(value, int | float):
                value = None
            if value is not None:
                settings[name] = value
        if settings.get("n") == 1:
            del settings["n"]
        return settings

    def meaningful(self, body: Mapping[str, Any]) -> set[str]:
        """Which of :data:`MEANINGFUL` a body has. A form with fields of its own for some of them overrides this."""
        found = {name for name in self.settings_of(body) if name in MEANINGFUL}
        return found | {name for name in ("tools", "response_format") if body.get(name)}

    def without(self, body: dict[str, Any], unsupported: frozenset[str]) -> list[str]:
        """Remove the unsupported parameters from a body, or rename them where the form has another name for them.

        Returns:
            What was changed.
        """
        if not unsupported:
            return []
        where = body if self.configuration is None else body.get(self.configuration)
        changes = []
        for at in (body,) if where is body or not isinstance(where, dict) else (body, where):
            for key in [key for key in at if self._refused(key, unsupported)]:
                own = next((own for own in self.parameters.values() if key in own), ())
                other = next((name for name in own if not self._refused(name, unsupported)), None)
                value = at.pop(key)
                if other is None:
                    changes.append(f"{key} is left out")
                else:
                    at.setdefault(other, value)
                    changes.append(f"{key} is sent as {other}")
        return changes

    def refuses(self, what: str, unsupported: frozenset[str]) -> bool:
        """Whether a model with these unsupported parameters cannot be asked for ``what`` under any name."""
        return all(self._refused(name, unsupported) for name in self.parameters.get(what, (what,)))

    def _refused(self, key: str, unsupported: frozenset[str]) -> bool:
        """Whether a field is unsupported: by its own name, or by its common name where no field has that name."""
        own = {name for names in self.parameters.values() for name in names}
        common = next((name for name, names in self.parameters.items() if key in names), key)
        return key in unsupported or (common not in own and common in unsupported)


def mapping(value: Any) -> Mapping[str, Any]:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def expect(value: Any, kind: type, what: str) -> Any:
    """The value, if it is of this type; raises CannotTranslate otherwise."""
    if not isinstance(value, kind):
        raise CannotTranslate(what)
    return value


def only(value: Mapping[str, Any], *known: str) -> None:
    """Raise CannotTranslate for the first field that is neither known nor empty."""
    for name, content in value.items():
        if content and name not in known:
            raise CannotTranslate(word(name))


def word(name: str) -> str:
    """A field's name, or ``other_field`` where it is long or not an identifier."""
    return name if name.isidentifier() and name.isascii() and len(name) <= 40 else "other_field"


def items(value: Any, what: str) -> Iterator[Mapping[str, Any]]:
    """The objects of a list; nothing for null."""
    for item in expect([] if value is None else value, list, what):
        yield expect(item, dict, what)


def given(value: Mapping[str, Any], names: tuple[str, ...], keep: Callable[[Any], bool] = bool) -> frozenset[str]:
    """Which of the names have a value."""
    return frozenset(name for name in names if name in value and keep(value[name]))
