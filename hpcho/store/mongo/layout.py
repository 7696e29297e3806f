"""What a database must have before it is written to: hyperopt's indexes and counter, and ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bson import ObjectId
from pymongo import IndexModel
from pymongo.errors import DuplicateKeyError

from hpcho.errors import StoreError
from hpcho.store.mongo.jobs import FENCE

if TYPE_CHECKING:
    from pymongo.database import Database

    from hpcho.store.mongo.connection import Document

__all__ = ["next_tids", "prepare", "skip_tids"]

FORMAT = 1
COUNTER = {"a": 0}
"""hyperopt's counter of tids; it looks for just this."""
COUNTER_ID = ObjectId(b"hpcho job_id")
"""Two programs that make the counter at once make one."""
HYPEROPT = ("exp_key", "result.loss", "book_time")


def prepare(database: Database[Document]) -> None:
    """Make what is missing. Raises StoreError for a database of a later hpcho, and what pymongo raises."""
    counter = database["job_ids"].find_one(COUNTER)
    found = 0 if counter is None else counter.get("hpcho", 0)
    if found > FORMAT:
        raise StoreError(
            f"database {database.name} was written by a later hpcho (format {found}; this one knows {FORMAT}): use "
            "that one, or another database"
        )
    if found == FORMAT:
        return
    indexes = [IndexModel(name) for name in HYPEROPT]
    indexes += [IndexModel([("exp_key", 1), ("tid", 1)]), IndexModel(FENCE)]
    database["jobs"].create_indexes(indexes)
    database["drivers"].create_index("exp_key", unique=True)
    _make_counter(database)
    database["job_ids"].update_one(COUNTER, {"$set": {"hpcho": FORMAT}})


def next_tids(database: Database[Document], n: int) -> range:
    """Take n tids; they are unique in the whole database."""
    counters = database["job_ids"]
    while True:
        counter = counters.find_one(COUNTER)
        if counter is None:
            _make_counter(database)
            continue
        first = counter.get("last_id", 0)
        # On condition, as everything here: findAndModify, which hyperopt uses, is not atomic on every server.
        same = {"_id": counter["_id"], "last_id": counter.get("last_id")}
        if counters.update_one(same, {"$set": {"last_id": first + n}}).matched_count:
            return range(first, first + n)


def skip_tids(database: Database[Document], beyond: int) -> None:
    """Have all later tids be larger than ``beyond``."""
    while True:
        (first,) = next_tids(database, 1)
        if first > beyond:
            return
        same = {**COUNTER, "last_id": first + 1}
        if database["job_ids"].update_one(same, {"$set": {"last_id": beyond + 1}}).matched_count:
            return


def _make_counter(database: Database[Document]) -> None:
    """Make the counter if there is none, beyond the trials that are there already."""
    if database["job_ids"].find_one(COUNTER) is not None:
        return
    last = next(database["jobs"].find({"tid": {"$type": "number"}}, {"tid": 1}).sort("tid", -1).limit(1), {"tid": -1})
    try:
        database["job_ids"].insert_one({"_id": COUNTER_ID, **COUNTER, "last_id": int(last["tid"]) + 1})
    except DuplicateKeyError:
        return
