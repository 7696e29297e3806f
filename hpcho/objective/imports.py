"""Which files of a folder a Python file imports, found by reading and never by running it."""

from __future__ import annotations

import ast
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["LARGE_BYTES", "local_files", "module_files", "package_of"]

LARGE_BYTES = 1_000_000
MANY_FILES = 1000


def local_files(start: Iterable[Path], root: Path) -> set[Path]:
    """``start``, and all files below ``root`` that the imports of its Python files reach."""
    found: set[Path] = set()
    waiting = list(start)
    while waiting:
        file = waiting.pop()
        if file not in found:
            found.add(file)
            waiting += _imported(file, root) if file.suffix == ".py" else ()
    return found


def module_files(name: str, base: Path) -> list[Path]:
    """The files of the dotted module ``name`` where ``base`` is on the path: a module's file, or its whole package.

    Empty when it is not there. A folder without ``__init__.py`` counts as a package only where the rest of the name is
    found in it: else an installed module of that name, which Python prefers, is what was meant.
    """
    first, _, rest = name.partition(".")
    package, module = base / first, base / f"{first}.py"
    if (package / "__init__.py").is_file():
        return list(_package_files(package))
    if module.is_file():
        return [module]
    return module_files(rest, package) if rest and package.is_dir() else []


def package_of(file: Path, root: Path) -> list[Path]:
    """``file``, with the whole of the outermost package that it is part of, if any."""
    folder, package = file.parent, None
    while folder != root and (folder / "__init__.py").is_file():
        folder, package = folder.parent, folder
    return [file, *_package_files(package)] if package else [file]


def _package_files(package: Path) -> Iterator[Path]:
    """The package's files, without caches, hidden ones, files of 1 MB and more, and folders full of data."""
    for folder, folders, names in os.walk(package):
        folders[:] = [name for name in folders if name != "__pycache__" and not name.startswith(".")]
        if len(names) > MANY_FILES and not any(name.endswith(".py") for name in names):
            continue
        for name in names:
            file = Path(folder, name)
            if not name.startswith(".") and file.is_file() and file.stat().st_size < LARGE_BYTES and _is_text(name):
                yield file


def _is_text(name: str) -> bool:
    """Whether a file name is valid text, so that the manifest can hold it."""
    return name.encode("utf-8", "ignore").decode() == name


def _imported(file: Path, root: Path) -> list[Path]:
    """The files below ``root`` that the import statements of ``file`` name, wherever in it they stand."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, RecursionError, OSError):
        return []  # loading the file will say what is wrong, with a traceback
    # beside a script is where Python looks as well; inside a package it is not
    bases = {root} if (file.parent / "__init__.py").is_file() else {root, file.parent}
    files: list[Path] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names, places = [alias.name for alias in node.names], bases
        elif isinstance(node, ast.ImportFrom):
            names = [".".join(filter(None, (node.module, alias.name))) for alias in node.names]
            places = bases if node.level == 0 else set(file.parents[node.level - 1 : node.level])
        else:
            continue
        for base in places:
            if base.is_relative_to(root):
                files += (found for name in names for found in module_files(name, base))
    return files
