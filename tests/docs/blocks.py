"""The code blocks of the pages: each says in a comment before it how it is checked, or why it is not."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(
    r"(?:^ *<!-- (?P<tag>[^\n]*) -->\n)?^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^ *```$", re.M | re.S
)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    tag: str
    """``read as: KIND, option=value`` of a sample (``file=NAME``: under that name), or ``not run: REASON``; empty
    for code, which runs, and its output."""
    text: str

    @property
    def commands(self) -> list[str]:
        """The lines of a shell block, each without its comment."""
        joined = self.text.replace("\\\n", " ")
        return [bare for line in joined.splitlines() if (bare := re.sub(r"(^|\s)# .*", "", line).strip())]

    @property
    def records(self) -> str:
        """The text with each JSON value on one line, as a file has it."""
        if self.language != "json":
            return self.text
        decoder, rest, values = json.JSONDecoder(), self.text.strip(), []
        while rest:
            value, end = decoder.raw_decode(rest)
            values.append(json.dumps(value))
            rest = rest[end:].lstrip()
        return "\n".join(values) + "\n"

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(page: Path) -> Iterator[Block]:
    """Every block of a page, in order."""
    text = page.read_text(encoding="utf-8")
    for found in FENCE.finditer(text):
        body = re.sub(f"^{found['indent']}", "", found["text"], flags=re.M)
        line = text.count("\n", 0, found.start("language")) + 1
        yield Block(page.name, line, found["language"], found["tag"] or "", body)


BLOCKS = [block for page in PAGES for block in blocks_of(page)]
INLINE = [
    (page.name, command)
    for page in PAGES
    for command in re.findall(r"`(routing-assets [a-z][^`\n]*)`", page.read_text(encoding="utf-8"))
]
