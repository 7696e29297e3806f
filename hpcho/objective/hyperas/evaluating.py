"""Runs a rewritten hyperas file: once as a module, then its model function for each trial."""

from __future__ import annotations

import builtins
import contextlib
import importlib
import inspect
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from typing import TYPE_CHECKING, Any

from hpcho.errors import ObjectiveLoadError
from hpcho.expression import value
from hpcho.objective.hyperas.rewriting import HOOK

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from hpcho.objective.base import TrialContext
    from hpcho.objective.hyperas.compiling import Compiled
    from hpcho.trial import Vals

__all__ = ["Hook", "HyperasObjective"]


class HyperasObjective:
    """The objective of a hyperas file."""

    takes_trial = False  # hyperas knows nothing like it

    def __init__(self, compiled: Compiled) -> None:
        self._compiled = compiled
        self._hook = Hook(compiled)
        self._module: ModuleType | None = None
        self._arguments: tuple[Any, ...] = ()

    def prepare(self) -> None:
        """Run the file, its main block left out, and call its data function; a second call does nothing.

        Raises whatever the user's code raises, and ObjectiveLoadError where the data do not fit the model function.
        """
        if self._module is None:
            with _no_bytecode():
                module = self._import()
                self._hook.namespace = vars(module)
                data = vars(module)[self._compiled.data]()
                self._arguments = self._fit(vars(module)[self._compiled.model], data)
            self._module = module

    def evaluate(self, params: dict[str, Any], vals: Vals, trial: TrialContext) -> Any:  # noqa: ARG002 - an Objective's
        """What the model function returns at the point ``vals``, untouched."""
        self.prepare()
        self._hook.vals = vals
        try:
            with _no_bytecode():
                return vars(self._module)[self._compiled.model](*self._arguments)
        finally:
            self._hook.vals = None

    def _import(self) -> ModuleType:
        """The file as a module, in ``sys.modules`` like any other, so that what it defines can be pickled."""
        path = self._compiled.path
        name = path.stem if path.stem not in sys.modules else f"hyperas_{path.stem}_{id(self)}"
        spec = spec_from_file_location(name, path, loader=SourceFileLoader(name, str(path)))
        assert spec is not None
        module = module_from_spec(spec)
        setattr(module, HOOK, self._hook)
        if str(path.parent) not in sys.path:
            sys.path.insert(0, str(path.parent))  # as for any script: it imports what lies beside it
        sys.modules[name] = module
        try:
            exec(self._compiled.code, vars(module))  # noqa: S102 - the user's own program
        except BaseException:
            del sys.modules[name]
            raise
        return module

    def _fit(self, model: Any, data: Any) -> tuple[Any, ...]:
        """The model function's arguments, by position.

        hyperas pasted the body of ``data()`` before the model, so that names alone counted: names decide where data()
        returns the model's arguments in another order, or where the numbers differ.
        """
        values = data if isinstance(data, tuple) else (data,)
        signature = inspect.signature(model)
        names = list(signature.parameters)
        returned = self._compiled.returned
        if len(returned) == len(values) and sorted(returned) == sorted(names):
            by_name = dict(zip(returned, values, strict=True))
            return tuple(by_name[name] for name in names)
        try:
            signature.bind(*values)
        except TypeError:
            if all(name in self._hook.kept for name in names):
                return tuple(self._hook.kept[name] for name in names)
            raise ObjectiveLoadError(
                f"{self._compiled.path}: {self._compiled.data}() returned {len(values)} value(s), which do not fit "
                f"{self._compiled.model}{signature}"
            ) from None
        return values


class Hook:
    """What a rewritten file calls instead of its templates and of hyperas."""

    def __init__(self, compiled: Compiled) -> None:
        self._compiled = compiled
        self.namespace: dict[str, Any] = {}
        self.kept: dict[str, Any] = {}
        self.vals: Vals | None = None

    def value(self, label: str) -> Any:
        """The current trial's value of a numeric template."""
        return value(self._compiled.distributions[label], {label: [self._of(label)]})

    def index(self, label: str) -> int:
        """The option that the current trial has of a choice."""
        return int(self._of(label))

    def _of(self, label: str) -> Any:
        if self.vals is None:
            raise ObjectiveLoadError(f"{self._compiled.path}: the template {label} was reached outside of a trial")
        return self.vals[label][0]

    def nowhere(self) -> Any:
        """A template in a function that the model function does not seem to use."""
        raise ObjectiveLoadError(
            f"{self._compiled.path}: {self._compiled.model}() reached a template in a function that it does not call "
            "by its name, so that the template is no parameter: move it into the model function"
        )

    def returned(self, data: Any) -> Any:
        """Keeps the variables of ``data()`` that the model's code reads; hands its return value on."""
        variables = sys._getframe(1).f_locals  # noqa: SLF001 - data()'s own frame: hyperas makes them globals
        self.kept = {name: each for name, each in variables.items() if name in self._compiled.wanted}
        for name, each in self.kept.items():
            if not hasattr(builtins, name):
                self.namespace.setdefault(name, each)
        return data

    def imported(self, module: str, name: str) -> Any:
        """What ``from module import name`` binds."""
        whole = f"{module}.{name}"
        if module.partition(".")[0] == "hyperas":
            return _hyperas(whole)
        try:
            owner = importlib.import_module(module)
            if not hasattr(owner, name):
                importlib.import_module(whole)
        except Exception as error:  # noqa: BLE001 - most likely only the main block, which does not run, uses it
            if isinstance(error, ModuleNotFoundError) and error.name == whole:
                raise ImportError(f"cannot import name {name!r} from {module!r}", name=name) from None
            return _StandIn(whole, f"could not be imported ({error})")
        return getattr(owner, name)

    def module(self, name: str, alone: bool) -> Any:
        """What ``import name`` binds: the outermost package, or with ``as`` (``alone``) the module itself."""
        top = name.partition(".")[0]
        if top == "hyperas":
            return _hyperas(name if alone else top)
        package = importlib.import_module(top)
        try:
            module = importlib.import_module(name)
        except Exception as error:  # noqa: BLE001 - most likely only the main block, which does not run, uses it
            return _StandIn(name, f"could not be imported ({error})") if alone else package
        return module if alone else package


def _hyperas(name: str) -> Any:
    """What stands for a part of hyperas."""
    package, _, last = name.rpartition(".")
    if name == "hyperas.distributions.conditional":
        return lambda condition: condition  # of early hyperas: it marks a choice, and hands its value on
    if package == "hyperas.distributions":
        return _StandIn(
            name,
            f"has no value here: write {{{{{last}(...)}}}} in the model function. Where a @tf.function needs it, read "
            "it into a variable outside of that: TensorFlow translates the file's own text",
        )
    return _StandIn(name, 'does not run here: hpcho does the search. Call it under `if __name__ == "__main__":`')


class _StandIn:
    """Stands for something that is not there; only its use is an error."""

    def __init__(self, name: str, why: str) -> None:
        self._name = name
        self._why = why

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        inner = f"{self._name}.{name}"
        return _hyperas(inner) if inner.startswith("hyperas.") else _StandIn(inner, self._why)

    def __call__(self, *_args: object, **_keywords: object) -> Any:
        raise ObjectiveLoadError(f"{self._name} {self._why}")


@contextlib.contextmanager
def _no_bytecode() -> Iterator[None]:
    """Modules beside the file leave no __pycache__ there: the folder is the user's."""
    before = sys.dont_write_bytecode
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before
