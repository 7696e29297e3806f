"""One experiment's part of the collection ``jobs``: its documents read as trials, and the conditions of writes."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from hpcho.errors import ClaimLost
from hpcho.store.mongo.documents import Damaged, as_trial, owner_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hpcho.store.mongo.connection import Connection, Document
    from hpcho.store.mongo.gridfiles import GridFiles
    from hpcho.trial import Trial

__all__ = ["FENCE", "Jobs"]

FENCE = [("exp_key", 1), ("state", 1), ("tid", 1), ("version", 1), ("owner", 1)]
"""The index of what is asked of a document that is to be written; its beginning finds trials by state, by tid."""

log = logging.getLogger(__name__)


class Jobs:
    """Errors are pymongo's own; the caller translates them."""

    def __init__(self, connection: Connection, exp_key: str | None, files: GridFiles) -> None:
        self.exp_key = exp_key
        self.files = files
        self.warned: set[Any] = set()
        self.use(connection)

    def use(self, connection: Connection) -> None:
        """Go on with ``connection``, to the same database at another address."""
        self.collection = connection.database["jobs"]
        self.files.use(connection.database)
        self._connection = connection

    def now(self) -> float:
        """The server's time."""
        return self._connection.now()

    def fence(self, trial: Trial) -> Document:
        """What a write's document must be like: just the fields of the index FENCE."""
        where = {"exp_key": self.exp_key, "state": trial.state.value, "tid": trial.tid, "version": trial.version}
        return {**where, "owner": owner_names(trial.owner)}

    def read(self, tid: int, fields: Mapping[str, Any] | None = None) -> Document | None:
        """A trial's document, or the ``fields`` of it."""
        return self.collection.find_one({"exp_key": self.exp_key, "tid": tid}, fields)

    def trial(self, document: Document) -> Trial:
        """The trial in a document. Raises Damaged."""
        return as_trial(document, self.files.read)

    def readable(self, documents: Iterable[Document]) -> list[Trial]:
        """The trials in documents, but those that are damaged: these are named in a warning, once."""
        trials = []
        for document in documents:
            try:
                trials.append(self.trial(document))
            except Damaged as error:
                if document["_id"] not in self.warned:
                    self.warned.add(document["_id"])
                    log.warning("%s: %s; this trial is left out", self._connection.place, error)
        return trials

    def refusal(self, trial: Trial, found: Document | None) -> ClaimLost:
        """Why a write to ``trial`` was refused, its document being ``found``."""
        there = None if found is None else tuple(found.get(name) for name in ("version", "state", "owner"))
        return ClaimLost(
            f"{self._connection.place}: trial {trial.tid} has moved on. Version, state and owner are {there} by now; "
            f"this write knew {(trial.version, trial.state.value, owner_names(trial.owner))}"
        )
