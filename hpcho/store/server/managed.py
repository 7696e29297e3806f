"""A managed server as a process sees it that needs one: it is started, watched, let go and ended through its keeper."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from hpcho import inside
from hpcho.errors import StoreError, StoreStopped
from hpcho.store import location
from hpcho.store.server import lease, program
from hpcho.store.server.place import address_of, whereabouts
from hpcho.store.server.process import connections, needed
from hpcho.store.server.room import SERVER_BYTES, check_room

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hpcho.store.administration import Link
    from hpcho.store.server.place import Files

__all__ = ["ManagedServer"]

LOOK_S = 1.0
PAUSE_S = 0.05
START_S = 330.0
"""How long to wait for a server, and its keeper, which gives up by itself before."""
ALONE_S = 1.0
"""How long the connections of a process that leaves may take to be gone."""
GONE_S = 60.0
LINGER_S = 600.0
"""How long a server stays when nobody is connected, unless $HPCHO_SERVER_LINGER_S says otherwise."""


class ManagedServer:
    """The managed server of one experiment.

    ``choose_host`` says where workers are to reach it, should it have to be started; ``made_on`` is the host on which
    its data were begun; ``elsewhere`` gives the reason where another process is to start it, and None where none is.
    """

    def __init__(
        self,
        files: Files,
        *,
        choose_host: Callable[[], str],
        port: int | None,
        made_on: str,
        elsewhere: Callable[[], str | None],
    ) -> None:
        self._files = files
        self._choose_host, self._port, self._made_on = choose_host, port, made_on
        self._elsewhere = elsewhere
        self._keeper: subprocess.Popen[bytes] | None = None
        self._link: Link | None = None
        self._looked_at = 0.0

    def ensure(self, patience_s: float | None = None) -> bool:
        """Have a server that answers: the one that runs, or one that is started now.

        After ``patience_s`` False; without it, what is up later than START_S is an error. Raises StoreError, and
        StoreFull when there is no room for its data, StoreStopped where it is not for this process to start it.
        """
        deadline = time.monotonic() + (START_S if patience_s is None else patience_s)
        while not self._is_up():
            self._start_keeper()
            if time.monotonic() >= deadline:
                self._check_room()
                if patience_s is not None:
                    return False
                raise StoreError(self._said(f"has not answered within {START_S:g} s"))
            time.sleep(PAUSE_S)
        self._looked_at = time.monotonic()
        return True

    def look(self) -> None:
        """Once in LOOK_S see that the keeper lives; a dead one is replaced. Raises StoreError."""
        now = time.monotonic()
        if now - self._looked_at < LOOK_S:
            return
        self._looked_at = now
        holder = lease.read(self._files.place)
        if holder is not None and not holder.may_live:
            self.ensure()

    def release(self, *, await_end: bool = False) -> None:
        """Need it no more. If nobody else does, it ends now, and ``await_end`` waits for that."""
        self._hang_up()
        holder = lease.read(self._files.place)
        if holder is not None and holder.is_here and holder.may_live:
            with contextlib.suppress(ProcessLookupError):
                os.kill(holder.owner.pid, signal.SIGHUP)
            if await_end:
                self._await_end(holder, unless=self._is_used)
        if self._keeper is not None and self._keeper.poll() is None:
            if holder is None or holder.owner.pid != self._keeper.pid:
                self._keeper.terminate()  # it has not come to anything yet
            self._keeper.returncode = 0  # it outlives this process, which is no fault that Popen must warn of

    def stop(self) -> None:
        """End it, whoever uses it, and wait until it has. Raises StoreError."""
        self._hang_up()
        holder = lease.read(self._files.place)
        if holder is None or not holder.may_live:
            return
        if not holder.is_here:
            raise StoreError(self._said(f"runs on {holder.owner.host}: run this command there"))
        with contextlib.suppress(ProcessLookupError):
            os.kill(holder.owner.pid, signal.SIGTERM)
        if not self._await_end(holder):
            raise StoreError(self._said(f"does not end: its keeper is process {holder.owner.pid}"))

    # -- up --------------------------------------------------------------------------------------------------------

    def _is_up(self) -> bool:
        """Whether there is a server that answers; from then on this process is connected to it."""
        from hpcho.store.administration import Link  # noqa: PLC0415 - pymongo: what uses sqlite does without

        holder = lease.read(self._files.place)  # before the address: a server is noted there after its address is
        where = whereabouts(self._files.jobdir)
        if where is None or not where.is_running or (holder is not None and not holder.may_serve):
            return False
        try:
            current = address_of(self._files.jobdir)
        except StoreStopped:  # just now
            return False
        if self._link is None or self._link.address != current:
            self._hang_up()
            self._link = Link(current)
        # Looked at again: a server that found itself alone may have said meanwhile that it ends.
        return self._link.answers() and whereabouts(self._files.jobdir) == where

    def _start_keeper(self) -> None:
        """Start a keeper, unless there is one; one that finds another leaves by itself."""
        if self._keeper is not None:
            code = self._keeper.poll()
            if code is None:
                return
            self._keeper = None
            if code > 0 and code != lease.TAKEN:
                self._check_room()
                raise StoreError(self._said(f"cannot be kept running. The last lines of {self._files.log}"))
        holder = lease.read(self._files.place)
        if holder is not None and holder.is_here and holder.may_live:
            return
        if (reason := self._elsewhere()) is not None:
            raise StoreStopped(reason)
        self._check_host()
        command = self._command(program.find(self._files.written_by))
        self._files.make()
        with self._files.log.open("ab") as log:
            self._keeper = subprocess.Popen(
                inside.again(self._files.log, ["--python", *command[1:]]) or command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._files.folder,
                env=needed(),
                start_new_session=True,
            )

    def _command(self, found: program.Program) -> list[str]:
        linger_s = float(os.environ.get("HPCHO_SERVER_LINGER_S") or LINGER_S)
        options: dict[str, Any] = {"place": self._files.place, "program": found.path, "kind": found.kind}
        options |= {"host": self._choose_host(), "linger": linger_s}
        if self._port is not None:
            options["port"] = self._port
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        return [sys.executable, "-m", "hpcho.store.server", str(self._files.jobdir.path), *words]

    def _check_room(self) -> None:
        """Raises StoreFull where the server's files, or what it needs in the job directory, find no room."""
        check_room(self._files.place, SERVER_BYTES)
        check_room(self._files.folder)

    def _check_host(self) -> None:
        """Data on a disk of another machine can be served there alone."""
        here, place = socket.gethostname(), self._files.place
        if here == self._made_on:
            return
        if place.is_dir() and not (self._is_inside and location.is_shared(_kind(place))):
            return
        raise StoreError(
            f"the database of {self._files.jobdir.path} is on a disk of {self._made_on} ({place}), its server does not "
            f"run, and this is {here}: run the command on {self._made_on}"
        )

    @property
    def _is_inside(self) -> bool:
        """Whether the data are in the job directory."""
        return self._files.place == self._files.folder

    # -- down ------------------------------------------------------------------------------------------------------

    def _hang_up(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None

    def _is_used(self, holder: lease.Holder) -> bool:
        """Whether anybody but this process and the keeper is connected."""
        where = whereabouts(self._files.jobdir)
        if holder.server is None or where is None:
            return False
        return connections(holder.server.pid, where.port, but=holder.owner.pid) > 0

    def _await_end(self, holder: lease.Holder, unless: Callable[[lease.Holder], bool] = lambda _: False) -> bool:
        """Wait until the keeper is gone; False when it stays: for GONE_S, or because ``unless`` holds for ALONE_S."""
        began = unused_at = time.monotonic()
        while holder.owner.is_alive_here():
            now = time.monotonic()
            if not unless(holder):
                unused_at = now
            if now - began >= GONE_S or now - unused_at >= ALONE_S:
                return False
            time.sleep(PAUSE_S)
        if self._keeper is not None and self._keeper.pid == holder.owner.pid:
            self._keeper.wait()
        return True

    def _said(self, what: str) -> str:
        return f"the MongoDB server of {self._files.jobdir.path} {what}:\n{self._files.last_lines()}"


def _kind(place: Path) -> str | None:
    return location.filesystem(place, location.read_mountinfo())
