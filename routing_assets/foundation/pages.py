"""Pages for people: one HTML file that loads nothing, light and dark, whose pictures a script in it draws."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from routing_assets.foundation.vega import Spec, allowed


def page(template: Path, script: str, figures: Mapping[str, Any], **values: Any) -> str:
    """The page of a template that extends ``page.html.j2``. Whatever comes from outside is escaped.

    Args:
        script: draws the pictures, see ``vega.script``.
        figures: the numbers of the page without rounding, for programs.
    """
    allowed_script = Markup(allowed(script))  # noqa: S704  base64
    return (
        _environment(template.parent)
        .get_template(template.name)
        .render(
            script=Markup(script),  # noqa: S704  of an installed package
            allowed=allowed_script,
            figures=figures,
            **values,
        )
    )


def plot(spec: Spec) -> Markup:
    """Where a picture is drawn."""
    place = '<div class="plot"><div></div><script type="application/json">{}</script></div>'
    return Markup(place).format(htmlsafe_json_dumps(spec))  # noqa: S704  which escapes what it puts in


def usd(value: float) -> str:
    """An amount with four significant digits; from 100,000 USD on, whole dollars."""
    if value == float("inf"):
        return "unlimited USD"
    return f"{value:,.0f} USD" if abs(value) >= 1e5 else f"{value:.4g} USD"


def percent(share: float) -> str:
    """A share, with one decimal."""
    return f"{share:.1%}"


FILTERS: dict[str, Callable[..., Any]] = {"usd": usd, "percent": percent}


@cache
def _environment(folder: Path) -> Environment:
    environment = Environment(
        loader=FileSystemLoader([folder, Path(__file__).parent]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= FILTERS
    environment.globals["plot"] = plot
    return environment
