"""The run's records, in a collection of hpcho's own: values as JSON, written by compare-and-set."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from bson import ObjectId
from pymongo.errors import DuplicateKeyError

from hpcho.errors import StoreError
from hpcho.store.base import ANY
from hpcho.store.rows import as_json

if TYPE_CHECKING:
    from pymongo.collection import Collection

    from hpcho.store.mongo.connection import Document

__all__ = ["Records"]

NUMBER = "last number"
"""The key of the counter of numbered changes; no record of the run has it."""
ANNOUNCED = 256
"""The tids of how many numbered changes are kept. A reader that has missed more reads everything anew."""


class Records:
    """One experiment's records. Errors are pymongo's own; the caller translates them."""

    def __init__(self, collection: Collection[Document], exp_key: str | None) -> None:
        self.collection = collection
        self._exp_key = exp_key
        self._unsure: dict[tuple[str, str, Any], ObjectId] = {}

    def get(self, key: str) -> Any:
        """A record, or None."""
        return self._value(key, self.collection.find_one({"_id": self._id(key)}))

    def put(self, key: str, value: Any, expected: Any) -> bool:
        """Write a record if the present one is the ``expected`` one (ANY: whatever it is).

        Every write leaves a stamp of its own. One whose answer was lost is recognised by it when the same call is made
        again; and what was compared is what is replaced.
        """
        text = as_json(value)
        wanted = ANY if expected is ANY else json.loads(as_json(expected))
        call = (key, text, ANY if wanted is ANY else as_json(wanted))
        stamp = self._unsure.setdefault(call, ObjectId())
        while True:
            present = self.collection.find_one({"_id": self._id(key)})
            is_written = present is not None and present.get("stamp") == stamp
            if not is_written and wanted is not ANY and self._value(key, present) != wanted:
                break
            if is_written or self._replace(key, present, None if value is None else text, stamp):
                is_written = True
                break
        del self._unsure[call]
        return is_written

    def announce(self, tid: int) -> int:
        """Take the experiment's next number for a change of trial ``tid``, so that readers look for it."""
        where = {"_id": self._id(NUMBER)}
        while True:
            last, _ = self.announced()
            change = {"$set": {"last": last + 1}, "$push": {"tids": {"$each": [tid], "$slice": -ANNOUNCED}}}
            try:
                written = self.collection.update_one({**where, "last": last or None}, change, upsert=not last)
            except DuplicateKeyError:
                continue
            if written.matched_count or written.upserted_id is not None:
                return last + 1

    def announced(self) -> tuple[int, list[int]]:
        """The last number that was taken (they begin with 1), and the tids of the last ones, its own at the end."""
        document = self.collection.find_one({"_id": self._id(NUMBER)})
        return (0, []) if document is None else (document["last"], document["tids"])

    def _replace(self, key: str, present: Document | None, text: str | None, stamp: ObjectId) -> bool:
        """Put ``text`` (None: nothing) in the place of the document read; False when it has changed since."""
        if present is None:
            if text is None:
                return True
            document = {"_id": self._id(key), "exp_key": self._exp_key, "key": key, "value": text, "stamp": stamp}
            try:
                self.collection.insert_one(document)
            except DuplicateKeyError:
                return False
            return True
        same = {"_id": present["_id"], "stamp": present.get("stamp")}
        if text is None:
            return self.collection.delete_one(same).deleted_count == 1
        return self.collection.update_one(same, {"$set": {"value": text, "stamp": stamp}}).matched_count == 1

    def _value(self, key: str, document: Document | None) -> Any:
        if document is None:
            return None
        try:
            return json.loads(document["value"])
        except (ValueError, TypeError, KeyError) as error:
            raise StoreError(
                f"the record {key!r} of experiment {self._exp_key} is damaged ({error}): delete {document['_id']} from "
                f"collection {self.collection.name}"
            ) from error

    def _id(self, key: str) -> str:
        return as_json([self._exp_key, key])
