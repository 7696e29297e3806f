"""The process that keeps a managed server: it starts the server, secures it, and starts it again when it has died.

When the controller is killed it goes on, so that workers can deliver what they have. It ends the server when nobody has
been connected to it for a while, and the kernel ends the server when the keeper itself is killed. So neither is left
behind for ever.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import tempfile
import time
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from hpcho.errors import StoreError, StoreFull
from hpcho.store import address
from hpcho.store.administration import Link, make_tables, make_user
from hpcho.store.server import network
from hpcho.store.server.lease import TAKEN, Lease, LeaseLost
from hpcho.store.server.place import Whereabouts, whereabouts
from hpcho.store.server.process import TICK_S, ServerProcess, end
from hpcho.store.server.program import EMBEDDED
from hpcho.store.server.room import SERVER_BYTES, check_room, is_full

if TYPE_CHECKING:
    from types import FrameType

    from hpcho.store.server.place import Files
    from hpcho.store.server.program import Program

__all__ = ["FAILED", "Keeper", "Wish"]

log = logging.getLogger(__name__)

FAILED = 3
"""Exit code: the server cannot be kept, and the log's last lines say why."""

LOOK_S = 1.0
"""How often connections are counted and the log is measured."""
PARTING_S = 5.0
"""How long the connections of somebody who leaves may take to be gone."""
START_S = 300.0
"""How long a server may take until it answers: after a kill it goes through its journal first."""
FULL_S = 2.0
"""How often a server that has ended on a full disk is started again."""
ERRORS = 3
"""So many errors for an answer, one after another, and a server is started again: its disk was full, or is broken."""
UNSTARTED, DEATHS, DEATHS_S = 4, 20, 60.0
"""So many servers in a row that never answered, or so many deaths within so many seconds, and it is given up."""


@dataclass(frozen=True)
class Wish:
    """What a managed server is to be like: at ``host``, at ``port`` (None: the one it had, or a free one).

    It ends when nobody was connected for ``linger_s``.
    """

    host: str
    port: int | None
    linger_s: float


