"""Keeps trials and their files: the contract (base) and its implementations."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING

from hpcho.errors import StoreError
from hpcho.store import location
from hpcho.store.base import ANY, MOVES, Restorable, TrialStore
from hpcho.store.server import Service, attend, mongo_of, way_in
from hpcho.store.sqlite import SqliteStore

if TYPE_CHECKING:
    from hpcho.experiment.schema import Experiment
    from hpcho.jobdir import JobDir
    from hpcho.store.address import Address

__all__ = ["ANY", "MOVES", "Restorable", "Service", "TrialStore", "attend", "open_store"]


def open_store(jobdir: JobDir, experiment: Experiment | None = None) -> TrialStore:
    """Open the store of the experiment in ``jobdir``; at the first time make it, and note in the record where it is.

    Where a MongoDB keeps the trials it must be reachable: ``attend`` sees to that. ``experiment``: what to go by
    instead of the settings in the record. The caller closes the store. Raises StoreError, StoreFull.
    """
    record = jobdir.read_record()
    if record is None:
        raise StoreError(f"{jobdir.path}: no experiment here (no experiment.json); `hpcho run` starts one")
    mongo = mongo_of(record, experiment)
    if mongo is not None:
        from hpcho.store.mongo import connect  # noqa: PLC0415 - pymongo: what uses sqlite does without

        def find() -> Address:
            return way_in(jobdir, record, mongo)

        way = find()
        return connect(way.url, way.password, exp_key=record["name"], jobdir=jobdir, find=find)
    noted = record.get("database")
    if noted is not None:
        return SqliteStore(_noted(jobdir, noted["host"], noted["path"]), jobdir, create=False)
    path = location.choose(jobdir.path, record["uuid"])
    store = SqliteStore(path, jobdir)
    # In the job directory the name is enough: it still holds when the folder is moved.
    relative = path.name if path.parent == jobdir.path else str(path)
    try:
        jobdir.write_record({**record, "database": {"host": socket.gethostname(), "path": relative}})
    except BaseException:
        store.close()
        raise
    return store


def _noted(jobdir: JobDir, host: str, noted: str) -> Path:
    """The database's path, if it is on a disk of this machine."""
    path = jobdir.path / noted
    here = socket.gethostname()
    if Path(noted).is_absolute():
        if here != host:
            raise StoreError(
                f"the database of {jobdir.path} is on a disk of {host} ({path}), and this is {here}: run the command "
                f"on {host}. If this machine was renamed, put its new name under `database` in {jobdir.record_file}"
            )
        return path
    kind = location.filesystem(path.parent, location.read_mountinfo())
    if location.is_shared(kind):
        raise StoreError(
            f"{path} is on {kind} here, where sqlite databases get damaged: run the command on {host}, where it is "
            f"on a local disk, or copy {jobdir.path} to a local disk of this machine"
        )
    return path
