"""The pages say what is there: paths, links and commands exist, and the first page is short."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from routing_assets.cli.main import main

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_first_page_has_at_most_700_words() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= 700


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_and_link_of_a_page_leads_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    paths = re.findall(r"`((?:routing_assets|sql|tests|docs)/[\w./-]+)`", text)
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    lost = [path for path in paths if not (ROOT / path).exists()]
    lost += [link for link in links if not (page.parent / link).exists()]
    assert lost == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_make_target_of_a_page_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)`|^make ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE)) <= {
        pair for target in targets for pair in ((target, ""), ("", target))
    }


def test_every_page_is_in_the_navigation_of_the_site() -> None:
    named = re.findall(r"\w[\w-]*\.md", (ROOT / ".mkdocs.yml").read_text(encoding="utf-8"))
    assert sorted(named) == sorted(page.name for page in PAGES[1:])


def test_the_page_of_commands_names_every_command() -> None:
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `([a-z-]+)", page, re.MULTILINE))
    assert named == set(main.commands)


def test_the_page_of_the_article_covers_its_steps() -> None:
    page = (ROOT / "docs" / "article.md").read_text(encoding="utf-8")
    steps = ("70 %", "transformer", "multi-label head", "Temperature", "get_precision", "Threshold", "hull", "NDCH(P)")
    for step in (*steps, "MIP", "latency", "fairness", "Five seeds", "95 %", "70 % of its cost", "escalated"):
        assert step in page
