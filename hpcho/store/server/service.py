"""What a run's store needs to be there: nothing, a MongoDB elsewhere, or a managed server of its own.

A process that uses the store does so inside ``attend``, and asks it what to do when the store cannot be reached.
"""

from __future__ import annotations

import json
import socket
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from hpcho.errors import ResumeError, StoreError, StoreFull, StoreLost, StoreStopped
from hpcho.store import location
from hpcho.store.address import Address, read_password
from hpcho.store.server import network
from hpcho.store.server.managed import ManagedServer
from hpcho.store.server.place import Files, address_of, folder_of
from hpcho.store.server.room import check_room

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from hpcho.experiment.schema import Experiment, MongoSpec
    from hpcho.jobdir import JobDir

__all__ = ["Service", "attend", "choose_host", "mongo_of", "way_in"]

AWAY_S = 900.0
"""How long a store that was there may be away before the run gives up."""
PAUSE_S = 1.0
PATIENCE_S = 5.0
"""How long our own server is waited for before the user's signals are looked at again."""
ROOM_S = 5.0
"""How often it is seen to that there is room."""


class Service(Protocol):
    """What keeps the store reachable while a process uses it."""

    def look(self) -> None:
        """All is well: see that it stays so. Cheap, to be called now and then. Raises StoreError."""

    def bear(self, error: StoreError) -> StoreError:
        """The store gave ``error``: return when it makes sense to try again, with what is the matter, else raise it."""

    def stop(self) -> None:
        """End the store's server, if there is one of its own, and wait until it has. Raises StoreError."""


class _Embedded:
    """A store without a server: its errors do not pass by themselves."""

    def look(self) -> None:
        """There is nothing to look after."""

    def bear(self, error: StoreError) -> StoreError:
        """Waiting does not help."""
        raise error

    def stop(self) -> None:
        """There is nothing to end."""


class _Served:
    """A MongoDB, which may be away for a while; ``server``: the one that is ours."""

    def __init__(self, jobdir: JobDir, server: ManagedServer | None) -> None:
        self._jobdir = jobdir
        self._server = server
        self._away_since: float | None = None
        self._room_due = 0.0

    def look(self) -> None:
        """It is there again, or still. Raises StoreFull when workers' results find no room in the job directory."""
        self._away_since = None
        if time.monotonic() >= self._room_due:
            check_room(self._jobdir.path)
            self._room_due = time.monotonic() + ROOM_S
        if self._server is not None:
            self._server.look()

    def bear(self, error: StoreError) -> StoreError:
        """Wait a moment, and have our own server again: up to AWAY_S in all, and for room on a disk without end."""
        if isinstance(error, StoreLost):
            raise error
        now = time.monotonic()
        if self._away_since is None:
            self._away_since = now
        try:
            if self._server is not None:
                with suppress(StoreStopped):  # then whoever is to start it takes a while
                    self._server.ensure(PATIENCE_S)
        except StoreFull as full:
            error = full
        if isinstance(error, StoreFull):
            self._away_since = None
        elif now - self._away_since > AWAY_S:
            raise error
        time.sleep(PAUSE_S)
        return error

    def stop(self) -> None:
        """Somebody else's is left alone."""
        if self._server is not None:
            self._server.stop()


@contextmanager
def attend(
    jobdir: JobDir,
    experiment: Experiment | None = None,
    note: Callable[[str], None] | None = None,
    *,
    await_end: bool = False,
    machines: Callable[[], Iterable[str]] = tuple,
    elsewhere: Callable[[], str | None] = lambda: None,
) -> Iterator[Service]:
    """Have the store of ``jobdir`` reachable meanwhile; our own server is started where it does not run.

    ``experiment``: what to go by instead of the settings in the record. At the first time it is noted in the record
    where the trials are, and ``note`` is told what the user should know of that. Our own server ends when nobody needs
    it any more; ``await_end`` waits for that. ``machines`` gives addresses from which it must be reached, as far as any
    are known. ``elsewhere`` is asked before our own server is started, and gives the reason where another process is to
    do that. Raises StoreError, which then is StoreStopped, and ResumeError when ``experiment`` wants another store than
    the one where the trials are.
    """
    record = jobdir.read_record()
    if record is None:
        raise StoreError(f"{jobdir.path}: no experiment here (no experiment.json); `hpcho run` starts one")
    experiment = experiment or _experiment(record)
    spec = mongo_of(record, experiment)
    if spec is None:
        yield _Embedded()
        return
    noted = record.get("database")
    if noted is None:
        noted = _note(jobdir, record, spec, note)
    if spec.url is not None:
        yield _Served(jobdir, None)
        return

    files = Files(jobdir, jobdir.path / noted["path"])
    server = ManagedServer(
        files,
        choose_host=lambda: choose_host(experiment, spec, machines),
        port=spec.port,
        made_on=noted["host"],
        elsewhere=elsewhere,
    )
    try:
        server.ensure()
        yield _Served(jobdir, server)
    finally:
        server.release(await_end=await_end)


