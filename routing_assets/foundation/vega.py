"""Pictures as Vega-Lite specifications, drawn by the browser in a page that loads nothing."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import vl_convert

from routing_assets.foundation.files import atomic_path

Spec = dict[str, Any]

INK, MUTED, LINE, ACCENT, SECOND = (f"var(--{name})" for name in ("ink", "muted", "line", "accent", "second"))
"""Colours that the page's style sheet defines, for light and dark."""

CONFIG: Spec = {
    "background": None,
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "domainColor": MUTED,
        "gridColor": LINE,
        "labelColor": INK,
        "labelLimit": 220,
        "labelFontSize": 11,
        "tickColor": MUTED,
        "titleColor": INK,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
    },
    "header": {"labelColor": INK, "titleColor": INK, "labelFontSize": 11, "labelLimit": 170},
    "text": {"fill": INK, "fontSize": 11},
    "title": {"color": INK, "anchor": "start", "fontSize": 13},
}
_DRAW = """
for (const place of document.querySelectorAll(".plot")) {
  const spec = JSON.parse(place.querySelector("script").textContent);
  vegaEmbed(place.querySelector("div"), spec, {renderer: "svg", ast: true, actions: false});
}
"""


def titled(spec: Spec, title: str, description: str) -> Spec:
    """The specification with what is read to those who do not see it, in the style of all pictures."""
    schema = "https://vega.github.io/schema/vega-lite/v6.json"
    return {"$schema": schema, "title": title, "description": description, "config": CONFIG, **spec}


def script(folder: Path) -> str:
    """JavaScript that draws the specification in each element of the class ``plot``, with Vega and all that it needs.

    Args:
        folder: keeps the script, which takes seconds to bundle, for the next page.
    """
    of = sha256((version("vl-convert-python") + _DRAW).encode()).hexdigest()[:12]
    kept = folder / f".vega-{of}.js"
    if not kept.exists():
        with atomic_path(kept) as temporary:
            temporary.write_text(vl_convert.javascript_bundle(_DRAW), encoding="utf-8")
    return kept.read_text(encoding="utf-8")


def allowed(text: str) -> str:
    """The source of a content security policy that allows this inline script and no other."""
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
