"""An objective that is a Python function, in a file beside the YAML or in a module.

It is called as ``objective(params)``, with ``data:`` as ``objective(params, data)``. A parameter named ``trial``
receives the trial wherever it stands, and one named ``data`` the data; everything else may have defaults only. The
function may be a coroutine function, a ``functools.partial`` or an object that can be called, but no class.

A file is loaded under its stem (``train.py`` as ``train``; ``models/train.py`` as ``models.train`` where ``models`` is
a package), with the source folder first on ``sys.path``: that is how processes which the objective starts find it
again. No bytecode is written, since part of the source folder may be links into the user's own.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from hpcho.errors import ObjectiveLoadError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import ModuleType

    from hpcho.objective.base import TrialContext
    from hpcho.trial import Vals

__all__ = ["PythonObjective", "Target", "existing_file", "parse_target"]


@dataclass(frozen=True)
class Target:
    """A function as the YAML names it: ``place`` is a FILE.py relative to the source folder, or a dotted module."""

    key: str
    place: str
    function: str

    @property
    def is_file(self) -> bool:
        """Whether a file is named, and no module."""
        return self.place.endswith(".py") or "/" in self.place

    def __str__(self) -> str:
        return f"objective.{self.key}: {self.place}:{self.function}"


def parse_target(text: str, key: str) -> Target:
    """Read FILE.py:FUNCTION or package.module:FUNCTION. ``key`` is where it stands: python or data."""
    place, _, function = text.rpartition(":")
    target = Target(key, place, function)
    if not place or not all(part.isidentifier() for part in function.split(".")):
        raise ObjectiveLoadError(
            f"objective.{key}: {text!r} names no function: write FILE.py:FUNCTION or package.module:FUNCTION"
        )
    if not target.is_file and not all(part.isidentifier() for part in place.split(".")):
        raise ObjectiveLoadError(f"{target}: {place!r} is neither a FILE.py nor a module's name")
    return target


def existing_file(place: str, key: str, source: Path) -> Path:
    """The Python file ``place`` in ``source``. Raises ObjectiveLoadError when there is none there."""
    path = PurePosixPath(place)
    if path.is_absolute() or ".." in path.parts:
        raise ObjectiveLoadError(
            f"objective.{key}: {place} is not in the YAML's folder: put it there and name it relative to it, "
            "or install it and name its module"
        )
    if path.suffix != ".py":
        raise ObjectiveLoadError(f"objective.{key}: {place} is no Python file: its name must end with .py")
    file = source / path
    if not file.is_file():
        there = (str(other.relative_to(source)) for other in file.parent.glob("*.py"))
        raise ObjectiveLoadError(f"objective.{key}: there is no {place} in {source}{_nearest(place, there)}")
    return file


def _nearest(name: str, known: Iterable[str]) -> str:
    """': did you mean ...?', or what there is, for the end of a message."""
    import difflib  # noqa: PLC0415 - only an error needs it

    names, several = sorted(known), 10
    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f": did you mean {close[0]!r}?"
    return f": there is {', '.join(names[:several])}{', ...' if len(names) > several else ''}" if names else ""


class PythonObjective:
    """``objective: {python: ..., data: ...}``."""

    def __init__(self, python: str, data: str | None, source: Path) -> None:
        self._source = source.absolute()
        self._target = parse_target(python, "python")
        self._data_target = parse_target(data, "data") if data else None
        for target in filter(None, (self._target, self._data_target)):
            if target.is_file:
                existing_file(target.place, target.key, self._source)
        self._call: Call | None = None

    def prepare(self) -> None:
        """Import the module(s) and call ``data()``; a second call does nothing.

        Raises ObjectiveLoadError when a function is missing or cannot be called as hpcho would; what the user's own
        code raises comes through untouched.
        """
        if self._call is None:
            self._call = self._prepared()

    def find(self) -> None:
        """Import the module(s) and see that the functions are there; calls none. Raises like ``prepare``."""
        for target in filter(None, (self._target, self._data_target)):
            _function(target, self._source)

    @property
    def takes_trial(self) -> bool:
        """Whether the function has a parameter for the trial: only then can it know of a stop. Known once prepared."""
        return self._call is None or self._call.takes_trial

    def evaluate(self, params: dict[str, Any], vals: Vals, trial: TrialContext) -> Any:
        """What the function returns for ``params``."""
        del vals
        self.prepare()
        assert self._call is not None
        return self._call(params, trial)

    def _prepared(self) -> Call:
        function = _function(self._target, self._source)
        call = Call(function, self._target, with_data=self._data_target is not None)
        if self._data_target is not None:
            data = _function(self._data_target, self._source)
            _check_takes_nothing(data, self._data_target)
            call.data = _settled(data())
        return call


class Call:
    """Calls the user's function with those of params, data and trial that its signature asks for."""

    def __init__(self, function: Callable[..., Any], target: Target, *, with_data: bool) -> None:
        self.function = function
        self.data: Any = None
        self._signature = _signature(function)
        self._places = _places(self._signature, target, with_data=with_data) if self._signature else {}
        self._with_data = with_data
        self.takes_trial = "trial" in self._places.values()

    def __call__(self, params: dict[str, Any], trial: TrialContext) -> Any:
        given = {"params": params, "data": self.data, "trial": trial}
        if self._signature is None:  # a callable of an extension module, which shows no signature
            return _settled(self.function(params, self.data) if self._with_data else self.function(params))
        bound = inspect.BoundArguments(self._signature, {})
        for name, what in self._places.items():
            bound.arguments[name] = tuple(given[w] for w in what) if isinstance(what, tuple) else given[what]
        bound.apply_defaults()
        return _settled(self.function(*bound.args, **bound.kwargs))


