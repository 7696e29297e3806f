"""One sqlite file: its connections, transactions and checkpoints, and sqlite's errors in our words."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import random
import sqlite3
import stat
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpcho.errors import StoreError, StoreFull

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Database", "explained"]

BUSY_S = 30.0
"""How long a transaction waits for a program that holds the file without queueing for it."""
CHECKPOINT_EVERY = 250
"""Transactions of one process between two checkpoints: about 1000 pages of the write-ahead log."""
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
PROBE_BYTES = 64 * 1024
BRING_BACK = "Bring it back from a copy, or start over with `--fresh`"
APPLICATION_ID = int.from_bytes(b"hpco", "big")

ADVICE = (
    (
        "locked",
        "another process holds it: find it (`fuser {path}`), close it and try again",
    ),
    (
        "not a database",
        f"it was overwritten. {BRING_BACK}",
    ),
    ("malformed", "it is damaged. `sqlite3 {path} .recover` saves what is left; `--fresh` sets this run aside"),
    ("no such", f"its tables are not hpcho's. {BRING_BACK}"),
    ("readonly", "this user may not write to it or its folder. Ask its owner, who can open it with `group:`"),
    ("unable to open", "see that the folder is there and that this user may write to it and to the file"),
    ("disk I/O", "the disk or its file system failed. See `dmesg`, and that the folder is on a healthy local disk"),
    ("closed", "it was closed before; open the store again"),
    ("same thread", "a store belongs to the thread that opened it; open one in each thread"),
)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Raise what sqlite and the file system say about ``path`` as StoreError or StoreFull, with what to do."""
    try:
        yield
    except sqlite3.Error as error:
        said = str(error).rstrip(".")
        # sqlite knows ENOSPC; a quota (EDQUOT) it calls a disk I/O error.
        if "full" in said or (("disk I/O" in said or "unable to open" in said) and _is_full(path.parent)):
            raise _full(path) from error
        advice = next((advice for words, advice in ADVICE if words in said), "see that it is what hpcho has written")
        raise StoreError(f"{path}: {said}: {advice.format(path=path)}") from error
    except OSError as error:
        if error.errno in FULL:
            raise _full(Path(error.filename or path)) from error
        raise StoreError(f"{error.filename or path}: {error.strerror or error}: the store needs this file") from error


def _full(path: Path) -> StoreFull:
    return StoreFull(f"{path}: the disk or the quota is full. Nothing was lost: make room and it goes on")


