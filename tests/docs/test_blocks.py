"""Every block of the pages is checked: commands are understood, samples read, code runs, output is what it prints."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from blocks import BLOCKS, INLINE, ROOT, Block

from routing_assets.answers.reading import read_answers
from routing_assets.batches.policy import StandingPolicy, layout_of
from routing_assets.batches.receive import private_copy
from routing_assets.cli.main import main
from routing_assets.datasets import load_batch
from routing_assets.datasets.outcomes import load_outcomes
from routing_assets.foundation.schema import read_values
from routing_assets.home import Home
from routing_assets.pricing.catalog_table import read_catalog
from routing_assets.routers.label_sources import read_labels

ENDING = {"json": ".jsonl", "csv": ".csv", "yaml": ".yaml"}
NEEDS_MORE = ("make", "pip", "export", "curl")
"""Commands that no test runs: .ci/run runs make; the others need a network, a key, or another installation."""
IN_ORDER = (("README.md",), ("own-data.md", "audit.md", "data-dictionary.md", "operations.md"))
"""Pages whose commands are executed in one folder, one after the other."""
NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?")


def ran_by_a_page(block: Block) -> bool:
    return any(block.page in pages for pages in IN_ORDER)


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_every_block_says_how_it_is_checked(block: Block) -> None:
    before = [other for other in BLOCKS if other.page == block.page and other.line < block.line]
    if block.tag:
        assert re.fullmatch(r"read as: \w+(, \w+=[\w.]+)*|not run: .{8,}", block.tag)
        assert block.language
    elif block.language == "text":
        assert before, "what prints this?"
        assert before[-1].language in ("sh", "python")
    else:
        assert block.language in ("sh", "python"), "say before it: <!-- read as: KIND --> or <!-- not run: REASON -->"


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "sh"], ids=str)
def test_every_command_of_a_block_is_understood(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    for command in block.commands:
        words = shlex.split(command)
        if words[0] == "routing-assets":
            understood(words[1:], monkeypatch)
        else:
            assert words[0] in NEEDS_MORE or block.tag.startswith("not run") or ran_by_a_page(block), command


@pytest.mark.parametrize(("page", "command"), INLINE)
def test_every_command_within_a_sentence_is_understood(
    page: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = shlex.split(command)[1:]
    if "=" not in words[0] and len(words) == 1:
        assert words[0] in main.commands
    else:
        understood(words, monkeypatch)


def understood(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Raise where click does not take the words; files need not exist."""
    command: click.Command = main
    context = click.Context(main)
    while isinstance(command, click.Group):
        name, command, words = command.resolve_command(context, words)
        assert command is not None, name
    for parameter in command.params:
        if isinstance(parameter.type, click.Path):
            monkeypatch.setattr(parameter.type, "exists", False)
    command.make_context(command.name, words)


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.tag.startswith("read as")], ids=str)
def test_every_sample_is_read(block: Block, tmp_path: Path) -> None:
    kind, *given = block.tag.removeprefix("read as: ").split(", ")
    options = dict(option.split("=") for option in given)
    path = tmp_path / options.pop("file", f"sample{ENDING[block.language]}")
    path.write_text(block.records, encoding="utf-8")
    if kind == "batch":
        with private_copy(Home(tmp_path / "home").create().folders, path, None, of_requests=True) as copy:
            read = load_batch(copy.path, layout=layout_of(options))
        assert len(read) > 0
        assert not read.set_aside
    elif kind == "labels":
        assert len(read_labels(str(path), **options)) > 0
    elif kind == "catalog":
        catalog = read_catalog(str(path))
        assert catalog is not None
        assert catalog.names
    elif kind == "answers":
        assert read_answers(path).answers
    elif kind == "outcomes":
        assert load_outcomes(path)
    else:
        assert kind == "policy"
        assert read_values(StandingPolicy, yaml.safe_load(block.text), source=str(block)) != StandingPolicy()


@pytest.mark.parametrize(
    "block", [b for b in BLOCKS if b.language == "python" and not b.tag and not ran_by_a_page(b)], ids=str
)
def test_code_runs_and_prints_what_the_page_shows(block: Block) -> None:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(block.text, str(block), "exec"), {"__name__": "page"})
    after = BLOCKS[BLOCKS.index(block) + 1 :][:1]
    if after and after[0].page == block.page and after[0].language == "text":
        assert printed.getvalue() == after[0].text


@pytest.mark.slow  # a router is trained for each group of pages
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("pages", IN_ORDER, ids=lambda pages: pages[0])
def test_the_commands_of_pages_run_in_order_and_print_what_the_pages_show(
    pages: tuple[str, ...], tmp_path: Path
) -> None:
    shim = tmp_path / "bin" / "routing-assets"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\nexec {sys.executable} -m routing_assets.cli "$@"\n', encoding="utf-8")
    shim.chmod(0o755)
    here = {name: value for name, value in os.environ.items() if not name.endswith("_HOME")}
    paths = os.pathsep.join([str(shim.parent), str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = here | {"PATH": paths, "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
    printed = ""
    for block in [block for page in pages for block in BLOCKS if block.page == page and not block.tag]:
        if block.language == "text":
            shows(printed, block)
            continue
        script = block.text
        if block.language == "sh":
            script = "\n".join(command for command in block.commands if shlex.split(command)[0] not in NEEDS_MORE)
        program: list[Any] = ["bash", "-ec"] if block.language == "sh" else [sys.executable, "-c"]
        done = subprocess.run(
            [*program, script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{block}: {done.stdout}{done.stderr}"
        printed = done.stdout


def shows(printed: str, block: Block) -> None:
    """Whether the lines of a block were printed, in order. ``...`` is anything; numbers may differ a little."""
    rest = iter(printed.splitlines())
    for shown in filter(None, block.text.splitlines()):
        if shown.strip() == "...":
            continue
        form = re.escape(NUMBER.sub("#", shown)).replace(r"\.\.\.", ".*")
        line = next((line for line in rest if re.fullmatch(form, NUMBER.sub("#", line))), None)
        assert line is not None, f"{block}: not printed: {shown}\n{printed}"
        if "..." not in shown:
            pairs = zip(NUMBER.findall(line), NUMBER.findall(shown), strict=True)
            assert all(float(one) == pytest.approx(float(other), rel=0.1, abs=2) for one, other in pairs), line