def _signature(function: Callable[..., Any]) -> inspect.Signature | None:
    try:
        return inspect.signature(function)
    except ValueError:
        return None


def _places(signature: inspect.Signature, target: Target, *, with_data: bool) -> dict[str, str | tuple[str, ...]]:
    """Which parameter receives what: parameter name -> params, data or trial; several of them for ``*args``."""
    parameters = signature.parameters.values()
    plain = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    by_name = {"trial", "data"} if with_data else {"trial"}
    places: dict[str, str | tuple[str, ...]] = {p.name: p.name for p in plain if p.name in by_name}
    waiting: list[str] = [what for what in ("params", "data") if what in ("params", *by_name) and what not in places]
    for p in plain:
        if waiting and p.name not in places and p.kind is not p.KEYWORD_ONLY:
            places[p.name] = waiting.pop(0)
    rest = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), None)
    if waiting and rest:
        places[rest] = tuple(waiting)
        waiting = []
    missing = [p.name for p in plain if p.default is p.empty and p.name not in places]
    if waiting or missing:
        raise ObjectiveLoadError(_misfit(target, signature, waiting, missing, with_data=with_data))
    return places


def _misfit(
    target: Target, signature: inspect.Signature, waiting: list[str], missing: list[str], *, with_data: bool
) -> str:
    call = "(params, data)" if with_data else "(params)"
    wrong = f"has no place for {' and '.join(waiting)}" if waiting else f"also needs {', '.join(missing)}"
    mend = "a parameter named trial may stand anywhere, others need defaults"
    if missing == ["data"]:
        mend = "give the function that makes the data as objective.data in the YAML"
    elif waiting == ["data"]:
        mend = "add a parameter for the data, or take objective.data out of the YAML"
    elif waiting:
        mend = "the params come as one dict in the first argument"
    return f"{target}: hpcho calls {target.function}{call}, but {target.function}{signature} {wrong}: {mend}"


def _check_takes_nothing(data: Callable[..., Any], target: Target) -> None:
    signature = _signature(data)
    if signature is None:
        return
    try:
        signature.bind()
    except TypeError as error:
        raise ObjectiveLoadError(
            f"{target}: hpcho calls {target.function}() without arguments, but it is {target.function}{signature}: "
            "give its parameters defaults"
        ) from error


def _settled(value: Any) -> Any:
    """``value``, or what it becomes when it is a coroutine."""
    if not inspect.iscoroutine(value):
        return value
    import asyncio  # noqa: PLC0415 - slow to import, and few objectives are coroutines

    return asyncio.run(value)


def _function(target: Target, source: Path) -> Callable[..., Any]:
    """Import the target's module and find its function."""
    module = _module(target, source)
    found: Any = module
    for part in target.function.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            names = (name for name, value in vars(module).items() if callable(value) and not name.startswith("_"))
            raise ObjectiveLoadError(
                f"{target}: {target.place} has no {target.function!r}{_nearest(target.function, names)}"
            ) from None
    if inspect.isclass(found):
        raise ObjectiveLoadError(f"{target} is a class: name a function, or an object of the class that can be called")
    if not callable(found):
        raise ObjectiveLoadError(f"{target} is of type {type(found).__name__} and cannot be called: name a function")
    return found  # type: ignore[no-any-return]  # callable, and nothing more is known


def _module(target: Target, source: Path) -> ModuleType:
    sys.dont_write_bytecode = True
    os.environ.setdefault("PYTHONDONTWRITEBYTECODE", "1")  # for processes that the objective starts
    _put_on_path(source, 0)
    importlib.invalidate_caches()  # the source folder may be younger than the path finder's view of it
    if target.is_file:
        return _import_file(existing_file(target.place, target.key, source), source, target)
    try:
        return importlib.import_module(target.place)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{target.place}.".startswith(f"{error.name}."):
            raise  # it was found, and imports something that is missing
        beside = (file.stem for file in source.glob("*.py"))
        raise ObjectiveLoadError(
            f"{target}: no module named {error.name!r} beside the YAML or installed here"
            f"{_nearest(target.place, beside)}"
        ) from error


def _import_file(file: Path, source: Path, target: Target) -> ModuleType:
    name, folder = file.stem, file.parent
    while folder != source and (folder / "__init__.py").is_file():
        name, folder = f"{folder.name}.{name}", folder.parent
    if folder != source:
        _put_on_path(folder, 1)  # as for a script: what lies beside it can be imported
    module = sys.modules.get(name)
    if module is None:
        module = _execute(name, file) if name == file.stem else importlib.import_module(name)
    origin = getattr(module, "__file__", None)
    if origin is None or not file.samefile(origin):
        raise ObjectiveLoadError(
            f"{target}: Python has another module named {name!r} already ({origin or 'built in'}): rename the file"
        )
    return module


def _execute(name: str, file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _put_on_path(folder: Path, position: int) -> None:
    entry = str(folder)
    if entry not in sys.path[: position + 1]:
        sys.path.insert(position, entry)
