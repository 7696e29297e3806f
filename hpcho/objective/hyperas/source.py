"""A hyperas file as text and syntax tree, and what its places and statements are."""

from __future__ import annotations

import ast
import itertools
import tokenize
import warnings
from typing import TYPE_CHECKING, TypeAlias

from hpcho.errors import ObjectiveLoadError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

__all__ = ["Function", "Source", "dotted", "is_deferred", "is_main_guard", "module_statements"]

Function: TypeAlias = "ast.FunctionDef | ast.AsyncFunctionDef"
_BLOCKS = (ast.stmt, ast.excepthandler, ast.match_case)


class Source:
    """One file. ``parents`` leads from each node of ``tree`` to the one around it."""

    def __init__(self, path: Path) -> None:
        """Read and parse ``path``. Raises ObjectiveLoadError."""
        self.path = path
        if path.suffix == ".ipynb":
            raise ObjectiveLoadError(
                f"{path}: Jupyter notebooks are not supported: save it as a Python file "
                "(jupyter nbconvert --to script) and name that"
            )
        self.text = self._read()
        self.tree = self._parse()
        lengths = (len(line) + 1 for line in self.text.split("\n"))
        self._starts = [0, *itertools.accumulate(lengths)]
        self.parents = {child: parent for parent in ast.walk(self.tree) for child in ast.iter_child_nodes(parent)}

    def _read(self) -> str:
        try:
            with tokenize.open(self.path) as file:  # heeds a coding comment, as Python does
                return file.read()
        except FileNotFoundError:
            raise ObjectiveLoadError(f"{self.path}: there is no such file") from None
        except (OSError, SyntaxError, UnicodeError) as error:
            raise ObjectiveLoadError(f"{self.path}: cannot be read: {error}") from None

    def _parse(self) -> ast.Module:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the file's own warnings are shown when it runs
                return ast.parse(self.text, str(self.path))
        except SyntaxError as error:
            raise ObjectiveLoadError(f"{self.path}:{error.lineno or 1}: not valid Python 3: {error.msg}") from None
        except (ValueError, RecursionError, MemoryError) as error:
            raise ObjectiveLoadError(f"{self.path}: cannot be read as Python: {error}") from None

    def offset(self, node: ast.expr | ast.stmt) -> int:
        """Characters before a node."""
        return self._offset(node.lineno, node.col_offset)

    def _offset(self, line: int, column: int) -> int:
        """``ast`` counts columns in UTF-8 bytes."""
        start = self._starts[line - 1]
        return start + len(self.text[start : self._starts[line]].encode()[:column].decode(errors="ignore"))

    def segment(self, node: ast.expr) -> str:
        """The node's own text."""
        end = self._offset(node.end_lineno or node.lineno, node.end_col_offset or node.col_offset)
        return self.text[self.offset(node) : end]

    def error(self, place: ast.expr | ast.stmt | int, message: str) -> ObjectiveLoadError:
        """An error at a node, or after so many characters of the file."""
        line = self.text.count("\n", 0, place) + 1 if isinstance(place, int) else place.lineno
        return ObjectiveLoadError(f"{self.path}:{line}: {message}")

    def around(self, node: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
        """(child, parent), from a node outwards to the module."""
        while (parent := self.parents.get(node)) is not None:
            yield node, parent
            node = parent


def module_statements(tree: ast.Module) -> list[ast.stmt]:
    """The simple statements and definitions that run when the file is imported, also inside if, try and with."""
    return list(_simple(tree.body))


def _simple(nodes: Iterable[ast.AST]) -> Iterator[ast.stmt]:
    for node in nodes:
        if isinstance(node, ast.If) and is_main_guard(node):
            yield from _simple(node.orelse)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node
        else:
            inner = [each for each in ast.iter_child_nodes(node) if isinstance(each, _BLOCKS)]
            if inner:
                yield from _simple(inner)
            elif isinstance(node, ast.stmt):
                yield node


def is_main_guard(node: ast.AST) -> bool:
    """Whether this is ``if __name__ == "__main__":``."""
    return isinstance(node, ast.If) and any(
        isinstance(name, ast.Name) and name.id == "__name__" for name in ast.walk(node.test)
    )


def is_deferred(child: ast.AST, parent: ast.AST) -> bool:
    """Whether ``child`` runs only when the function or lambda ``parent`` is called."""
    if isinstance(parent, ast.Lambda):
        return child is parent.body
    return isinstance(parent, (ast.FunctionDef, ast.AsyncFunctionDef)) and child in parent.body


def dotted(node: ast.AST) -> str | None:
    """``a.b.c`` for such an expression, else None."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (owner := dotted(node.value)) is not None:
        return f"{owner}.{node.attr}"
    return None
