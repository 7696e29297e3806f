"""Files of a trial in GridFS, as hyperopt names them, and copies of them on disk for those who want a path."""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import TYPE_CHECKING

from bson import ObjectId
from gridfs import GridFS
from gridfs.errors import CorruptGridFile, NoFile
from pymongo.errors import PyMongoError

from hpcho.store.mongo.documents import Damaged

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from typing import IO

    from gridfs import GridOut
    from pymongo.database import Database

    from hpcho.store.mongo.connection import Document

__all__ = ["GridFiles"]

PIECE_BYTES = 1 << 20


class GridFiles:
    """The database's ``fs``. Errors are pymongo's and the file system's own; the caller translates them."""

    def __init__(self, database: Database[Document]) -> None:
        self.use(database)

    def use(self, database: Database[Document]) -> None:
        """Go on in ``database``, which is the same one at another address."""
        self._fs = GridFS(database, collection="fs")

    def put(self, source: bytes | Path, filename: str) -> ObjectId:
        """Keep bytes, or a file's, under a new id. What a failed call has written is taken away if that is possible."""
        file_id = ObjectId()
        try:
            if isinstance(source, bytes):
                self._fs.put(source, _id=file_id, filename=filename)
            else:
                with source.open("rb") as file:
                    self._fs.put(file, _id=file_id, filename=filename)
        except BaseException:
            self.delete([file_id])
            raise
        return file_id

    def read(self, file_id: ObjectId) -> bytes:
        """A file's bytes. Raises Damaged when it is gone or incomplete."""
        try:
            return self._fs.get(file_id).read()
        except (NoFile, CorruptGridFile) as error:
            raise Damaged(
                f"the file {file_id} in `fs`, which holds a part of its result, is damaged: {error}"
            ) from error

    def fetch(self, file_id: ObjectId, path: Path) -> bool:
        """Make ``path`` a copy of a file, whole or not at all; False when the file is gone.

        A copy made before is left as it is when its size and time are the file's.
        """
        try:
            file = self._fs.get(file_id)
        except NoFile:
            return False
        stamp_ns = _stamp_ns(file_id)
        with contextlib.suppress(FileNotFoundError):
            found = path.stat()
            if (found.st_size, found.st_mtime_ns) == (file.length, stamp_ns):
                return True
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{ObjectId()}.draft")
        try:
            with draft.open("wb") as target:
                _copy(file, target)
            os.utime(draft, ns=(stamp_ns, stamp_ns))
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
        return True

    def place(self, file_id: ObjectId, source: Path, path: Path) -> None:
        """Move ``source``, whose bytes the file has, to where ``fetch`` would make a copy. Raises OSError.

        The server is not asked: the trial has its result by now, and must not seem not to.
        """
        stamp_ns = _stamp_ns(file_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        if source != path:
            shutil.move(source, path)
        os.utime(path, ns=(stamp_ns, stamp_ns))

    def delete(self, file_ids: Iterable[ObjectId]) -> None:
        """Remove files that nothing refers to any more: tidying, which may fail."""
        for file_id in file_ids:
            with contextlib.suppress(PyMongoError):
                self._fs.delete(file_id)


def _stamp_ns(file_id: ObjectId) -> int:
    """What tells a copy of this file from one of another that was there before it: when its id was made."""
    return int(file_id.generation_time.timestamp()) * 10**9


def _copy(source: GridOut, target: IO[bytes]) -> None:
    while piece := source.read(PIECE_BYTES):
        target.write(piece)