def _is_full(folder: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error.errno in FULL
    return False


class Database:
    """A sqlite file in WAL mode, opened by one thread of one process.

    What must survive a power failure commits through one connection (``synchronous=FULL``), the rest through another
    (NORMAL: no fsync): the pragma itself works while a statement is compiled, so a cached one would not switch it.

    Writers queue for their turn on a file lock, in the order they come. sqlite's own lock still guards the data, but
    its waiters sleep and try again, ever longer: of two busy processes one gets nothing for seconds.
    """

    def __init__(self, path: Path, *, schema: str, version: int, create: bool) -> None:
        """Open the file at ``path``; with ``create``, make what is missing. Raises StoreError, StoreFull."""
        self.path = path
        self._pid = os.getpid()
        self._connections: tuple[sqlite3.Connection, ...] = ()
        # Any start: processes that begin together then do not all leave the log growing for as long.
        self._commits = random.randrange(CHECKPOINT_EVERY)
        if not create and not path.exists():
            raise StoreError(f"{path}: the database of this run is gone. {BRING_BACK}")
        with explained(path):
            self._queue = os.open(path.parent, os.O_RDONLY)
            try:
                if create:
                    _make(path)
                self._connections = (self._connect("FULL"), self._connect("NORMAL"))
                self._durable, self._light = self._connections
                self._prepare(schema, version, create=create)
            except BaseException:
                self._let_go()
                raise

    def read(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows of one SELECT."""
        self._check_process()
        with explained(self.path):
            return self._light.execute(sql, values).fetchall()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Several SELECTs that see the same moment."""
        self._check_process()
        with explained(self.path):
            self._light.execute("BEGIN")
            try:
                yield self._light
            finally:
                _roll_back(self._light)

    @contextmanager
    def writing(self, *, durable: bool) -> Iterator[sqlite3.Connection]:
        """A transaction: all of the block's writes or, when it raises, none. ``durable``: safe from a power failure."""
        self._check_process()
        connection = self._durable if durable else self._light
        with explained(self.path), self._turn():
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                _roll_back(connection)
                raise
            self._commits += 1
            if self._commits % CHECKPOINT_EVERY == 0:
                self._checkpoint()

    def close(self) -> None:
        """Close the file. Harmless twice, and in a forked child, which must leave its parent's connections alone."""
        if os.getpid() == self._pid:
            with explained(self.path):
                self._let_go()

    def _let_go(self) -> None:
        connections, self._connections = self._connections, ()
        for connection in connections:
            connection.close()
        if self._queue >= 0:
            os.close(self._queue)
            self._queue = -1

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            raise StoreError(f"{self.path}: opened by process {self._pid} before a fork: open it anew after it")

    @contextmanager
    def _turn(self) -> Iterator[None]:
        # The kernel ends the lock of a process that dies. Where the file system has no such locks, sqlite's must do.
        with contextlib.suppress(OSError):
            fcntl.flock(self._queue, fcntl.LOCK_EX)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                fcntl.flock(self._queue, fcntl.LOCK_UN)

    def _connect(self, synchronous: str) -> sqlite3.Connection:
        # As a URI, so that sqlite never makes a file by itself; None: transactions begin where we say.
        uri = f"{self.path.absolute().as_uri()}?mode=rw"
        connection = sqlite3.connect(uri, uri=True, timeout=BUSY_S, isolation_level=None)
        try:
            connection.execute(f"PRAGMA synchronous={synchronous}")
            connection.execute("PRAGMA wal_autocheckpoint=0")  # see _checkpoint
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _prepare(self, schema: str, version: int, *, create: bool) -> None:
        """Make a new file ours, or see that it is."""
        if self._stamp() == (APPLICATION_ID, version) and self._journal() == "wal":
            return
        with self._turn():
            found = self._stamp()
            is_new = found == (0, 0) and create and not self._light.execute("SELECT * FROM sqlite_master").fetchone()
            if not is_new:
                self._check_ours(found, version)
            if self._light.execute("PRAGMA journal_mode=WAL").fetchone()[0] != "wal":
                raise StoreError(f"{self.path}: its file system cannot hold it: set `job_dir:` to a local disk")
            if is_new:
                stamps = f"PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={version};"
                self._durable.executescript(f"BEGIN IMMEDIATE; {schema} {stamps} COMMIT;")

    def _check_ours(self, found: tuple[int, int], version: int) -> None:
        if self.path.stat().st_size == 0:
            raise StoreError(f"{self.path}: it is empty. {BRING_BACK}")
        if found[0] != APPLICATION_ID:
            raise StoreError(f"{self.path}: another program's database stands where hpcho's belongs: move it away")
        if found[1] != version:
            raise StoreError(
                f"{self.path}: written by another hpcho (format {found[1]}; this one reads {version}): use that "
                "one, or set the run aside with `--fresh`"
            )

    def _stamp(self) -> tuple[int, int]:
        pragmas = ("PRAGMA application_id", "PRAGMA user_version")
        application, version = (self._light.execute(pragma).fetchone()[0] for pragma in pragmas)
        return application, version

    def _journal(self) -> Any:
        return self._light.execute("PRAGMA journal_mode").fetchone()[0]

    def _checkpoint(self) -> None:
        """Move the write-ahead log into the database, while no process writes.

        sqlite before 3.51.3 can lose pages when a commit starts the log anew just as a checkpoint begins: so its
        automatic checkpoints are off, and ours hold the write lock. One that fails is made up for by the next.
        """
        with contextlib.suppress(sqlite3.Error):
            self._light.execute("BEGIN IMMEDIATE")
            try:
                self._durable.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            finally:
                _roll_back(self._light)


def _make(path: Path) -> None:
    """Make an empty file, for the group too where the folder is; sqlite gives the files beside it the same mode."""
    shared = path.parent.stat().st_mode & stat.S_IWGRP
    try:
        file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    except FileExistsError:
        return
    try:
        os.fchmod(file, 0o660 if shared else 0o600)
    finally:
        os.close(file)


def _roll_back(connection: sqlite3.Connection) -> None:
    with contextlib.suppress(sqlite3.Error):
        if connection.in_transaction:
            connection.execute("ROLLBACK")
