"""A python objective that travels: read as text and run where hpcho is not installed.

``domain_blob`` puts this file's text, the objective's own files and what the params are made of into a pickle. It
imports the standard library alone, and what it does is what ``Space.decode`` and ``PythonObjective`` do.
"""

from __future__ import annotations

import asyncio
import copy
import importlib
import importlib.util
import inspect
import math
import os
import sys
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

__all__ = ["Carried", "decode"]


class Carried:
    """hyperopt's objective: called with the space's expression, a memo and the trial's control object."""

    fmin_pass_expr_memo_ctrl = True

    def __init__(self, cargo: dict[str, Any]) -> None:
        self._cargo = cargo
        self._folder: Any = None
        self._call: Any = None

    def __call__(self, expr: Any, memo: Any, ctrl: Any) -> dict[str, Any]:
        """hyperopt's result for the trial that ``ctrl`` controls."""
        del expr, memo
        document = ctrl.current_trial
        params = decode(self._cargo["parameters"], document["misc"]["vals"])
        if self._call is None:
            self._call = self._loaded()
        return _result(self._call(params, Trial(document["tid"])))

    def _loaded(self) -> Any:
        """Unpack the objective's files, import it and make its data."""
        self._folder = tempfile.TemporaryDirectory(prefix="hpcho-")
        folder = Path(self._folder.name)
        for name, content in self._cargo["files"].items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        sys.path.insert(0, str(folder))
        importlib.invalidate_caches()
        has_data = bool(self._cargo["data"])
        with _WorkingIn(folder):
            function = _function(self._cargo["python"], folder)
            data = _settled(_function(self._cargo["data"], folder)()) if has_data else None

        def call(params: dict[str, Any], trial: Trial) -> Any:
            positional, named = _arguments(function, params, data, trial, has_data)
            with _WorkingIn(folder):
                return _settled(function(*positional, **named))

        return call


class _WorkingIn:
    """The objective finds its files where they lie beside it, as with hpcho's own workers."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._earlier = Path.cwd()

    def __enter__(self) -> None:
        os.chdir(self._folder)

    def __exit__(self, *error: object) -> None:
        os.chdir(self._earlier)


class Trial:
    """The objective's ``trial`` argument. Its reports go nowhere: hyperopt's workers have no place for them."""

    def __init__(self, tid: int) -> None:
        self.tid = tid
        self.dir = Path.cwd()  # the worker has made a folder for the trial

    def report(self, step: int, loss: float) -> None:
        """Nothing."""

    def should_prune(self) -> bool:
        """Never."""
        return False

    def should_stop(self) -> bool:
        """Never."""
        return False


def _function(target: str, folder: Path) -> Any:
    """FILE.py:FUNCTION or package.module:FUNCTION."""
    place, _, name = target.rpartition(":")
    parts = Path(place).with_suffix("").parts
    if place.endswith(".py") and len(parts) == 1:
        spec: Any = importlib.util.spec_from_file_location(parts[0], folder / place)
        module = importlib.util.module_from_spec(spec)
        sys.modules[parts[0]] = module
        spec.loader.exec_module(module)
    else:
        module = importlib.import_module(".".join(parts) if place.endswith(".py") else place)
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _arguments(function: Any, params: Any, data: Any, trial: Trial, has_data: bool) -> tuple[list[Any], dict[str, Any]]:
    """What the function takes: a parameter named trial or data gets that, the first other one the params."""
    given = {"trial": trial, "data": data} if has_data else {"trial": trial}
    parameters = inspect.signature(function).parameters
    waiting = [params, data] if has_data and "data" not in parameters else [params]
    positional: list[Any] = []
    named: dict[str, Any] = {}
    for parameter in parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            positional += waiting
            waiting = []
        elif parameter.kind is parameter.KEYWORD_ONLY:
            named.update({name: value for name, value in given.items() if name == parameter.name})
        elif parameter.name in given:
            positional.append(given[parameter.name])
        elif parameter.kind is not parameter.VAR_KEYWORD:
            positional.append(waiting.pop(0) if waiting else parameter.default)
    return positional, named


def _settled(value: Any) -> Any:
    return asyncio.run(value) if inspect.iscoroutine(value) else value


# -- params ------------------------------------------------------------------------------------------------------------


def decode(parameters: Any, vals: Any) -> dict[str, Any]:
    """The params of a point: flat, inactive ones absent. ``parameters`` are those of ``domain_blob.described``."""
    params: dict[str, Any] = {}
    for name, parent, node in parameters:
        if parent is not None and not (vals.get(parent[0]) and int(vals[parent[0]][0]) == parent[1]):
            continue
        if node[0] in ("label", "choice") and not vals.get(node[1]):
            continue
        params[name] = _value(node, vals)
    return params


def _value(node: Any, vals: Any) -> Any:
    kind, *rest = node
    if kind == "label":  # one stored number, and what makes a value of it
        label, how = rest
        return _number(vals[label][0], how)
    if kind == "choice":
        label, options = rest
        return _value(options[int(vals[label][0])], vals)
    if kind == "dict":
        keys, items = rest
        return {key: _value(items[place], vals) for place, key in enumerate(keys)}
    if kind in ("list", "tuple"):
        values = [_value(item, vals) for item in rest[0]]
        return tuple(values) if kind == "tuple" else values
    return copy.deepcopy(rest[0])


def _number(stored: Any, how: Any) -> Any:
    kind, *rest = how
    if kind == "integers":
        low, high, step = rest
        index = round((stored + low % step - low) / step)
        return min(max(low + index * step, low), high)
    if kind == "log integers":
        low, high = rest
        return min(max(round(stored), low), high)
    if kind == "reals":
        low, high = rest
        return min(max(float(stored), low), high)
    if kind == "steps":
        low, step, last = rest
        return float(Decimal(low) + Decimal(step) * min(max(round(stored), 0), last))
    return int(stored) if kind == "int" else float(stored)


# -- results -----------------------------------------------------------------------------------------------------------


def _result(value: Any) -> dict[str, Any]:
    """hyperopt's result document of what an objective has returned. Raises ValueError without a usable loss."""
    document = {str(key): value[key] for key in value} if hasattr(value, "keys") else {"loss": value}
    document.setdefault("status", "ok")
    if document["status"] == "ok":
        loss = document.get("loss")
        if loss is None or isinstance(loss, bool) or not math.isfinite(float(loss)):
            raise ValueError(f"the objective returned the loss {loss!r}: a finite number is needed")
        document["loss"] = float(loss)
    attachments = document.pop("attachments", None)
    document = {key: _plain(item) for key, item in document.items()}
    if attachments is not None:
        document["attachments"] = {str(name): attachments[name] for name in attachments}
    return document


def _plain(value: Any) -> Any:
    """What MongoDB holds, in the place of what it does not."""
    if value is None or isinstance(value, (str, bytes, bool, int, float)):
        return value
    if hasattr(value, "keys"):
        return {str(key): _plain(value[key]) for key in value}
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in value]
    return str(value)
