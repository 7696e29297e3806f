"""TrialStore in a MongoDB; hpcho/store/base.py says what each method promises, claims.py what holds when many claim.

``add`` is one insert of all documents. Should both the server and the caller die within it, the first trials of the
batch may be there without the rest; made again after an error, the same call adds what is missing and nothing twice.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pymongo.errors import BulkWriteError

from hpcho.errors import StoreError
from hpcho.store.address import Address
from hpcho.store.base import ANY
from hpcho.store.change import failed, finished, moved, released, running
from hpcho.store.files import file_name
from hpcho.store.mongo import layout
from hpcho.store.mongo.claims import Claims
from hpcho.store.mongo.connection import connected, explained, is_away
from hpcho.store.mongo.documents import new_document
from hpcho.store.mongo.following import Follower
from hpcho.store.mongo.gridfiles import GridFiles
from hpcho.store.mongo.jobs import Jobs
from hpcho.store.mongo.records import Records
from hpcho.store.mongo.settling import Settling
from hpcho.store.rows import as_json
from hpcho.trial import TrialState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from bson import ObjectId

    from hpcho.jobdir import JobDir
    from hpcho.store.mongo.connection import Connection, Document
    from hpcho.trial import Draft, Failure, Owner, Report, Result, Trial

__all__ = ["MongoStore", "connect"]

DUPLICATE = 11000
RECORDS = "hpcho_records"


def connect(
    url: str,
    password: str | None = None,
    *,
    exp_key: str | None,
    jobdir: JobDir | None = None,
    prepare: bool = True,
    find: Callable[[], Address] | None = None,
) -> MongoStore:
    """Open experiment ``exp_key`` in the database that ``url`` names; the caller closes it.

    ``password`` goes with the user in the URL. Attachments that are asked for are copied to ``jobdir``, or else to a
    temporary folder that goes when the store is closed. ``prepare=False`` leaves indexes alone, for looking into a
    database that others have made. Whenever the server does not answer, ``find`` is asked for its address: it may be
    at another place by then. Raises UsageError for a wrong URL, StoreError.
    """
    connection = connected(url, password)
    try:
        moves = None if find is None else Moves(Address(url, password), find)
        return MongoStore(connection, exp_key, jobdir, prepare=prepare, moves=moves)
    except BaseException:
        connection.client.close()
        raise


@dataclass
class Moves:
    """Where a server is, and how one finds out whether it is elsewhere now."""

    address: Address
    find: Callable[[], Address]

    def look(self) -> Connection | None:
        """A connection to it at its new address; None where it has none, or does not answer there either."""
        with contextlib.suppress(StoreError):
            address = self.find()
            if address != self.address:
                connection = connected(address.url, address.password)
                self.address = address
                return connection
        return None


class MongoStore:
    """One experiment's trials in a MongoDB. It takes over ``connection`` and closes it."""

    def __init__(
        self,
        connection: Connection,
        exp_key: str | None,
        jobdir: JobDir | None = None,
        *,
        prepare: bool = True,
        moves: Moves | None = None,
    ) -> None:
        """Raises StoreError; the connection is the caller's then."""
        self.connection = connection
        self._moves = moves
        self._jobdir = jobdir
        self._folder: Path | None = None
        self._home = (os.getpid(), threading.get_ident())
        self._files = GridFiles(connection.database)
        self._records = Records(connection.database[RECORDS], exp_key)
        self._jobs = Jobs(connection, exp_key, self._files)
        self._claims = Claims(self._jobs, self._records.announce)
        self._settling = Settling(self._jobs, self._records, None if jobdir is None else self._copy)
        self._follower = Follower(self._jobs.collection, exp_key, self._records.announced)
        self._batch: tuple[str, list[Document]] | None = None
        self.unreadable: AbstractSet[int] = frozenset()
        if prepare:
            with self._asking():
                layout.prepare(connection.database)

    def add(self, drafts: Sequence[Draft]) -> list[Trial]:
        """Add new trials with one insert."""
        if not drafts:
            return []
        call = as_json([(dict(draft.vals), draft.origin, draft.parent) for draft in drafts])
        with self._asking():
            is_again = self._batch is not None and self._batch[0] == call
            if not is_again:
                self._batch = None
                at, exp_key = self.now(), self._jobs.exp_key
                tids = layout.next_tids(self.connection.database, len(drafts))
                documents = [new_document(draft, tid, exp_key, at) for draft, tid in zip(drafts, tids, strict=True)]
                self._batch = (call, documents)
            assert self._batch is not None
            documents = self._batch[1]
            self._insert(documents, ordered=not is_again)
            if is_again:  # others may have claimed what was there already
                documents = list(self._jobs.collection.find({"_id": {"$in": [each["_id"] for each in documents]}}))
            self._batch = None
            return sorted(self._jobs.readable(documents), key=lambda trial: trial.tid)

    def claim(self, owner: Owner) -> Trial | None:
        """Take the first NEW trial; claims.py says what holds when many do."""
        with self._asking():
            trial = self._claims.claim(owner)
        if trial is not None:
            self._settling.claimed(trial)
        return trial

    def heartbeat(self, trial: Trial, reports: Sequence[Report] = ()) -> None:
        """Count the beat up. Of very many reports the last 100 000 are kept."""
        with self._asking():
            self._settling.beat(running(trial), reports)

    def finish(self, trial: Trial, result: Result, files: Mapping[str, Path] | None = None) -> Trial:
        """RUNNING -> DONE, attachments first."""
        with self._asking():
            return self._settling.settle(running(trial), finished(trial, result, self.now()), files or {})

    def fail(self, trial: Trial, failure: Failure, *, retry: bool) -> Trial:
        """RUNNING -> NEW or ERROR. Of an error of more than 500 000 characters both ends are kept."""
        with self._asking():
            return self._settling.settle(running(trial), failed(trial, failure, self.now(), retry=retry), {})

    def release(self, trial: Trial) -> Trial:
        """RUNNING -> NEW without an attempt."""
        with self._asking():
            return self._settling.settle(running(trial), released(), {})

    def move(
        self,
        trial: Trial,
        to: TrialState,
        *,
        failure: Failure | None = None,
        result: Result | None = None,
        files: Mapping[str, Path] | None = None,
    ) -> Trial:
        """Make one of MOVES."""
        with self._asking():
            return self._settling.settle(trial, moved(trial, to, failure, result, self.now()), files or {})

    def changes(self, cursor: Any = None) -> tuple[Any, list[Trial]]:
        """What changed since; following.py says how it is found."""
        with self._asking():
            cursor, documents = self._follower.all() if cursor is None else self._follower.since(cursor)
            trials = sorted(self._jobs.readable(documents), key=lambda trial: trial.tid)
        if cursor.gone or len(trials) < len(documents) or self.unreadable:
            there = {document["tid"] for document in documents if type(document.get("tid")) is int}
            self.unreadable = (self.unreadable | cursor.gone | there).difference(trial.tid for trial in trials)
        if self._batch is not None and {each["tid"] for each in self._batch[1]} & {trial.tid for trial in trials}:
            self._batch = None  # whoever adds after this knows that they are there
        return cursor, trials

    def attachment(self, tid: int, name: str) -> Path:
        """A copy under ``trials/<tid>/attachments/``, made when it is asked for."""
        with self._asking():
            ids = self._attached(tid)
            if ids is None:
                raise KeyError(f"{name}: trial {tid} has no result")
            if name not in ids:
                others = ", ".join(ids) or "none"
                raise KeyError(f"{name}: trial {tid} has no attachment of this name; it has: {others}")
            path = self._copy(tid, name)
            if not self._files.fetch(ids[name], path):
                raise KeyError(f"{name}: this attachment of trial {tid} was cleared away; see `keep:`")
            return path

    def clear(self, tid: int) -> None:
        """Remove the attachments' files from GridFS, and copies of them."""
        with self._asking():
            self._files.delete((self._attached(tid) or {}).values())
        shutil.rmtree(self._copies(tid), ignore_errors=True)

    def restore(self, trial: Trial, files: Mapping[str, Path] | None = None) -> None:
        """Put a DONE trial of an earlier store back as it was, unless one with its tid is there."""
        with self._asking():
            self._settling.restore(trial, files or {})

    def skip(self, tid: int) -> None:
        """Have all later tids be larger than ``tid``."""
        with self._asking():
            layout.skip_tids(self.connection.database, tid)

    def get(self, key: str) -> Any:
        """A record, or None."""
        with self._asking():
            return self._records.get(key)

    def put(self, key: str, value: Any, *, expected: Any = ANY) -> bool:
        """Write a record if the present one is the ``expected`` one."""
        with self._asking():
            return self._records.put(key, value, expected)

    def now(self) -> float:
        """The server's time."""
        return self.connection.now()

    def close(self) -> None:
        """Hang up, and remove a temporary folder of attachments. In a forked child it is the parent's affair."""
        if os.getpid() == self._home[0]:
            self.connection.client.close()
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)

    @contextmanager
    def _asking(self) -> Iterator[None]:
        if (os.getpid(), threading.get_ident()) != self._home:
            raise StoreError(
                f"{self.connection.place}: opened by another thread, or before a fork: a store belongs to the thread "
                "that opened it; open one in each"
            )
        try:
            with explained(self.connection.place):
                yield
        except StoreError as error:
            if self._moves is not None and is_away(error):
                self._move(self._moves.look())
            raise

    def _move(self, connection: Connection | None) -> None:
        """Go on with another connection, if there is one; what was not answered is asked about there."""
        if connection is None:
            return
        self.connection.client.close()
        self.connection = connection
        self._jobs.use(connection)
        self._records.collection = connection.database[RECORDS]
        self._follower.jobs = self._jobs.collection

    def _insert(self, documents: list[Document], *, ordered: bool) -> None:
        try:
            self._jobs.collection.insert_many(documents, ordered=ordered)
        except BulkWriteError as error:
            if any(problem.get("code") != DUPLICATE for problem in error.details.get("writeErrors", [{}])):
                raise

    def _attached(self, tid: int) -> dict[str, ObjectId] | None:
        """The attachments of a trial that is done, by name; None where there is no result."""
        found = self._jobs.read(tid)
        if found is None or found.get("state") != TrialState.DONE:
            return None
        result = self._jobs.trial(found).result
        assert result is not None
        ids = [file_id for _, file_id in found.get("_attachments", ())]
        return dict(zip(result.attachments, ids, strict=True))

    def _copy(self, tid: int, name: str) -> Path:
        """Where a copy of an attachment is, or would be."""
        return self._copies(tid) / file_name(name)

    def _copies(self, tid: int) -> Path:
        if self._jobdir is not None:
            return self._jobdir.trial(tid) / "attachments"
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="hpcho-"))
        return self._folder / str(tid)
