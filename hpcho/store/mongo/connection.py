"""The connection to a MongoDB, and what goes wrong with it in our words: never with a password or a URL's userinfo."""

from __future__ import annotations

import errno
import math
import re
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from bson.codec_options import CodecOptions, DatetimeConversion, TypeDecoder, TypeRegistry
from bson.int64 import Int64
from gridfs.errors import GridFSError
from pymongo import MongoClient, WriteConcern
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    ConfigurationError,
    InvalidName,
    InvalidOperation,
    InvalidURI,
    PyMongoError,
)
from pymongo.uri_parser import parse_uri

from hpcho.errors import StoreError, StoreFull, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pymongo.database import Database

__all__ = ["Connection", "Document", "connected", "explained", "is_away", "is_refused"]

Document = dict[str, Any]

DEFAULTS = {
    "appname": "hpcho",
    "serverMonitoringMode": "poll",  # one question in ten seconds, and a thread less here and there
    "serverSelectionTimeoutMS": 5_000,
    "connectTimeoutMS": 5_000,
    "socketTimeoutMS": 60_000,
}
"""Where the URL says nothing else."""
CONCERN = WriteConcern(w="majority", j=True, wtimeout=30_000)
"""Acknowledged when it is in the journal, on most members where there are several: a failover undoes nothing then."""

AUTHENTICATION_FAILED, UNAUTHORIZED, OUT_OF_DISK_SPACE, TOO_LARGE = 18, 13, 14031, 10334
FULL_WORDS = ("no space left", "disk full", "out of disk space", "quota exceeded", "space quota")
ADVICE = {
    AUTHENTICATION_FAILED: "the user or the password is wrong: see the URL's user and authSource, and the password",
    UNAUTHORIZED: "this user may not do that: give it the role readWrite on this database",
    TOO_LARGE: "a trial's document is full: report less often, or return less beside the loss",
}
NOISE = re.compile(r" \(configured timeouts:|, Timeout: |, Topology Description:|, full error: ")
"""What pymongo says after the reason."""


class _PlainInt(TypeDecoder):
    """64-bit integers come back as int, not as bson's own class, which would travel on in pickles."""

    bson_type = Int64

    def transform_bson(self, value: Any) -> int:
        return int(value)


# A document that other hands have damaged must not keep the rest from being read: odd text and times are no errors.
CODEC: CodecOptions[Document] = CodecOptions(
    type_registry=TypeRegistry([_PlainInt()]),
    unicode_decode_error_handler="replace",
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
)


@dataclass(frozen=True)
class Connection:
    """A client, the database that its URL names, and how messages call the two."""

    client: MongoClient[Document]
    database: Database[Document]
    place: str
    ahead_s: float = 0.0
    """By how much the server's clock is ahead of this machine's."""

    def now(self) -> float:
        """The server's time, in the whole milliseconds that MongoDB keeps, begun ones included."""
        return math.ceil((time.time() + self.ahead_s) * 1000) / 1000


def connected(url: str, password: str | None = None) -> Connection:
    """Connect to the database that ``url`` names; pymongo alone reads the URL. Waits a few seconds at most.

    ``password`` goes with the user in the URL. The caller closes the client. Raises UsageError for a URL that is wrong,
    StoreError when the server cannot be reached or refuses.
    """
    try:
        parsed = parse_uri(url)
    except (InvalidURI, InvalidName, ConfigurationError, ValueError) as error:
        raise _unreadable(url, error) from None
    if not parsed["database"]:
        raise UsageError("the URL of the MongoDB names no database: let it end with /DATABASE")
    hosts = parsed["fqdn"] or ", ".join(f"{host}:{port}" for host, port in parsed["nodelist"])
    place = f"MongoDB at {hosts}, database {parsed['database']}"
    options: dict[str, Any] = {name: value for name, value in DEFAULTS.items() if name not in parsed["options"]}
    if password is not None:
        options["password"] = password
    with explained(place):
        try:
            # An unacknowledged write is recognised when it is repeated, on every server; pymongo's own repeating is
            # for replica sets only.
            client: MongoClient[Document] = MongoClient(url, retryWrites=False, **options)
        except (InvalidURI, ConfigurationError, ValueError) as error:
            raise _unreadable(url, error) from None
        try:
            ahead_s = _ahead_s(client)
        except BaseException:
            client.close()
            raise
        database = client.get_database(parsed["database"], codec_options=CODEC, write_concern=CONCERN)
    return Connection(client, database, place, ahead_s)


def _ahead_s(client: MongoClient[Document]) -> float:
    """By how much the server's clock is ahead, to half of what its answer takes; 0 where it does not tell its time.

    Two machines of one cluster may be minutes apart, and a trial's times come from both its worker and the controller.
    """
    asked_at = time.time()
    told = client.admin.command("hello").get("localTime")
    answered_at = time.time()
    if not isinstance(told, datetime):
        return 0.0
    return told.replace(tzinfo=timezone.utc).timestamp() - (asked_at + answered_at) / 2


@contextmanager
def explained(place: str) -> Iterator[None]:
    """Raise what pymongo and the file system say as StoreError or StoreFull, with what to do."""
    try:
        yield
    except (PyMongoError, GridFSError) as error:
        raise _translated(place, error) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreFull(
                f"{error.filename}: the disk or the quota is full. Nothing was lost: make room and it goes on"
            ) from error
        raise StoreError(f"{error.filename}: {error.strerror or error}: the store needs this file") from error


def is_away(error: StoreError) -> bool:
    """Whether the server may be elsewhere: it does not answer, or another one answers, which refuses the password."""
    return isinstance(error.__cause__, AutoReconnect) or is_refused(error)


def is_refused(error: StoreError) -> bool:
    """Whether the server does not take the password."""
    return getattr(error.__cause__, "code", None) == AUTHENTICATION_FAILED


def _translated(place: str, error: Exception) -> StoreError:
    said = _words(error)
    code = getattr(error, "code", None)
    if code == OUT_OF_DISK_SPACE or any(words in said.lower() for words in FULL_WORDS):
        return StoreFull(
            f"{place}: its disk or quota is full. Nothing was lost: make room there and it goes on ({said})"
        )
    if code in ADVICE:
        advice = ADVICE[code]
    elif isinstance(error, AutoReconnect):
        advice = "see that the server is running and that this machine may reach it; the same call may be made again"
    elif isinstance(error, InvalidOperation) and "close" in said:
        advice = "it was closed before; open the store again"
    elif isinstance(error, ConfigurationError):
        advice = "see the URL, and that the server's version is one that pymongo serves"
    else:
        advice = "see the server's log; the same call may be made again"
    return StoreError(f"{place}: {said}: {advice}")


def _words(error: Exception) -> str:
    """pymongo's reason, in one line and without the state of all servers behind it."""
    if isinstance(error, BulkWriteError):
        problems = error.details.get("writeErrors") or error.details.get("writeConcernErrors") or [{}]
        return str(problems[0].get("errmsg", error))
    return NOISE.split(str(error))[0].strip().replace("\n", " ").rstrip(".:")


def _unreadable(url: str, error: Exception) -> UsageError:
    # With an odd character in a password, what pymongo takes for a host or a port may be a piece of it.
    why = "" if "@" in url else f" ({error})"
    return UsageError(
        f"the URL of the MongoDB cannot be used{why}: write mongodb://USER@HOST:PORT/DATABASE?OPTIONS, with user and "
        "password percent-encoded where they hold other than letters and digits"
    )
