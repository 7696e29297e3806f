"""YAML as hpcho reads it: PyYAML's syntax with YAML 1.2's core scalars.

``1e-5`` and ``0o17`` are numbers; ``on``, ``no``, ``24:00:00``, ``1_000`` and dates are strings.
"""

from __future__ import annotations

import math
import re
from typing import Any

import yaml
from yaml.composer import Composer
from yaml.nodes import Node, ScalarNode, SequenceNode
from yaml.parser import Parser
from yaml.reader import Reader, ReaderError
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner

from hpcho.errors import ExperimentError, Problem
from hpcho.experiment.wording import Flaw, Path, shown

__all__ = ["Builder", "parse", "scalar"]

TAG = "tag:yaml.org,2002:"

SCALARS = {
    "null": r"null|Null|NULL|~|",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+",
    "float": r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
}

DEEPEST = 100
"""Levels of lists and mappings; JSON writers and readers have an end, too."""

HINTS = {
    "found character '\\t'": "a tab stands where YAML wants spaces: indent with spaces",
    "mapping values are not allowed here": "this ':' begins another value: put a text with ': ' in it in quotes, "
    "and check the indentation",
    "found another document": "a second document begins here: one file is one experiment",
    "found undefined alias": "this alias (*name) has no anchor (&name) above it",
}
"""What PyYAML says -> what to do about it."""


class _Loader(Reader, Scanner, Parser, Composer, BaseResolver):
    """PyYAML's syntax with YAML 1.2's scalars; composes nodes, builds no objects."""

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        BaseResolver.__init__(self)


for _name, _pattern in SCALARS.items():
    _Loader.add_implicit_resolver(TAG + _name, re.compile(rf"(?:{_pattern})\Z"), None)


def parse(text: str, file: str) -> Node | None:
    """The nodes of a YAML text; None when it is empty. Raises ExperimentError with the place of a syntax error."""
    try:
        node: Node | None = _Loader(text).get_single_node()
    except ReaderError as error:
        before = text[: error.position]
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        message = f"the control character U+{ord(text[error.position]):04X} cannot stand in YAML: remove it"
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        assert mark is not None
        line, column = mark.line + 1, mark.column + 1
        said = str(error.problem)
        message = next((hint for symptom, hint in HINTS.items() if symptom in said), f"is not valid YAML: {said}")
    except RecursionError:
        line, column, message = 1, 1, "is nested too deeply"
    else:
        return node
    raise ExperimentError([Problem(file, line, column, "", message)])


class Builder:
    """Makes the values of nodes, and collects what is wrong with them short of syntax."""

    def __init__(self) -> None:
        self.flaws: list[Flaw] = []
        self._done: dict[int, Any] = {}
        self._begun: set[int] = set()

    def value(self, node: Node, path: Path) -> Any:
        """The value of a node that stands at ``path``; one object for all places where an alias repeats it."""
        if id(node) in self._done:
            return self._done[id(node)]
        if id(node) in self._begun:
            self.flaws.append(Flaw(path, "an anchor (&name) must not contain itself (*name)"))
            return None
        self._begun.add(id(node))
        made: Any = None
        if len(path) > DEEPEST:
            self.flaws.append(Flaw(path[:DEEPEST], f"is nested more than {DEEPEST} levels deep"))
        elif isinstance(node, ScalarNode):
            made = self._scalar(node, path)
        elif node.tag not in (TAG + "seq", TAG + "map"):
            self.flaws.append(Flaw(path, f"the tag {node.tag} is not known here: remove it"))
        elif isinstance(node, SequenceNode):
            made = [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        else:
            made = self._mapping(node, path)
        self._done[id(node)] = made
        return made

    def _scalar(self, node: ScalarNode, path: Path) -> Any:
        try:
            return scalar(node)
        except UnicodeDecodeError:
            self.flaws.append(Flaw(path, "an escape such as \\ud83d is half a character: write the whole one"))
        except (KeyError, ValueError):
            self.flaws.append(Flaw(path, f"the tag {node.tag} does not fit {shown(node.value)}: remove it"))
        return None

    def _mapping(self, node: Node, path: Path) -> dict[Any, Any]:
        made: dict[Any, Any] = {}
        lines: dict[Any, int] = {}
        for key_node, value_node in node.value:
            place = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            if not isinstance(key_node, ScalarNode):
                self.flaws.append(Flaw(path, "a key must be plain text, not a list or a mapping", place=place))
                continue
            key = self._scalar(key_node, path)
            if key in made:
                message = f"this key was given before, in line {lines[key]}: remove one of the two"
                self.flaws.append(Flaw((*path, key), message, place=place))
                continue
            lines[key] = place[0]
            made[key] = self.value(value_node, (*path, key))
        return made


def scalar(node: ScalarNode) -> Any:
    """A scalar's value. Raises KeyError for an unknown tag, ValueError for a text that its tag cannot take."""
    text: str = node.value
    name = node.tag.removeprefix(TAG)
    if name == "str":
        # "\ud83d\ude00" is how JSON escapes one character beyond U+FFFF; PyYAML makes two halves of it.
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    if not re.fullmatch(SCALARS[name], text):
        raise ValueError(text)
    if name == "null":
        return None
    if name == "bool":
        return text.lower() == "true"
    if name == "int":
        return int(text, 8 if text.startswith("0o") else 16 if text.startswith("0x") else 10)
    return _float(text.lower())


def _float(text: str) -> float:
    if text.endswith("inf"):
        return -math.inf if text.startswith("-") else math.inf
    return math.nan if text == ".nan" else float(text)
