"""What an objective returned -> a Result of plain JSON data, and files for what is no such data.

The loss
    is an int, a float, or anything that is one number: Decimal, Fraction, a numpy scalar, an array or tensor of one
    element. True and False are refused: a comparison returned by mistake looks just so. With status "fail" a loss may
    be missing.

Other values
    numpy scalars, Enums, dates, Paths, sets, tuples and dataclasses become numbers, strings, lists and dicts; keys
    become strings. A float that JSON cannot say becomes "nan", "inf" or "-inf", which ``float()`` reads back; an int
    beyond 64 bits a string; a value that contains itself "<recursion>" at that place.

Files
    become what stands under ``attachments`` (a Path there is copied), bytes anywhere, arrays of more than 1000 items
    (.npy), Keras models (.keras), objects that JSON has no form for (.pkl, or their repr as .txt), and an entry that
    takes more than 1 MB or is nested deeper than 80 (.json). ``{"attachment": name}`` stands where they were, except
    under ``attachments``. Of entries that together take more than 1 MB, the largest go to one file, more.json.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import numbers
import os
import sys
import warnings
from collections import deque
from collections.abc import ItemsView, KeysView, Mapping, ValuesView
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from hpcho.objective.attachments import Staging, is_keras_model, shown
from hpcho.trial import Result

__all__ = ["BadResult", "encode"]

ENTRY_BYTES = 1_000_000
ENTRY_DEPTH = 80
ARRAY_ITEMS = 1000
LARGEST_DEPTH = 200  # what is deeper is pickled: Python's own limit of recursion is not far from here
NAME_CHARACTERS = 200
SHOWN_CHARACTERS = 200
INT64 = range(-(1 << 63), 1 << 63)
STATUSES = ("ok", "fail")
OURS = ("loss", "status", "attachments")
NOT_SCALAR = object()


class BadResult(Exception):
    """The objective returned no usable loss: its own error, not hpcho's.

    ``result`` and ``files`` hold what it did return, for the trial's folder.
    """

    def __init__(self, message: str, result: Result, files: dict[str, Path]) -> None:
        super().__init__(message)
        self.result = result
        self.files = files


def encode(value: Any, folder: Path) -> tuple[Result, dict[str, Path]]:
    """The Result of an objective's return value, and its files: attachment name -> a file below ``folder``.

    The files lie in ``folder/.result-<pid>/``, made only when there is one; whoever takes them may remove that folder.
    An earlier try's files there are removed first, so the same call may be made again.

    Raises BadResult when there is no usable loss, and OSError (leaving no file behind) when there is no room for the
    files. Whatever else is strange about the value is kept in some form.
    """
    staging = Staging(folder / f".result-{os.getpid()}")
    staging.clear()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # where they are errors, one would cost a whole model
            result, problem = _Encoder(staging).result(value)
    except OSError:
        staging.clear()
        raise
    if problem:
        raise BadResult(problem, result, staging.files)
    return result, staging.files


class _Encoder:
    """Encodes one return value."""

    def __init__(self, staging: Staging) -> None:
        self._staging = staging
        self._inside: set[int] = set()  # ids of the containers around the present value
        self._deepest = 0

    def result(self, value: Any) -> tuple[Result, str | None]:
        """The result, and what is wrong with it."""
        document = value if isinstance(value, Mapping) else {"loss": value}
        returned, status = document.get("loss"), _status(document)
        loss = _number(returned)
        problem = _problem(document, status, loss)
        if problem:
            status = "fail"
        rest = {key: item for key, item in document.items() if key not in OURS}
        if loss is None and returned is not None:
            rest["returned"] = returned
        if "attachments" in document:
            self._attach(document["attachments"])
        data = self._entries(rest)
        kept = loss if loss is not None and math.isfinite(loss) else None
        return Result(kept, status, data, tuple(self._staging.files)), problem

    def _attach(self, attachments: Any) -> None:
        """Make a file of each item under ``attachments``."""
        items = attachments.items() if isinstance(attachments, Mapping) else [("attachments", attachments)]
        for key, value in items:
            name = _key(key)
            if isinstance(value, str):  # hyperopt's attachments may be text
                self._staging.data(name, _text(value).encode())
            elif isinstance(value, os.PathLike):
                self._staging.copy(name, Path(os.fsdecode(value)))
            elif (array := _array(value)) is not None:
                self._staging.array(name, array)
            else:
                plain = self._plain(value, name, 0)
                if not self._is_reference(plain):
                    self._staging.document(name, plain)

    def _is_reference(self, plain: Any) -> bool:
        return isinstance(plain, dict) and plain.keys() == {"attachment"} and plain["attachment"] in self._staging.files

    def _entries(self, rest: Mapping[Any, Any]) -> dict[str, Any]:
        """The result's further entries; the largest go to files until the rest fits into a document."""
        data: dict[str, Any] = {}
        sizes: dict[str, int] = {}
        for raw, item in rest.items():
            self._deepest = 0
            key = _free(_key(raw), data)
            plain = self._plain(item, key, 1)
            size = len(json.dumps(plain))
            if size > ENTRY_BYTES or self._deepest > ENTRY_DEPTH:
                plain = _reference(self._staging.document(key, plain))
                size = len(json.dumps(plain))
            data[key], sizes[key] = plain, size + len(key)
        over: dict[str, Any] = {}
        total = sum(sizes.values())
        for key in sorted(data, key=lambda k: sizes[k], reverse=True):
            if total <= ENTRY_BYTES:
                break
            over[key] = data.pop(key)
            total -= sizes[key]
        if over:
            data[_free("more", data)] = _reference(self._staging.document("more", over))
        return data

    def _plain(self, value: Any, name: str, depth: int) -> Any:
        """``value`` as JSON data; ``name`` is for a file, should there be need of one."""
        self._deepest = max(self._deepest, depth)
        try:
            return self._plain_or_raise(value, name, depth)
        except OSError:  # no room
            raise
        except Exception:  # noqa: BLE001 - the value's own code (items, keys, numbers) may raise anything
            return _reference(self._staging.object(name, value))

    def _plain_or_raise(self, value: Any, name: str, depth: int) -> Any:
        scalar = _scalar(value)
        if scalar is not NOT_SCALAR:
            return scalar
        array = _array(value)
        if array is not None and array.size <= ARRAY_ITEMS:
            return self._plain(array.tolist(), name, depth)
        items = _items(value) if depth < LARGEST_DEPTH and array is None else None
        if items is None:
            return _reference(self._file(value, array, name))
        if id(value) in self._inside:
            return "<recursion>"
        self._inside.add(id(value))
        try:
            return self._container(items, name, depth)
        finally:
            self._inside.remove(id(value))

    def _file(self, value: Any, array: Any, name: str) -> str:
        """Attach what JSON has no form for; ``array`` is ``value`` as an array, if it is one."""
        if isinstance(value, (bytes, bytearray, memoryview)):
            return self._staging.data(name, value)
        if is_keras_model(value):
            return self._staging.model(name, value)
        return self._staging.object(name, value) if array is None else self._staging.array(name, array)

    def _container(self, items: Mapping[Any, Any] | list[Any], name: str, depth: int) -> Any:
        if isinstance(items, list):
            return [self._plain(item, _inner(name, index), depth + 1) for index, item in enumerate(items)]
        plain: dict[str, Any] = {}
        for raw, item in items.items():
            key = _free(_key(raw), plain)
            plain[key] = self._plain(item, _inner(name, key), depth + 1)
        return plain


