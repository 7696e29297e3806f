"""Finds the functions of a hyperas file: the model's, the data's, and what each of them uses."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpcho.errors import ObjectiveLoadError
from hpcho.objective.hyperas.source import Function, Source, dotted, is_main_guard, module_statements

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Functions", "find"]

_MODEL_POSITION = {
    "hyperas.optim.minimize": 0,
    "hyperas.optim.base_minimizer": 0,
    "hyperas.optim.best_models": 1,
    "hyperas.optim.best_ensemble": 1,
}
"""hyperas's functions that search, and which of their arguments is the model function; the data come next."""


@dataclass(frozen=True)
class Functions:
    """``model`` is the function whose templates are searched over; ``data`` is the name of what gives its arguments.

    ``data_function`` is None where data comes from another module. ``used_by_model`` and ``used_by_data`` are the
    statements of the module that they reach by name, themselves included. ``dropped`` statements are not to be run:
    a search that no main guard protects, and what follows it.
    """

    model: Function
    data: str
    data_function: Function | None
    used_by_model: frozenset[ast.stmt]
    used_by_data: frozenset[ast.stmt]
    dropped: frozenset[ast.stmt]


def find(source: Source) -> Functions:
    """Raises ObjectiveLoadError where the model or data function is missing or ambiguous."""
    statements = module_statements(source.tree)
    functions = {each.name: each for each in statements if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef))}
    searches = list(_searches(source))
    bound = {name for statement in statements for name in _binds(statement)}
    model = _named(source, searches, "model", functions) or _by_name(source, ("create_model", "model"), functions)
    data = _named(source, searches, "data", bound) or _by_name(source, ("data",), bound)
    return Functions(
        functions[model],
        data,
        functions.get(data),
        _reached(statements, model),
        _reached(statements, data),
        _dropped(source, searches),
    )


def _searches(source: Source) -> Iterator[tuple[ast.Call, int]]:
    """The calls of ``optim.minimize`` and its like, whatever they were imported as; with the model's position."""
    names: dict[str, str] = {}
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            names |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and (called := dotted(node.func)) is not None:
            first, dot, rest = called.partition(".")
            position = _MODEL_POSITION.get(names.get(first, first) + dot + rest)
            if position is not None:
                _refuse_notebook(source, node)
                yield node, position


def _refuse_notebook(source: Source, search: ast.Call) -> None:
    for keyword in search.keywords:
        if keyword.arg == "notebook_name" and not (
            isinstance(keyword.value, ast.Constant) and keyword.value.value is None
        ):
            raise source.error(
                keyword.value,
                "notebook_name= reads a Jupyter notebook, which is not supported: "
                "keep everything in this file and remove that argument",
            )


def _named(source: Source, searches: Iterable[tuple[ast.Call, int]], role: str, known: Iterable[str]) -> str | None:
    """The function of this file that the search calls name for a role; None where they name none."""
    names: dict[str, ast.Call] = {}
    for search, model_position in searches:
        position = model_position + (role == "data")
        given = [keyword.value for keyword in search.keywords if keyword.arg == role]
        given += search.args[position : position + 1]
        names |= {tree.id: search for tree in given if isinstance(tree, ast.Name) and tree.id in known}
    if len(names) > 1:
        places = " and ".join(f"{role}={name} (line {search.lineno})" for name, search in names.items())
        raise source.error(next(iter(names.values())), f"this file searches with {places}: keep one search a file")
    return next(iter(names), None)


def _by_name(source: Source, names: tuple[str, ...], known: Iterable[str]) -> str:
    """The one of the customary names that the file has."""
    present = [name for name in names if name in known]
    if len(present) == 1:
        return present[0]
    role = names[-1]
    if not present:
        raise ObjectiveLoadError(
            f"{source.path}: there is no function {' or '.join(f'{name}()' for name in names)} at the top of "
            f"this file: define it, or name another one in optim.minimize({role}=...)"
        )
    raise ObjectiveLoadError(
        f"{source.path}: both {' and '.join(f'{name}()' for name in present)} could be the model function: "
        f"say which in optim.minimize({role}=...)"
    )


def _binds(statement: ast.stmt) -> set[str]:
    """The names that a statement of the module gives a value."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return {statement.name}
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        return {(alias.asname or alias.name).partition(".")[0] for alias in statement.names}
    return {node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}


def _reached(statements: list[ast.stmt], root: str) -> frozenset[ast.stmt]:
    """The statements that bind ``root``, or a name that a reached statement reads."""
    binding: dict[str, list[ast.stmt]] = {}
    for statement in statements:
        for name in _binds(statement):
            binding.setdefault(name, []).append(statement)
    reached: set[ast.stmt] = set()
    waiting = list(binding.get(root, ()))
    while waiting:
        statement = waiting.pop()
        if statement not in reached:
            reached.add(statement)
            for node in ast.walk(statement):
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                    waiting += binding.get(node.id, ())
    return frozenset(reached)


def _dropped(source: Source, searches: Iterable[tuple[ast.Call, int]]) -> frozenset[ast.stmt]:
    """A search in the open, outside of functions and the main guard, and all that follows and is no definition."""
    for search, _ in searches:
        chain = [parent for _, parent in source.around(search)]
        if any(isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef)) or is_main_guard(each) for each in chain):
            continue
        body = source.tree.body
        first = next(number for number, statement in enumerate(body) if statement in chain)
        kept = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)
        return frozenset(statement for statement in body[first:] if not isinstance(statement, kept))
    return frozenset()
