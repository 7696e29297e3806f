"""Files of one result on their way into the store: safe names, and writing whatever it is that becomes a file."""

from __future__ import annotations

import errno
import json
import os
import pickle
import shutil
import string
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Staging", "is_keras_model", "safe_name", "shown"]

NAME_CHARACTERS = 120
SUFFIX_CHARACTERS = 16
REPR_CHARACTERS = 10_000
SAFE = frozenset(string.ascii_letters + string.digits + "-_.+=,@~")
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def safe_name(name: str) -> str:
    """``name`` as a file name of at most 120 characters: percent-quoted, never hidden, never a path."""
    quoted = "".join(
        c if c in SAFE else "".join(f"%{byte:02X}" for byte in c.encode("utf-8", "surrogatepass")) for c in name
    )
    if quoted.startswith("."):
        quoted = "%2E" + quoted[1:]
    stem, suffix = _split(quoted)
    return (stem[: NAME_CHARACTERS - len(suffix)] + suffix) or "attachment"


def _split(name: str) -> tuple[str, str]:
    """A file name's stem and its suffix, if that looks like one."""
    path = PurePosixPath(name)
    return (path.stem, path.suffix) if len(path.suffix) <= SUFFIX_CHARACTERS else (name, "")


def shown(value: Any) -> str:
    """``repr`` that never fails and is never long."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - a user's __repr__ may raise anything
        text = object.__repr__(value)
    return text if len(text) <= REPR_CHARACTERS else text[:REPR_CHARACTERS] + "..."


def is_keras_model(value: Any) -> bool:
    """Whether ``value`` is a Keras model of any Keras, without importing one."""
    return any(
        cls.__name__ == "Model" and cls.__module__.startswith(("keras.", "tf_keras.", "tensorflow.python.keras."))
        for cls in type(value).__mro__
    )


class Staging:
    """Writes files into ``folder``, made when the first one comes. ``files``: attachment name -> its file.

    Only a lack of room raises (OSError); what cannot be written as it is, is written in a poorer form.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[str, Path] = {}
        self._taken: set[str] = set()
        self._named: dict[int, tuple[Any, str]] = {}  # id -> the value, kept alive so that its id stays its own

    def clear(self) -> None:
        """Remove what an earlier try has left."""
        if self.folder.exists():
            shutil.rmtree(self.folder, ignore_errors=True)
        self.files.clear()

    def data(self, name: str, value: Any) -> str:
        """Attach bytes."""
        return self._write(name, lambda file: file.write(value))

    def document(self, name: str, plain: Any) -> str:
        """Attach JSON data."""
        text = json.dumps(plain, allow_nan=False)
        return self._write(_suffixed(name, ".json"), lambda file: file.write(text.encode()))

    def copy(self, name: str, path: Path) -> str:
        """Attach a copy of a file; its path as text where it cannot be read."""
        try:
            source = path.open("rb")
        except OSError:
            return self.data(name, os.fsencode(path))
        with source:
            return self._write(name, lambda file: shutil.copyfileobj(source, file))

    def array(self, name: str, array: Any) -> str:
        """Attach a numpy array as .npy."""
        from numpy.lib.format import write_array  # noqa: PLC0415 - only where the value is numpy's already

        return self._write(_suffixed(name, ".npy"), lambda file: write_array(file, array, allow_pickle=True))

    def model(self, name: str, model: Any) -> str:
        """Attach a Keras model by its own ``save``, so that ``keras.models.load_model`` opens it; else pickled."""
        if id(model) in self._named:
            return self._named[id(model)][1]
        attachment, path = self._place(_suffixed(name, ".keras"))
        try:
            model.save(path)
        except Exception as error:  # a model of the user's own class may refuse with anything
            path.unlink(missing_ok=True)
            if _is_full(error):
                raise OSError(errno.ENOSPC, f"no room to save the model: {error}", str(path)) from error
            return self.object(name, model, error)
        return self._keep(attachment, path, model)

    def object(self, name: str, value: Any, refusal: Exception | None = None) -> str:
        """Attach a pickle of anything; where there is none, its repr as text with the ``refusal`` to save it."""
        if id(value) in self._named:
            return self._named[id(value)][1]
        for dump in (pickle.dump, _cloudpickle_dump):
            try:
                attachment = self._write(_suffixed(name, ".pkl"), partial(dump, value))
            except Exception as error:  # a user's __reduce__ may raise anything
                if _is_full(error):
                    raise
                refusal = refusal or error
            else:
                return self._keep(attachment, self.files[attachment], value)
        text = f"{shown(value)}\n\nIt could not be saved: {shown(refusal)}\n"
        return self.data(_suffixed(name, ".txt"), text.encode("utf-8", "backslashreplace"))

    def _write(self, name: str, write: Callable[[IO[bytes]], Any]) -> str:
        attachment, path = self._place(name)
        try:
            with path.open("wb") as file:
                write(file)
        except BaseException as error:
            path.unlink(missing_ok=True)
            if isinstance(error, OSError) and error.errno is None:  # numpy counts what was written, and says no more
                raise OSError(errno.ENOSPC, str(error), str(path)) from error
            raise
        return self._keep(attachment, path)

    def _place(self, name: str) -> tuple[str, Path]:
        """A name that no other attachment has, on file systems that ignore case too."""
        self.folder.mkdir(parents=True, exist_ok=True)
        wanted = safe_name(name)
        stem, suffix = _split(wanted)
        number, attachment = 1, wanted
        while attachment.lower() in self._taken:
            number += 1
            attachment = f"{stem[: NAME_CHARACTERS - 2 * SUFFIX_CHARACTERS]}-{number}{suffix}"
        return attachment, self.folder / attachment

    def _keep(self, attachment: str, path: Path, value: Any = None) -> str:
        self._taken.add(attachment.lower())
        self.files[attachment] = path
        if value is not None:
            self._named[id(value)] = (value, attachment)
        return attachment


def _suffixed(name: str, suffix: str) -> str:
    return name if name.endswith(suffix) else name + suffix


def _is_full(error: BaseException) -> bool:
    """Whether there was no room. HDF5 hides the number in its text."""
    return isinstance(error, OSError) and (
        error.errno in FULL or "No space left" in str(error) or "quota" in str(error)
    )


def _cloudpickle_dump(value: Any, file: IO[bytes]) -> None:
    import cloudpickle  # noqa: PLC0415 - only for what plain pickle refuses

    cloudpickle.dump(value, file)