def _status(document: Mapping[Any, Any]) -> Any:
    status = document.get("status", "ok")
    status = status.value if isinstance(status, Enum) else status
    return _text(status) if isinstance(status, str) else status  # a subclass, as numpy's str_, is no plain data


def _problem(document: Mapping[Any, Any], status: Any, loss: float | None) -> str | None:
    """What makes this no result, in words; None when all is well."""
    if not isinstance(status, str) or status not in STATUSES:
        return f"the objective's status is {_short(status)}: it is 'ok', or 'fail' for params that make no sense"
    if status == "fail":
        return None
    if "loss" not in document:
        keys = ", ".join(map(_short, document)) or "nothing"
        return f"the dict that the objective returned has no 'loss': it has {keys}"
    return _wrong_loss(document["loss"], loss)


def _wrong_loss(returned: Any, loss: float | None) -> str | None:
    if returned is None:
        return "the objective returned None where its loss should be: does each of its paths end with `return`?"
    if loss is None:
        return f"the objective's loss is {_short(returned)} of type {type(returned).__name__}: it must be one number"
    if not math.isfinite(loss):
        return f"the objective's loss is {loss}: it must be finite (status 'fail' is for params that make no sense)"
    return None


def _number(value: Any) -> float | None:
    """``value`` as a float if it is one number (a bool is none), else None."""
    try:
        while (shape := tuple(getattr(value, "shape", ()))) and shape[0] == 1:
            value = value[0]
        if hasattr(value, "item"):  # numpy, torch, jax
            value = value.item()
        elif hasattr(value, "numpy"):  # tensorflow, keras
            value = value.numpy().item()
        return None if isinstance(value, (bool, str, bytes, bytearray)) else float(value)
    except Exception:  # noqa: BLE001 - what fails to become a number, with any error, is none
        return None


