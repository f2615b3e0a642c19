"""YAML that people write: plain values, no key twice, and no more values than a person would write."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from routing_assets.foundation.errors import InvalidInput

MAX_BYTES = 10_000_000
MAX_VALUES = 200_000
"""Counted with aliases expanded: a few lines of aliases to aliases can expand to gigabytes."""


@dataclass(frozen=True)
class YamlDocument:
    """The values of a YAML file and their places; ``values`` is None if the file is empty."""

    values: Any
    node: yaml.Node | None

    def line_of(self, place: Sequence[Any]) -> int | None:
        """The line, from 1, of the value at ``place`` (keys and indices), or of its innermost parent that exists."""
        node, line = self.node, None
        for part in place:
            if isinstance(node, yaml.SequenceNode):
                inner = {str(index): (value, value) for index, value in enumerate(node.value)}
            else:
                inner = {key.value: (key, value) for key, value in node.value} if node else {}
            if str(part) not in inner:
                break
            start, node = inner[str(part)]
            line = start.start_mark.line + 1
        return line


def read_yaml(path: Path) -> YamlDocument:
    """The document in a YAML file.

    Raises:
        InvalidInput: the file is absent, too large, not UTF-8 or not plain YAML. The message names the line.
    """
    if not path.is_file():
        raise InvalidInput("there is no such file", source=str(path), remedy="Give the path of a YAML file")
    if path.stat().st_size > MAX_BYTES:
        raise InvalidInput("the file is larger than 10 MB", source=str(path), remedy="Give a YAML file written by hand")
    try:
        return _load(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise InvalidInput("the file is not UTF-8", source=str(path), remedy="Save it as UTF-8") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        raise InvalidInput(
            f"this is not valid YAML: {error.problem}",
            source=str(path),
            row=None if mark is None else mark.line + 1,
            remedy="Correct the line",
        ) from error
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise InvalidInput(f"this is not valid YAML: {error}", source=str(path), remedy="Correct the file") from error
    except RecursionError as error:
        raise InvalidInput("the values are nested too deeply", source=str(path), remedy="Nest them less") from error


class _UniqueKeyLoader(yaml.SafeLoader):
    """A safe loader (no tag can make an object) that refuses a key given twice; PyYAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise yaml.constructor.ConstructorError(None, None, "a key is a list or a mapping", key_node.start_mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key!r} is given twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def _load(text: str) -> YamlDocument:
    loader = _UniqueKeyLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return YamlDocument(None, None)
        if _count(node, {}) > MAX_VALUES:
            raise yaml.YAMLError(f"with its aliases expanded it has more than {MAX_VALUES} values")
        return YamlDocument(loader.construct_document(node), node)
    finally:
        loader.dispose()


def _count(node: yaml.Node, known: dict[int, int | None]) -> int:
    """The number of values in a node, with aliases expanded."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) not in known:
        known[id(node)] = None
        pairs = isinstance(node, yaml.MappingNode)
        children = [child for pair in node.value for child in pair] if pairs else node.value
        known[id(node)] = 1 + sum(_count(child, known) for child in children)
    count = known[id(node)]
    if count is None:
        raise yaml.MarkedYAMLError(problem="a value contains itself", problem_mark=node.start_mark)
    return count
