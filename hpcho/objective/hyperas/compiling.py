"""From a file's path to its templates and to an objective."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hpcho.errors import ObjectiveLoadError
from hpcho.expression import Distribution, Template
from hpcho.objective.hyperas import functions, templates
from hpcho.objective.hyperas.evaluating import HyperasObjective
from hpcho.objective.hyperas.rewriting import rewritten
from hpcho.objective.hyperas.source import Source

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import CodeType

__all__ = ["Compiled", "compile_file"]


@dataclass(frozen=True)
class Compiled:
    """A hyperas file, ready to run. ``templates`` are its parameters, in the order in which they stand.

    ``model`` and ``data`` are the names of the two functions, ``returned`` the names that data() returns (empty unless
    it returns plain names), ``wanted`` the names that the model's code reads, ``distributions`` the numeric templates.
    """

    path: Path
    templates: tuple[Template, ...]
    code: CodeType
    model: str
    data: str
    returned: tuple[str, ...]
    wanted: frozenset[str]
    distributions: Mapping[str, Distribution]

    def load(self) -> HyperasObjective:
        """The file's objective; runs none of its code yet."""
        return HyperasObjective(self)


def compile_file(path: Path) -> Compiled:
    """Read a hyperas file without running it. Raises ObjectiveLoadError with file and line."""
    try:
        return _compile(Source(Path(path).absolute()))
    except RecursionError:
        raise ObjectiveLoadError(f"{path}: an expression is nested too deeply to be read") from None


def _compile(source: Source) -> Compiled:
    found = functions.find(source)
    read = templates.read(source, found)
    if not read.outermost:
        raise source.error(
            found.model,
            f"{found.model.name}() has no template such as {{{{uniform(0, 1)}}}}: there is nothing to search for",
        )
    arguments = found.model.args
    wanted = {each.arg for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)}
    wanted |= {name for statement in found.used_by_model for name in _read_names(statement)}
    returned = _returned(found)
    distributions = {node.label: node for node, _ in read.found.values() if isinstance(node, Distribution)}
    tree = rewritten(source.tree, found, read)
    try:
        code = compile(tree, str(source.path), "exec", dont_inherit=True)
    except SyntaxError as error:
        raise ObjectiveLoadError(f"{source.path}:{error.lineno or 1}: not valid Python 3: {error.msg}") from None
    return Compiled(
        source.path, read.outermost, code, found.model.name, found.data, returned, frozenset(wanted), distributions
    )


def _read_names(statement: ast.stmt) -> Iterator[str]:
    return (node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load))


def _returned(found: functions.Functions) -> tuple[str, ...]:
    """The names in data()'s last statement, ``return a, b``; empty where it returns anything else."""
    last = found.data_function.body[-1] if found.data_function is not None else None
    if not isinstance(last, ast.Return) or last.value is None:
        return ()
    elements = last.value.elts if isinstance(last.value, ast.Tuple) else [last.value]
    names = [element.id for element in elements if isinstance(element, ast.Name)]
    return tuple(names) if len(names) == len(elements) else ()
