"""A server's own process: started so that it ends with whoever started it, counted, and ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import psutil

from hpcho.errors import StoreError
from hpcho.trial import Owner, start_ticks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

__all__ = ["TICK_S", "ServerProcess", "connections", "end", "needed"]

TICK_S = 0.1
STOP_S = 30.0
"""How long a server may take to end cleanly before it is killed."""

NEEDED = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV")

TETHERED = """
import ctypes, os, signal, sys
if sys.platform.startswith("linux"):
    ctypes.CDLL(None).prctl(1, signal.SIGTERM, 0, 0, 0)
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""
"""Has the kernel end what it becomes when its parent is gone (prctl(2), PR_SET_PDEATHSIG)."""


class ServerProcess:
    """A running ``command``. Its output is this process's. Raises StoreError where it cannot be started."""

    def __init__(self, command: Sequence[str], folder: Path) -> None:
        tether = [sys.executable, "-I", "-S", "-c", TETHERED, str(os.getpid())]
        try:
            self._popen = subprocess.Popen([*tether, *command], stdin=subprocess.DEVNULL, cwd=folder, env=needed())
        except OSError as error:
            raise StoreError(f"{command[0]} cannot be started: {error}") from error
        self.owner = Owner(Owner.here().host, self._popen.pid, start_ticks(self._popen.pid) or 0)

    @property
    def code(self) -> int | None:
        """Its exit code (negative: a signal); None while it runs."""
        return self._popen.poll()

    def clients(self, port: int) -> int:
        """How many others are connected to it at ``port``."""
        return connections(self._popen.pid, port)

    def kill(self) -> None:
        """End it at once."""
        self._popen.kill()
        self._popen.wait()

    def stop(self, meanwhile: Callable[[], None]) -> None:
        """End it cleanly, and at once when it takes too long."""
        deadline = time.monotonic() + STOP_S
        if self.code is None:
            self._popen.terminate()
        while self.code is None and time.monotonic() < deadline:
            meanwhile()
            time.sleep(TICK_S / 4)
        self.kill()


def needed(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What of the environment a server and its keeper get: nothing that others could find there later."""
    return {name: environ[name] for name in NEEDED if name in environ}


def connections(pid: int, port: int, *, but: int | None = None) -> int:
    """How many clients are connected to the process ``pid`` at ``port``; 0 when it is gone.

    This process and the process ``but`` are left out.
    """
    left_out = [os.getpid()] if but is None else [os.getpid(), but]
    theirs = {connection.laddr for one in left_out for connection in _established(one)}
    return sum(connection.laddr.port == port and connection.raddr not in theirs for connection in _established(pid))


def _established(pid: int) -> list[Any]:
    try:
        process = psutil.Process(pid)
        # psutil 6 has given it another name.
        found = getattr(process, "net_connections", None) or process.connections
        return [connection for connection in found(kind="tcp") if connection.status == psutil.CONN_ESTABLISHED]
    except psutil.Error:
        return []


def end(process: Owner, meanwhile: Callable[[], None]) -> None:
    """End a process of this host that somebody else has started, and wait until it is gone."""
    deadline = time.monotonic() + STOP_S
    number = signal.SIGTERM
    while process.is_alive_here():
        try:
            os.kill(process.pid, number)
        except ProcessLookupError:
            return
        if time.monotonic() >= deadline:
            number = signal.SIGKILL
        meanwhile()
        time.sleep(TICK_S)
