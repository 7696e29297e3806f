"""The objective of a run of hpcho's, put where hyperopt's own workers look for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcho.store.mongo.connection import explained
from hpcho.store.mongo.store import MongoStore
from hpcho.store.stock.files import Files

if TYPE_CHECKING:
    from hpcho.store.base import TrialStore

__all__ = ["publish"]


def publish(store: TrialStore, exp_key: str, name: str, blob: bytes) -> None:
    """Keep ``blob`` under ``name``, unless it stands there already: a worker may be reading it. Raises StoreError.

    ``store`` is the run's, a MongoDB: no other has hyperopt's own workers.
    """
    assert isinstance(store, MongoStore)
    with explained(store.connection.place):
        files = Files(store.connection.database, exp_key)
        newest = files.newest(name)
        if newest is None or files.read(newest) != blob:
            files.put(name, blob)