def choose_host(experiment: Experiment, spec: MongoSpec, machines: Callable[[], Iterable[str]]) -> str:
    """Where workers reach a server that this machine starts for ``experiment``. Raises StoreError.

    ``machines`` gives addresses from which it must be reached, as far as any are known.
    """
    if spec.host is not None:
        return spec.host
    return network.LOOPBACK if experiment.launcher.local else network.reachable_address(machines())


def mongo_of(record: Mapping[str, Any], experiment: Experiment | None = None) -> MongoSpec | None:
    """The MongoDB that keeps the trials; None where sqlite does. Where they are already decides.

    Raises ResumeError when ``experiment`` (default: the record's) wants them elsewhere.
    """
    from hpcho.experiment.stores import MongoSpec  # noqa: PLC0415 - pydantic: where sqlite is noted it is not needed

    noted = record.get("database")
    if noted is not None and "kind" not in noted and experiment is None:
        return None
    if experiment is None:
        if "experiment" not in record:
            return None
        experiment = _experiment(record)
    if noted is None:
        return experiment.mongo
    is_mongo, wanted = noted.get("kind") == "mongo", experiment.store
    if not is_mongo and wanted.mongo is not None:
        raise ResumeError(_elsewhere(record, "sqlite"))
    if not is_mongo:
        return None
    spec = wanted.mongo or MongoSpec()
    if wanted.sqlite is not None or (noted["path"] is None) != (spec.url is not None):
        raise ResumeError(
            _elsewhere(record, "the MongoDB of a url" if noted["path"] is None else "a MongoDB of its own")
        )
    return spec


def way_in(jobdir: JobDir, record: Mapping[str, Any], spec: MongoSpec) -> Address:
    """The way in to the MongoDB ``spec``, for any process that sees the job directory. Raises StoreError."""
    if spec.url is None:
        return address_of(jobdir)
    if spec.password_file is None:
        return Address(spec.url)
    return Address(spec.url, read_password(_beside_yaml(record, spec.password_file)))


def _experiment(record: Mapping[str, Any]) -> Experiment:
    from hpcho.experiment.schema import Experiment  # noqa: PLC0415 - pydantic: as in mongo_of

    return Experiment.model_validate_json(json.dumps(record["experiment"]))


def _elsewhere(record: Mapping[str, Any], place: str) -> str:
    return (
        f"the trials of {record['name']} are in {place}, and `store:` in the YAML says otherwise: put it back, choose "
        "another `name:`, or `--fresh` to set the earlier run aside and start over"
    )


def _note(
    jobdir: JobDir, record: dict[str, Any], spec: MongoSpec, note: Callable[[str], None] | None
) -> dict[str, Any]:
    """Decide where the data of a managed server go, and write it down."""
    path, warning = (None, None) if spec.url is not None else _choose_place(jobdir, record, spec)
    if warning and note:
        note(warning)
    noted = {"kind": "mongo", "host": socket.gethostname(), "path": path}
    jobdir.write_record({**record, "database": noted})
    return noted


def _choose_place(jobdir: JobDir, record: Mapping[str, Any], spec: MongoSpec) -> tuple[str, str | None]:
    """The place, from the job directory on where it is in there, and what the user should know of it."""
    mounts = location.read_mountinfo()
    if spec.data_dir is not None:
        place = _beside_yaml(record, spec.data_dir) / record["uuid"]
        kind = location.filesystem(place, mounts)
        slow = f"data_dir is on {kind}, where a database is slow and may be damaged: a local disk is better"
        return str(place), slow if location.is_shared(kind) else None
    place = location.choose(jobdir.path, record["uuid"], mounts).parent
    if place == jobdir.path:
        return folder_of(jobdir).name, None
    return str(place), (
        f"the job directory is on {location.filesystem(jobdir.path, mounts)}, where databases get damaged: the trials "
        f"go to {place} on {socket.gethostname()}, which must run the server from now on (`data_dir:` says where else)"
    )


def _beside_yaml(record: Mapping[str, Any], path: str) -> Path:
    return (Path(record["yaml"]).parent / Path(path).expanduser()).absolute()