class Keeper:
    """One turn at keeping a server."""

    def __init__(self, files: Files, program: Program, wish: Wish) -> None:
        self._files, self._program, self._wish = files, program, wish
        self._lease = Lease(files.place)
        self._has_somebody_left = Event()
        self._told_to_stop = Event()
        self._server: ServerProcess | None = None
        self._password = ""

    def run(self) -> int:
        """Keep the server until it is not needed any more; an exit code."""
        self._listen_to_signals()
        try:
            self._files.make()
            self._lease.take()
            if self._lease.holder is None:
                return TAKEN
            if self._lease.earlier is not None and self._lease.earlier.server is not None:
                # A killed keeper's: nothing may write to the data any more.
                end(self._lease.earlier.server, self._lease.beat)
            self._provision()
            self._keep()
        except LeaseLost as error:
            log.error("%s: this keeper ends", error)  # noqa: TRY400 - said in full
            if self._server is not None:
                self._server.kill()
            return TAKEN
        except (StoreError, OSError) as error:
            log.error("%s", error)  # noqa: TRY400 - said in full
            return FAILED
        finally:
            self._leave()
        return 0

    def _listen_to_signals(self) -> None:
        """TERM: stop. HUP: somebody who needed the server has left, so stop if nobody is connected now."""

        def hear(number: int, frame: FrameType | None) -> None:
            del frame
            if number == signal.SIGHUP:
                self._has_somebody_left.set()
            else:
                self._told_to_stop.set()

        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, hear)

    def _leave(self) -> None:
        """Leave no server, a true address and a free lease behind."""
        with contextlib.suppress(OSError, StoreError, LeaseLost):
            self._stop()
        if self._lease.holder is not None:
            with contextlib.suppress(OSError, StoreError):
                where = whereabouts(self._files.jobdir)
                if where is not None and where.is_running:
                    self._files.publish(replace(where, is_running=False))
            self._lease.leave()

    # -- the server's life -----------------------------------------------------------------------------------------

    def _keep(self) -> None:
        unstarted = 0
        deaths: deque[float] = deque(maxlen=DEATHS)
        listen = network.listening_address(self._wish.host)
        while not self._told_to_stop.is_set():
            try:
                has_answered, is_over = self._serve(listen)
                if is_over or self._told_to_stop.is_set():
                    return
                check_room(self._files.place, SERVER_BYTES)
            except (StoreFull, OSError) as error:
                if isinstance(error, OSError) and not is_full(error):
                    raise
                log.warning("%s", error)
                self._stop()
                self._wait(FULL_S)
                continue
            unstarted = 0 if has_answered else unstarted + 1
            deaths.append(time.monotonic())
            if unstarted >= UNSTARTED or (len(deaths) == DEATHS and deaths[-1] - deaths[0] < DEATHS_S):
                raise StoreError(f"{self._program.path} does not stay up: it has ended {len(deaths)} times")
            self._wait(0.1 * 2**unstarted)

    def _serve(self, listen: str) -> tuple[bool, bool]:
        """One server's life: whether it has answered, and whether it was ended because nobody needs it."""
        where = Whereabouts(self._wish.host, self._port(listen), self._program.kind, is_running=True)
        self._leave_port(where)
        server = self._start(self._program.secured(self._files.place, listen, where.port))
        with contextlib.closing(Link(address.managed(where.host, where.port, self._password))) as link:
            has_answered = self._await(link)
            if has_answered:
                self._files.publish(where)
                if self._watch(server, where, link):
                    return True, True
        if not self._told_to_stop.is_set():
            log.warning("the server has ended (%s)", server.code)
        return has_answered, False

    def _watch(self, server: ServerProcess, where: Whereabouts, link: Link) -> bool:
        """Until the server has died (False), or was ended because nobody needs it."""
        alone_since, looked_at, parting_until, errors = time.monotonic(), 0.0, 0.0, 0
        while server.code is None and not self._told_to_stop.is_set():
            self._lease.beat()
            now = time.monotonic()
            if self._has_somebody_left.is_set():
                self._has_somebody_left.clear()
                parting_until = now + PARTING_S
            if now < parting_until or now - looked_at >= LOOK_S:
                looked_at = now
                self._files.shorten_log()
                errors = errors + 1 if link.is_broken() else 0
                if errors >= ERRORS:
                    log.warning("the server answers with errors alone: ending it, to start it again")
                    server.stop(self._lease.beat)
                elif server.clients(where.port):
                    alone_since = now
                elif (now < parting_until or now - alone_since >= self._wish.linger_s) and self._may_end(server, where):
                    return True
            time.sleep(TICK_S)
        return False

    def _may_end(self, server: ServerProcess, where: Whereabouts) -> bool:
        """Say that the server does not run any more, unless somebody has come meanwhile.

        Whoever connects looks at the address again afterwards: one of the two sees the other.
        """
        try:
            self._files.publish(replace(where, is_running=False))
        except OSError as error:
            if not is_full(error):
                raise
        if server.clients(where.port) == 0:
            return True
        self._files.publish(where)
        return False

    def _leave_port(self, where: Whereabouts) -> None:
        """Before a server starts elsewhere, have nobody ask at the port that it had: that is another program's now."""
        earlier = whereabouts(self._files.jobdir)
        if earlier is not None and earlier.is_running and earlier != where:
            self._files.publish(where)

    def _port(self, listen: str) -> int:
        """The port that was asked for, or else the one it had, or a free one."""
        if self._wish.port is not None:
            if not network.is_free(listen, self._wish.port):
                raise StoreError(
                    f"port {self._wish.port} of {listen} is in use: set another in `store: {{mongo: {{port: ...}}}}`, "
                    "or none, and a free one is taken"
                )
            return self._wish.port
        earlier = whereabouts(self._files.jobdir)
        if earlier is not None and network.is_free(listen, earlier.port):
            return earlier.port
        return network.free_port(listen)

    # -- the first start -------------------------------------------------------------------------------------------

    def _provision(self) -> None:
        """Make the password and the user that has it, while nobody on another machine can reach the server."""
        files = self._files
        if files.is_provisioned and files.password_file.exists():
            self._password = address.read_password(files.password_file)
            return
        if files.written_by is None:
            files.set_aside()  # what a first start left that was killed
        else:
            files.note_provisioned(files.written_by, has_user=False)
        self._password = files.make_password()
        with tempfile.TemporaryDirectory(prefix="hpcho-") as private:
            port = network.free_port(network.LOOPBACK)
            command, url = self._program.unsecured(files.place, Path(private), port)
            self._start(command)
            with contextlib.closing(Link(address.Address(url))) as link:
                has_answered = self._await(link)
            if has_answered:
                if self._program.kind == EMBEDDED and files.written_by is None:
                    make_tables(url)
                make_user(url, self._password)
            elif not self._told_to_stop.is_set():
                raise StoreError(f"{self._program.path} has ended before the database's user could be made")
            self._stop()
        if not self._told_to_stop.is_set():
            files.note_provisioned(self._program.kind, has_user=True)

    # -- the process -----------------------------------------------------------------------------------------------

    def _start(self, command: list[str]) -> ServerProcess:
        self._server = ServerProcess(command, self._files.place)
        self._lease.beat(self._server.owner)
        return self._server

    def _await(self, link: Link) -> bool:
        """Wait until the server answers; False when it has ended, took too long and was ended, or is not wanted."""
        assert self._server is not None
        deadline = time.monotonic() + START_S
        while self._server.code is None and not self._told_to_stop.is_set():
            self._lease.beat()
            if self._answers(link):
                return True
            if time.monotonic() >= deadline:
                log.warning("the server has not answered within %g s: ending it", START_S)
                self._server.stop(self._lease.beat)
            time.sleep(TICK_S / 4)
        return False

    def _answers(self, link: Link) -> bool:
        try:
            return link.answers()
        except StoreError as error:
            file = self._files.password_file
            raise StoreError(
                f"{error}: {file} is another one than the database was given. Bring it back, or delete it, and a new "
                "one is made for the same data"
            ) from None

    def _stop(self) -> None:
        if self._server is not None:
            self._server.stop(self._lease.beat if self._lease.holder else _nothing)
            self._server = None

    def _wait(self, pause_s: float) -> None:
        end_at = time.monotonic() + pause_s
        while not self._told_to_stop.is_set() and (left := end_at - time.monotonic()) > 0:
            self._lease.beat()
            time.sleep(min(TICK_S, left))


def _nothing() -> None:
    """Without a lease there is nothing to keep up."""
