"""``--set KEY=VALUE``: values from the command line in place of those in the YAML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hpcho.errors import ExperimentError, Problem
from hpcho.experiment.schema import LauncherSpec, SamplerSpec
from hpcho.experiment.source import Setting
from hpcho.experiment.wording import Path, dotted, shown
from hpcho.experiment.yaml12 import Builder, parse

__all__ = ["apply"]

SHORT_FORMS = {("launcher",): LauncherSpec.read, ("sampler",): SamplerSpec.read}


def apply(data: Mapping[str, Any], texts: Sequence[str]) -> tuple[Mapping[str, Any], list[Setting], list[Problem]]:
    """``data`` with each setting put in its place, the settings that could be, and what is wrong with the others."""
    settings, problems = [], []
    for text in texts:
        try:
            path, value = _read(text)
            data = _put(data, path, value, ())
            settings.append(Setting(text, path))
        except ValueError as error:
            problems.append(Problem(f"--set {text}", 0, 0, "", str(error)))
    return data, settings, problems


def _read(text: str) -> tuple[tuple[str, ...], Any]:
    """Path and value of KEY=VALUE. Raises ValueError."""
    key, equals, value_text = text.partition("=")
    path = tuple(key.split("."))
    if not equals or not all(path):
        raise ValueError("must be KEY=VALUE, as in launcher.local.workers=4")
    if path[0] == "extends":
        raise ValueError("files to extend are named in the YAML alone: write it there")
    try:
        node = parse(value_text, "--set")
    except ExperimentError as error:
        raise ValueError(error.problems[0].message) from None
    builder = Builder()
    value = None if node is None else builder.value(node, ())
    if builder.flaws:
        raise ValueError(builder.flaws[0].message)
    return path, value


def _put(data: Any, path: Sequence[str], value: Any, done: Path) -> Any:
    """A copy of ``data`` with ``value`` at ``path``; what an alias shares elsewhere keeps its value."""
    if not path:
        return value
    data = SHORT_FORMS[done](data) if done in SHORT_FORMS else data
    part, rest = path[0], path[1:]
    number = int(part) if part.isdecimal() else None
    if isinstance(data, list):
        if number is None or number >= len(data):
            raise ValueError(f"{dotted(done)} is a list of {len(data)}: it has no element {part!r} (the first is 0)")
        return [*data[:number], _put(data[number], rest, value, (*done, number)), *data[number + 1 :]]
    if data is not None and not isinstance(data, Mapping):
        raise ValueError(f"{dotted(done)} is {shown(data)} in the YAML, so it has nothing named {part!r} in it")
    data = data or {}
    key = number if number in data and part not in data else part
    return {**data, key: _put(data.get(key), rest, value, (*done, key))}
