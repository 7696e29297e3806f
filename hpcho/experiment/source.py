"""An experiment's YAML with the place of each value in it."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from hpcho.errors import ExperimentError, Problem
from hpcho.experiment.wording import Flaw, Path, dotted, shown
from hpcho.experiment.yaml12 import Builder, parse, scalar

if TYPE_CHECKING:
    from pathlib import Path as File

__all__ = ["Setting", "Source", "missing_file", "read_file"]


@dataclass(frozen=True)
class Setting:
    """One ``--set KEY=VALUE``: its text and the path that its key names."""

    text: str
    path: tuple[str, ...]


@dataclass(frozen=True)
class Source:
    """An experiment's YAML: the text, and where each value in it stands. ``file`` is the path as the user wrote it.

    ``bases`` are the files that it extends, those that win first. ``data`` is all of it, in force.
    """

    file: str
    text: str
    root: Node = field(repr=False)
    settings: tuple[Setting, ...] = ()
    bases: tuple[Source, ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def problem(self, path: Path, message: str, *, at_key: bool = False, offset: int | None = None) -> Problem:
        """A problem at the value of ``path`` or at its key; ``offset`` counts characters into a one-line string.

        What is in no file is placed at the part of its path that is, what ``--set`` gave at that setting.
        """
        source, nodes = self._place(path)
        found = len(nodes) - 1
        setting = self._setting(path, is_here=found == len(path))
        if setting is not None:
            key = "" if setting.text.startswith(f"{dotted(path)}=") else dotted(path)
            return Problem(f"--set {setting.text}", 0, 0, key, message)
        key_node, node = nodes[-1]
        is_short_form = found < len(path) and isinstance(node, ScalarNode)
        at_key = not is_short_form and (at_key or found < len(path))
        mark = key_node.start_mark if at_key and key_node is not None else node.start_mark
        column = mark.column + 1 + (0 if offset is None or at_key else _into(source.text, node, offset))
        return Problem(source.file, mark.line + 1, column, dotted(path[:found] if is_short_form else path), message)

    def flaw(self, flaw: Flaw) -> Problem:
        """A flaw with its place."""
        problem = self.problem(flaw.path, flaw.message, at_key=flaw.at_key, offset=flaw.offset)
        return replace(problem, line=flaw.place[0], column=flaw.place[1]) if flaw.place and problem.line else problem

    def taken(self) -> dict[str, list[tuple[Path, Any]]]:
        """What holds because an extended file says so: for each file the paths and values."""
        found: dict[str, list[tuple[Path, Any]]] = {base.file: [] for base in self.bases}
        for path, value in _leaves(self.data, ()):
            source, nodes = self._place(path)
            is_here = len(nodes) > len(path)
            if source is not self and is_here and self._setting(path, is_here=True) is None:
                found[source.file].append((path, value))
        return found

    def _place(self, path: Path) -> tuple[Source, list[tuple[Node | None, Node]]]:
        """The file that says what holds at ``path``, or most of the way to it, and the nodes on the way."""
        place, way = self, list(_walk(self.root, path))
        for base in self.bases:
            if isinstance(way[-1][1], SequenceNode):  # lists are not merged
                break
            nodes = list(_walk(base.root, path))
            if len(nodes) > len(way):
                place, way = base, nodes
        return place, way

    def _setting(self, path: Path, *, is_here: bool) -> Setting | None:
        """The setting that gave what stands at ``path``, if one did."""
        words = tuple(map(str, path))
        for setting in reversed(self.settings):
            gave_it = words[: len(setting.path)] == setting.path
            gave_part = setting.path[: len(words)] == words and not is_here
            if gave_it or gave_part:
                return setting
        return None


def _leaves(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    """What extended files merge: all but mappings, and each parameter of the space as a whole."""
    is_parameter = path[:1] == ("space",) and len(path) > 1
    if isinstance(value, Mapping) and not is_parameter:
        for key, item in value.items():
            yield from _leaves(item, (*path, key))
    else:
        yield path, value


def _walk(root: Node, path: Path) -> Iterator[tuple[Node | None, Node]]:
    """Key and value nodes from the root along ``path``, as far as it exists."""
    node = root
    yield None, node
    for part in path:
        step = _child(node, part)
        if step is None:
            return
        yield step
        node = step[1]


def _into(text: str, node: Node, offset: int) -> int:
    """How far right of the node's start the ``offset``-th character of its value stands; 0 where unknown."""
    if not isinstance(node, ScalarNode) or node.start_mark.line != node.end_mark.line:
        return 0
    raw = text[node.start_mark.index : node.end_mark.index]
    start = raw.find(node.value)
    return start + offset if start >= 0 else 0


def _child(node: Node, part: Any) -> tuple[Node | None, Node] | None:
    if isinstance(node, MappingNode):
        for key, value in node.value:
            if isinstance(key, ScalarNode) and _same(scalar(key), part):
                return key, value
    elif isinstance(node, SequenceNode) and isinstance(part, int) and 0 <= part < len(node.value):
        return None, node.value[part]
    return None


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other)


def read_file(path: File, *, is_base: bool = False) -> tuple[dict[str, Any], Source, list[Problem]]:
    """One file's value, its places, and what is wrong short of its syntax (duplicate keys). Raises ExperimentError.

    ``is_base``: another file extends it.
    """
    file = str(path)
    text = _decode(_bytes(path), file)
    root = parse(text, file)
    if root is None:
        need = (
            "put into it what several experiments share"
            if is_base
            else "it needs at least name:, objective: and budget:"
        )
        raise ExperimentError([Problem(file, 1, 1, "", f"is empty: {need}")])
    source = Source(file, text, root)
    builder = Builder()
    value = builder.value(root, ())
    if not isinstance(value, dict):
        message = f"must be a mapping (name: ..., objective: ...), not {shown(value)}"
        raise ExperimentError([source.problem((), message)])
    return value, source, [source.flaw(flaw) for flaw in builder.flaws]


def _bytes(path: File) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        message = "there is no such file" + missing_file(path)
    except IsADirectoryError:
        message = "is a folder: name the YAML file in it"
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
    raise ExperimentError([Problem(str(path), 0, 0, "", message)])


def missing_file(path: File) -> str:
    """What may be meant instead of a YAML file that is not there, as the end of a sentence."""
    try:
        names = sorted(entry.name for entry in path.parent.iterdir() if entry.suffix in (".yaml", ".yml"))
    except OSError:
        return f", nor its folder {path.parent}"
    near = difflib.get_close_matches(path.name, names, n=1, cutoff=0.5)
    return f"; did you mean {path.with_name(near[0])}?" if near else ""


def _decode(raw: bytes, file: str) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - raw.rfind(b"\n", 0, error.start)
        message = f"is not UTF-8 text (byte 0x{raw[error.start]:02x}): save it as UTF-8"
        raise ExperimentError([Problem(file, line, column, "", message)]) from None
