"""Files in GridFS by name: the pickled objective, and others that belong to a whole experiment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bson import ObjectId
from gridfs import GridFS, NoFile

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import IO

    from pymongo.database import Database

    from hpcho.store.mongo.connection import Document

__all__ = ["Files"]


class Files:
    """The files of experiment ``exp_key`` (None: of all). Errors are pymongo's own; the caller translates them."""

    def __init__(self, database: Database[Document], exp_key: str | None) -> None:
        self._fs = GridFS(database, collection="fs")
        self._index = database["fs.files"]
        self._where = {} if exp_key is None else {"exp_key": exp_key}

    def names(self) -> list[str]:
        """What there is, sorted."""
        found = self._index.find(self._where, {"filename": 1})
        return sorted({document["filename"] for document in found if document.get("filename")})

    def newest(self, name: str) -> ObjectId | None:
        """The id of the last file that was put under ``name``; None where there is none."""
        ids = self._ids(name)
        return ids[-1] if ids else None

    def read(self, file_id: ObjectId) -> bytes | None:
        """A file's bytes; None when it is gone."""
        try:
            return self._fs.get(file_id).read()
        except NoFile:
            return None

    def put(self, name: str, data: bytes | str) -> None:
        """Put ``data`` in the place of what is under ``name``. There is a file of that name at every moment."""
        earlier = self._ids(name)
        # hyperopt reads the encoding that it gave itself.
        self._fs.put(data, filename=name, encoding="utf-8", **self._where)
        self.delete(earlier)

    def add(self, name: str, data: bytes | str | IO[bytes]) -> ObjectId:
        """Keep ``data`` for one trial, which refers to it by the id."""
        file_id = ObjectId()
        self._fs.put(data, _id=file_id, filename=name, encoding="utf-8")
        return file_id

    def delete(self, file_ids: Iterable[ObjectId]) -> None:
        """Remove files; harmless where they are gone."""
        for file_id in file_ids:
            self._fs.delete(file_id)

    def delete_named(self, name: str) -> bool:
        """Remove what is under ``name``; says whether there was anything."""
        ids = self._ids(name)
        self.delete(ids)
        return bool(ids)

    def _ids(self, name: str) -> list[ObjectId]:
        found = self._index.find({"filename": name, **self._where}, {"uploadDate": 1})
        return [document["_id"] for document in sorted(found, key=lambda each: (each["uploadDate"], each["_id"]))]