def _scalar(value: Any) -> Any:
    """``value`` as a JSON scalar, or NOT_SCALAR."""
    while isinstance(value, Enum):
        value = value.value
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, numbers.Integral):
        return int(value) if int(value) in INT64 else str(int(value))
    if isinstance(value, numbers.Number):
        if isinstance(value, complex):
            return str(value)
        number = float(value)  # type: ignore[arg-type]  # Real, or Decimal, which is none
        return number if math.isfinite(number) else str(number)
    return _scalar_object(value)


def _scalar_object(value: Any) -> Any:
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, dt.timedelta):
        return value.total_seconds()
    if isinstance(value, os.PathLike):
        return _text(os.fsdecode(value))
    if type(value).__module__ == "uuid":
        return str(value)
    return NOT_SCALAR


def _array(value: Any) -> Any:
    """``value`` as a numpy array if it is an array or tensor of any library, else None. Imports none of them."""
    numpy = sys.modules.get("numpy")
    if numpy is None or not all(hasattr(value, name) for name in ("shape", "dtype", "__array__")):
        return None
    try:
        return numpy.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
    except Exception:  # noqa: BLE001 - a tensor that is symbolic or on a lost device raises anything
        return None


def _items(value: Any) -> Mapping[Any, Any] | list[Any] | None:
    """What a container holds; None for what is no container."""
    value = _opened(value)
    if isinstance(value, Mapping):
        return value
    if isinstance(value, (list, tuple, deque, KeysView, ValuesView, ItemsView)):
        return list(value)
    return _ordered(value) if isinstance(value, AbstractSet) else None


def _opened(value: Any) -> Any:
    """The container in an object that is little more than one."""
    while isinstance(value, Enum):
        value = value.value
    if type(value).__name__ == "History" and isinstance(getattr(value, "history", None), Mapping):  # of Keras's fit
        return value.history
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return value._asdict()
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    return value


def _ordered(items: AbstractSet[Any]) -> list[Any]:
    """A set's items in an order that is the same in every process, where they have one."""
    try:
        return sorted(items)
    except Exception:  # noqa: BLE001 - a user's comparison may raise anything
        return sorted(items, key=shown)


def _key(key: Any) -> str:
    """A dict's key as a string."""
    while isinstance(key, Enum):
        key = key.value
    if isinstance(key, str):
        return _text(key)
    return key.decode("utf-8", "backslashreplace") if isinstance(key, bytes) else _text(str(key))


def _free(key: str, taken: Mapping[str, Any]) -> str:
    """``key``, with a number where 1 and "1" would become the same key."""
    number, free = 1, key
    while free in taken:
        number += 1
        free = f"{key}-{number}"
    return free


def _inner(name: str, key: Any) -> str:
    return f"{name}.{key}" if len(name) < NAME_CHARACTERS else name


def _text(value: str) -> str:
    return str.encode(value, "utf-8", "backslashreplace").decode()


def _short(value: Any) -> str:
    text = shown(value)
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "..."


def _reference(attachment: str) -> dict[str, str]:
    return {"attachment": attachment}
