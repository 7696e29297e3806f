"""One experiment's documents as they are, for programs that speak hyperopt's format themselves."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from bson import ObjectId
from pymongo.errors import BulkWriteError

from hpcho.errors import ClaimLost, StoreError
from hpcho.store.change import moved
from hpcho.store.mongo import layout
from hpcho.store.mongo.connection import Connection, connected, explained, is_refused
from hpcho.store.mongo.following import Cursor, Follower
from hpcho.store.mongo.gridfiles import GridFiles
from hpcho.store.mongo.jobs import Jobs
from hpcho.store.mongo.records import Records
from hpcho.store.mongo.settling import Settling
from hpcho.store.stock.files import Files

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from hpcho.store.mongo.connection import Document
    from hpcho.store.stock.url import Entrance
    from hpcho.trial import TrialState

__all__ = ["Documents", "connect"]

log = logging.getLogger(__name__)

DUPLICATE = 11000
MARK = {"tid": 1, "version": 1, "state": 1, "refresh_time": 1, "hpcho.beat": 1}
FIELDS: dict[str, type] = {"tid": int, "state": int, "version": int, "misc": dict, "result": dict}
"""What a document must have to be of any use."""


def connect(entrance: Entrance, password_file: Path | None = None) -> Connection:
    """Connect to a database with the first of its passwords that the server takes; the caller closes the client.

    Raises UsageError for a wrong URL, StoreError.
    """
    *others, last = entrance.candidates(password_file)
    for password in others:
        try:
            return connected(entrance.url, password)
        except StoreError as error:
            if not is_refused(error):
                raise
    return connected(entrance.url, last)


class Documents:
    """The documents of experiment ``exp_key`` in ``connection``'s database; None: of all experiments in it.

    Every method raises StoreError and StoreFull as a store does. Documents are plain dicts; those that are given out
    are the caller's. One that other hands have damaged is left out with a warning, once.
    """

    def __init__(self, connection: Connection, exp_key: str | None) -> None:
        self.exp_key = exp_key
        self.place = connection.place
        self._connection = connection
        self._database = connection.database
        self._jobs = self._database["jobs"]
        self._files = Files(self._database, exp_key)
        self._records = Records(self._database["hpcho_records"], exp_key)
        self._follower = Follower(self._jobs, exp_key, self._records.announced)
        self._warned: set[Any] = set()
        with self.asking():
            layout.prepare(self._database)

    @contextmanager
    def asking(self) -> Iterator[Files]:
        """Around uses of the files, whose errors are then a store's."""
        with explained(self.place):
            yield self._files

    def of(self, exp_key: str | None) -> Documents:
        """Another experiment's, over the same connection."""
        return Documents(self._connection, exp_key)

    def close(self) -> None:
        """Hang up."""
        self._connection.client.close()

    def changes(self, cursor: Any = None) -> tuple[Any, list[Document], set[int]]:
        """The next cursor, the documents that changed since ``cursor`` (None: all), and the tids of removed ones.

        With an exp_key the cost is that of the changed documents alone, and only what is removed through this object is
        noticed; without, every document is looked at.
        """
        gone: set[int] = set()
        with self.asking():
            if self.exp_key is None:
                cursor, documents, gone = self._scan(cursor or {})
            elif isinstance(cursor, Cursor):
                cursor, documents = self._follower.since(cursor)
            else:
                cursor, documents = self._follower.all()
        return cursor, [document for document in documents if self._is_whole(document)], gone

    def new_tids(self, n: int) -> list[int]:
        """Take ``n`` tids; they are unique in the whole database."""
        with self.asking():
            return list(layout.next_tids(self._database, n))

    def insert(self, documents: Sequence[Document]) -> None:
        """Add documents as they are; each gets an ``_id``. Made again after an error, the call adds nothing twice."""
        for document in documents:
            document.setdefault("_id", ObjectId())
        with self.asking():
            try:
                self._jobs.insert_many(documents, ordered=False)
            except BulkWriteError as error:
                if any(problem.get("code") != DUPLICATE for problem in error.details.get("writeErrors", [{}])):
                    raise

    def update(self, document: Document, change: Mapping[str, Any]) -> None:
        """Write ``change`` into a stored document and into the given one, whose version must be the stored one.

        Raises ClaimLost.
        """
        version = document["version"]
        with self.asking():
            # The tid stands first: some servers look no further for an index.
            where = {"tid": document["tid"], "_id": document["_id"], "version": version}
            written = self._jobs.update_one(where, {"$set": {**change, "version": version + 1}})
        if not written.matched_count:
            raise ClaimLost(f"{self.place}: trial {document['tid']} has changed since it was read: refresh, and again")
        document.update(change, version=version + 1)

    def move(self, document: Document, to: TrialState) -> bool:
        """Make one of a store's moves to NEW or CANCEL; False when the document has changed since it was read."""
        jobs = Jobs(self._connection, document.get("exp_key"), GridFiles(self._database))
        settling = Settling(jobs, Records(self._database["hpcho_records"], document.get("exp_key")))
        with self.asking():
            trial = jobs.trial(document)
            try:
                settling.settle(trial, moved(trial, to, None, None, jobs.now()), {})
            except ClaimLost:
                return False
        return True

    def delete(self, where: Mapping[str, Any]) -> None:
        """Remove the documents like ``where`` with their files; with no condition, the experiment's files as well."""
        query = {**where} if self.exp_key is None else {**where, "exp_key": self.exp_key}
        with self.asking() as files:
            for document in self._jobs.find(query, {"_attachments": 1, "hpcho.file": 1}):
                files.delete(file_id for _, file_id in document.get("_attachments") or ())
                files.delete(filter(None, [(document.get("hpcho") or {}).get("file")]))
                self._jobs.delete_one({"_id": document["_id"]})
            for name in () if where else files.names():
                files.delete_named(name)

    def _scan(self, seen: Mapping[Any, Any]) -> tuple[dict[Any, Any], list[Document], set[int]]:
        """All documents of the database, by what tells one state of them from another."""
        marks = {document["_id"]: document for document in self._jobs.find({}, MARK)}
        changed = [each for each, mark in marks.items() if seen.get(each) != mark]
        documents = list(self._jobs.find({"_id": {"$in": changed}} if seen else {})) if changed else []
        return marks, documents, {seen[each].get("tid") for each in seen.keys() - marks.keys()}

    def _is_whole(self, document: Document) -> bool:
        wrong = [name for name, kind in FIELDS.items() if not isinstance(document.get(name), kind)]
        if wrong and document["_id"] not in self._warned:
            self._warned.add(document["_id"])
            log.warning(
                "%s: document %s in `jobs` is damaged (%s); this trial is left out",
                self.place,
                document["_id"],
                ", ".join(wrong),
            )
        return not wrong
