"""The experiment's store: where it is or will be, and whether it can be reached."""

from __future__ import annotations

import contextlib
import secrets
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from hpcho.doctor.finding import Finding, failed, ok
from hpcho.doctor.packages import NO_SERVER
from hpcho.errors import HpchoError
from hpcho.store import location
from hpcho.store.server import choose_host, network, place, program, way_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from hpcho.experiment import Experiment
    from hpcho.experiment.schema import MongoSpec
    from hpcho.jobdir import JobDir

    Machines = Callable[[], Iterable[str]]

__all__ = ["Greeter", "greeter", "greets", "reach", "store"]

NAME = "store"
REACH_S = 10.0
"""How long a machine may take to answer."""


def store(experiment: Experiment, jobdir: JobDir, record: Mapping[str, Any], machines: Machines) -> Finding:
    """Whether the store can be used from here. Starts no server.

    ``record``: at least where the YAML is. ``machines``: see ``hpcho.store.attend``.
    """
    mongo = experiment.mongo
    if mongo is None:
        kind = location.filesystem(jobdir.path, location.read_mountinfo())
        where = f"on a local disk, as {kind} damages databases" if location.is_shared(kind) else "in the job directory"
        return ok(NAME, f"sqlite, {where}")
    try:
        if mongo.url is not None or _is_running(jobdir):
            return reach(jobdir, record, mongo)
        found = program.find()
        return ok(NAME, f"the run will start {found.path} at {choose_host(experiment, mongo, machines)}")
    except HpchoError as error:
        is_missing = str(error) == program.WAYS
        words = str(error).partition("\n")[0].partition(". There are")[0]
        return failed(NAME, words, NO_SERVER if is_missing else "see `store:` in docs/stores.md")


def reach(jobdir: JobDir, record: Mapping[str, Any], mongo: MongoSpec) -> Finding:
    """Whether the MongoDB that runs answers here, and takes the password."""
    from hpcho.store.administration import Link  # noqa: PLC0415 - pymongo: what uses sqlite does without

    try:
        way = way_in(jobdir, record, mongo)
        with contextlib.closing(Link(way)) as link:
            if link.answers():
                return ok(NAME, f"{way.url} answers")
    except HpchoError as error:
        return failed(NAME, str(error), "mend `store:`, or the password's file")
    return failed(NAME, f"{way.url} does not answer from here", _mend(mongo))


class Greeter:
    """Stands where a server of the run's own will be, so that others can try whether they reach it."""

    def __init__(self, host: str, port: int) -> None:
        listen = network.listening_address(host)
        family = socket.AF_INET6 if ":" in listen else socket.AF_INET
        self.host, self.word = host, secrets.token_hex(8)
        self._socket = socket.create_server((listen, port), family=family)
        self.port = int(self._socket.getsockname()[1])

    def serve(self) -> None:
        """Say the word to each that comes, until closed."""
        while True:
            try:
                connection, _ = self._socket.accept()
                with connection:
                    connection.sendall(self.word.encode())
            except OSError:
                if self._socket.fileno() < 0:
                    return

    def close(self) -> None:
        """Leave; ``serve`` returns."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


@contextmanager
def greeter(experiment: Experiment, jobdir: JobDir, machines: Machines) -> Iterator[Greeter | None]:
    """A greeter meanwhile, where a server of the run's own is not there yet; else None. Raises StoreError, OSError."""
    mongo = experiment.mongo
    if mongo is None or mongo.url is not None or _is_running(jobdir):
        yield None
        return
    there = Greeter(choose_host(experiment, mongo, machines), mongo.port or 0)
    thread = threading.Thread(target=there.serve, daemon=True)
    thread.start()
    try:
        yield there
    finally:
        there.close()
        thread.join(REACH_S)


def greets(host: str, port: int, word: str, mongo: MongoSpec) -> Finding:
    """Whether the greeter is reached from here."""
    where = f"{host}:{port}"
    try:
        with socket.create_connection((host, port), REACH_S) as connection:
            connection.settimeout(REACH_S)
            heard = connection.makefile("rb").read(len(word)).decode(errors="replace")
    except OSError as error:
        return failed(NAME, f"{where}, where the run's server will be, is not reached: {error}", _mend(mongo))
    if heard != word:
        return failed(NAME, f"at {where} another machine answers than the one that runs `hpcho doctor`", _mend(mongo))
    return ok(NAME, f"{where}, where the run's server will be, is reached")


def _is_running(jobdir: JobDir) -> bool:
    where = place.whereabouts(jobdir)
    return where is not None and where.is_running


def _mend(mongo: MongoSpec) -> str:
    if mongo.url is not None:
        return "see that the server runs, and that its firewall lets this machine in"
    return (
        "another address or an open port of this machine: `store: {mongo: {host: ..., port: ...}}`; or `hpcho run "
        "--as-job`, which has the server on a compute node"
    )
