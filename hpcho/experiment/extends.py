"""``extends:`` files whose settings hold where the YAML itself says nothing.

Mappings are merged key by key and anything else is replaced; a null takes away what an extended file says. Where one
thing of several kinds is described (the objective, the launcher, the store, a sampler, a parameter of the space),
another kind replaces the whole description. Of several files a later one wins over an earlier one.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path as File
from typing import TYPE_CHECKING, Any

from hpcho.experiment.launchers import LauncherSpec
from hpcho.experiment.schema import ObjectiveSpec
from hpcho.experiment.source import missing_file, read_file
from hpcho.experiment.stores import StoreSpec
from hpcho.experiment.wording import Path, shown

if TYPE_CHECKING:
    from hpcho.errors import Problem
    from hpcho.experiment.source import Source

__all__ = ["KEY", "copy_files", "merged", "read"]

KEY = "extends"

KINDS: Mapping[Path, tuple[str, ...]] = {
    ("objective",): ObjectiveSpec.kinds,
    ("launcher",): tuple(LauncherSpec.model_fields),
    ("store",): tuple(StoreSpec.model_fields),
}
"""Sections that hold exactly one of these."""
SHORT_FORMS: Mapping[Path, Callable[[Any], Any]] = {
    ("launcher",): LauncherSpec.read,
    ("store",): StoreSpec.read,
    ("sampler",): lambda data: {"name": data} if isinstance(data, str) else data,
}


def read(path: File) -> tuple[dict[str, Any], Source, list[Problem]]:
    """A YAML's value with all that it extends, where each part of it stands, and what is wrong short of syntax.

    Under ``extends`` the value has the names of the files, as a list. Raises ExperimentError for what cannot be read.
    """
    return _read(path, (), is_base=False)


def merged(base: Any, value: Any, path: Path = ()) -> Any:
    """What holds at ``path`` where an extended file says ``base`` and the file that extends it ``value``."""
    if path in SHORT_FORMS:
        base, value = SHORT_FORMS[path](base), SHORT_FORMS[path](value)
    if not isinstance(base, Mapping) or not isinstance(value, Mapping) or _is_another(base, value, path):
        return value
    made = dict(base)
    for key, item in value.items():
        if key not in base:
            made[key] = item
        elif item is None:
            del made[key]
        else:
            made[key] = merged(base[key], item, (*path, key))
    return made


def copy_files(path: File, folder: File) -> None:
    """Copy a YAML to ``folder``/experiment.yaml, and the files that it extends into ``folder``/extends."""
    shutil.copyfile(path, folder / "experiment.yaml")
    bases = read(path)[1].bases
    if not bases:
        return
    target = folder / KEY
    target.mkdir()
    for base in dict.fromkeys(File(base.file).resolve() for base in bases):
        name, count = base.name, 1
        while (target / name).exists():
            count += 1
            name = f"{base.stem}-{count}{base.suffix}"
        shutil.copyfile(base, target / name)


def _read(path: File, chain: tuple[File, ...], *, is_base: bool) -> tuple[dict[str, Any], Source, list[Problem]]:
    value, source, problems = read_file(path, is_base=is_base)
    chain = (*chain, path)
    names: list[str] = []
    below: dict[str, Any] = {}
    bases: list[Source] = []
    for where, text in _names(value.pop(KEY, ())):
        flaw = _flaw(text, path.parent, chain)
        if flaw:
            problems.append(source.problem(where, flaw))
            continue
        names.append(text)
        base_value, base, more = _read(_file(text, path.parent), chain, is_base=True)
        problems += more
        below = merged(below, base_value)
        bases = [base, *base.bases, *bases]
    if names and not is_base:
        value[KEY] = names
    below.pop(KEY, None)
    return merged(below, value), replace(source, bases=tuple(bases)), problems


def _names(value: Any) -> Iterator[tuple[Path, Any]]:
    """The files that ``extends:`` names, each with its place."""
    if isinstance(value, (list, tuple)):
        yield from (((KEY, index), text) for index, text in enumerate(value))
    elif value is not None:
        yield (KEY,), value


def _flaw(text: Any, folder: File, chain: tuple[File, ...]) -> str | None:
    """Why this name of a file to extend is none."""
    if not isinstance(text, str) or not text:
        return f"must be the name of a YAML file, or a list of them, not {shown(text)}"
    file = _file(text, folder)
    files = [earlier.resolve() for earlier in chain]
    if file.resolve() in files:
        circle = [*chain[files.index(file.resolve()) :], file]
        return f"goes round in a circle: {' extends '.join(each.name for each in circle)}"
    return None if file.is_file() else f"there is no file {text} in {folder}{missing_file(file)}"


def _file(text: str, folder: File) -> File:
    return folder / File(text).expanduser()


def _is_another(base: Mapping[Any, Any], value: Mapping[Any, Any], path: Path) -> bool:
    """Whether ``value`` describes another kind of thing than ``base``, of which nothing then remains."""
    if path[:1] == ("space",) and len(path) > 1:
        return True
    if path == ("sampler",):
        return "name" in base and "name" in value and base["name"] != value["name"]
    mine, theirs = ({kind for kind in KINDS.get(path, ()) if each.get(kind) is not None} for each in (value, base))
    return bool(mine and theirs and mine != theirs)
