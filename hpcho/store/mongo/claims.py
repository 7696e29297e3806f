"""Claims: one update, on condition that the trial is new, of the first one that is.

The server finds that trial in the index of new trials, so that it is the one with the smallest tid, however many claim
at once; and it changes a document only as it is at that moment, so that each goes to one claimer. A token in it tells
who got which. (findAndModify, with which hyperopt claims, would spare the second look, but is not atomic on every
server.)

When the answer is lost, the claim may have been made, or may be made yet by a server that stood still. The owner's next
claims then use its token again, and take what has it before anything else.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bson import ObjectId
from pymongo.errors import WriteError

from hpcho.store.mongo.documents import owner_names, utc
from hpcho.store.mongo.jobs import FENCE
from hpcho.trial import TrialState

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpcho.store.mongo.connection import Document
    from hpcho.store.mongo.jobs import Jobs
    from hpcho.trial import Owner, Trial

__all__ = ["Claims"]

AHEAD = 24
"""How far beyond its last trial a claimer first has the server look: some go through all that are new for the first."""
UNSURE_S = 300.0
"""How long a claim without an answer may yet be made."""


@dataclass
class Asked:
    """A claim on its way; ``given``: the ids of the documents that its token has brought."""

    token: ObjectId = field(default_factory=ObjectId)
    until: float = field(default_factory=lambda: time.monotonic() + UNSURE_S)
    given: set[Any] = field(default_factory=set)


class Claims:
    """The claims of one store object. Errors are pymongo's own; the caller translates them.

    ``announce`` has readers look at a trial again, and gives the number of that change.
    """

    def __init__(self, jobs: Jobs, announce: Callable[[int], int]) -> None:
        self._jobs = jobs
        self._announce = announce
        self._horizon: int | None = None
        self._unsure: dict[Owner, Asked] = {}

    def claim(self, owner: Owner) -> Trial | None:
        """Make the NEW trial with the smallest tid RUNNING for ``owner``; None when there is none."""
        earlier = self._unsure.get(owner)
        if earlier is not None:
            claimed = self._brought(earlier)
            if claimed is not None:
                return claimed
            if time.monotonic() > earlier.until:
                earlier = None
        asked = self._unsure[owner] = earlier or Asked()
        claimed = self._claim_first(owner, asked)
        if earlier is None:
            del self._unsure[owner]  # it was answered; after an error it stays
        return claimed

    def _claim_first(self, owner: Owner, asked: Asked) -> Trial | None:
        while True:
            if self._update_first(owner, asked.token):
                claimed = self._brought(asked)
                if claimed is not None:
                    self._horizon = claimed.tid + AHEAD
                    return claimed
            elif self._horizon is None:
                return None
            else:
                self._horizon = None

    def _update_first(self, owner: Owner, token: ObjectId) -> bool:
        at = utc(self._jobs.now())
        own = {"hpcho.owner": owner.to_json(), "hpcho.beat": 0, "hpcho.token": token}
        times = {"book_time": at, "refresh_time": at}
        change = {"state": TrialState.RUNNING.value, "owner": owner_names(owner), **times, **own}
        while True:
            try:
                return self._jobs.collection.update_one(self._first(), {"$set": change}, hint=FENCE).matched_count > 0
            except WriteError:
                # A document may be so damaged that it cannot be changed in this way; then the next one is the first.
                known = set(self._jobs.warned)
                documents = list(self._jobs.collection.find(self._first()))
                self._jobs.readable(documents)
                if len(self._jobs.warned) == len(known):
                    raise
                for document in documents:
                    if document["_id"] in self._jobs.warned - known:
                        self._announce(document["tid"])

    def _first(self) -> Document:
        """The condition. No more than the index holds, lest some servers leave it aside."""
        where: Document = {"exp_key": self._jobs.exp_key, "state": TrialState.NEW.value}
        if self._horizon is not None:
            where["tid"] = {"$lt": self._horizon}
        if self._jobs.warned:
            where["_id"] = {"$nin": list(self._jobs.warned)}
        return where

    def _brought(self, asked: Asked) -> Trial | None:
        """A running trial with the token that was not given out before.

        A damaged one is put back and left there, and whoever follows the trials is told of it.
        """
        where = {"exp_key": self._jobs.exp_key, "state": TrialState.RUNNING.value}
        for found in self._jobs.collection.find(where, {"tid": 1, "hpcho.token": 1}):
            if not _has(found, asked.token) or found["_id"] in asked.given:
                continue
            document = self._jobs.collection.find_one({"_id": found["_id"]})
            readable = self._jobs.readable([document]) if document is not None and _has(document, asked.token) else []
            asked.given.add(found["_id"])
            if readable and readable[0].state is TrialState.RUNNING:
                return readable[0]
            if not readable:
                number = self._announce(found["tid"])
                back = {"state": TrialState.NEW.value, "owner": None, "hpcho.number": number}
                self._jobs.collection.update_one({"_id": found["_id"], "hpcho.token": asked.token}, {"$set": back})
        return None


def _has(document: Document, token: ObjectId) -> bool:
    own = document.get("hpcho")
    return isinstance(own, dict) and own.get("token") == token
