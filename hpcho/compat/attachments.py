"""``trials.attachments`` and ``trials.trial_attachments(trial)``: bytes by name."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hpcho.store.stock import Documents

__all__ = ["OfExperiment", "OfTrial"]


class OfExperiment(MutableMapping[str, Any]):
    """The experiment's files, fmin's pickled objective among them. Given as bytes or text, they come as bytes.

    A value that takes another's place does so at once: there is no moment without one.
    """

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    def __iter__(self) -> Iterator[str]:
        with self._documents.asking() as files:
            return iter(files.names())

    def __len__(self) -> int:
        with self._documents.asking() as files:
            return len(files.names())

    def __contains__(self, name: object) -> bool:
        with self._documents.asking() as files:
            return files.newest(str(name)) is not None

    def __getitem__(self, name: str) -> bytes:
        with self._documents.asking() as files:
            file_id = files.newest(name)
            data = None if file_id is None else files.read(file_id)
        if data is None:
            raise KeyError(name)
        return data

    def __setitem__(self, name: str, value: bytes | str) -> None:
        with self._documents.asking() as files:
            files.put(name, value)

    def __delitem__(self, name: str) -> None:
        with self._documents.asking() as files:
            if not files.delete_named(name):
                raise KeyError(name)


class OfTrial(MutableMapping[str, Any]):
    """One trial's files. ``trial`` is its document, which is kept up to date: to write, it must be as it is stored."""

    def __init__(self, documents: Documents, trial: dict[str, Any]) -> None:
        self._documents = documents
        self._trial = trial

    def __iter__(self) -> Iterator[str]:
        return iter([name for name, _ in self._pairs()])

    def __len__(self) -> int:
        return len(self._pairs())

    def __getitem__(self, name: str) -> bytes:
        file_id = dict(self._pairs())[name]
        with self._documents.asking() as files:
            data = files.read(file_id)
        if data is None:
            raise KeyError(f"{name}: the file of this attachment is gone")
        return data

    def __setitem__(self, name: str, value: bytes | str) -> None:
        with self._documents.asking() as files:
            added = files.add(f"{self._trial['_id']}_{name}", value)
            earlier = dict(self._pairs()).get(name)
            try:
                self._write([*self._others(name), [name, added]])
            except BaseException:
                files.delete([added])
                raise
            files.delete([earlier] if earlier is not None else [])

    def __delitem__(self, name: str) -> None:
        file_id = dict(self._pairs())[name]
        self._write(self._others(name))
        with self._documents.asking() as files:
            files.delete([file_id])

    def _pairs(self) -> list[Any]:
        return self._trial.get("_attachments") or []

    def _others(self, name: str) -> list[Any]:
        return [[other, file_id] for other, file_id in self._pairs() if other != name]

    def _write(self, pairs: list[Any]) -> None:
        self._documents.update(self._trial, {"_attachments": pairs})
