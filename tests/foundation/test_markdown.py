"""Names that users gave are shown in reports and never act as markup."""

from __future__ import annotations

from datetime import UTC, date, datetime
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing_assets.audit.daily_report import SECTIONS, as_markdown
from routing_assets.cli.tables import text_table
from routing_assets.defs.common import markdown_table
from routing_assets.foundation.markdown import code_block, plain, table

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "a | b",
    "two\nlines\r\n\u2028three",
    "[here](javascript:alert(1))",
    "![](http://elsewhere/pixel)",
    "`code` *loud*",
    "&lt;b&gt;",
    "\x1b[31mred",
]


class Tags(HTMLParser):
    """Collects the tags that a browser would see."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.found.append(tag)


def tags(page: str) -> list[str]:
    parser = Tags()
    parser.feed(page)
    return parser.found


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_adds_no_markup_column_or_line_to_a_report(name: str) -> None:
    report = {section: [] for section in SECTIONS} | {"routed": [{"batch": name, name: 1.0, "at": datetime.now(UTC)}]}
    for page in (as_markdown(date(2026, 1, 2), report), markdown_table([{"model": name, name: 0.5}]).value):
        assert tags(page) == []
        rows = [line for line in page.splitlines() if line.startswith("|")]
        assert len(rows) == 3
        assert len({line.replace("\\|", "").count("|") for line in rows}) == 1
        assert "](" not in page.replace("\\]", "").replace("\\[", "")


@given(st.text())
def test_any_text_is_one_line_without_a_tag(text: str) -> None:
    shown = plain(text)
    assert len(shown.splitlines()) <= 1
    assert "<" not in shown
    assert tags(shown) == []


def test_plain_names_stay_as_they_are() -> None:
    assert plain("Llama-2-13b_hf (eu), 4.5 $") == "Llama-2-13b_hf (eu), 4.5 $"
    assert table([{"a": None, "b": 0.123456, "c": 3}]).splitlines()[-1] == "| - | 0.1235 | 3 |"
    assert markdown_table([]).value == "*nothing*"


def test_no_line_of_the_text_ends_a_code_block() -> None:
    assert code_block("a\n```\nb") == "````\na\n```\nb\n````"


def test_a_table_in_the_terminal_holds_no_control_characters() -> None:
    assert "\x1b" not in text_table([{"model": "\x1b[31mred", "cost": 1.0}])
