"""Starts children. On Linux by forking a stem: a process that has imported what every child needs, and nothing more.

A fresh child then takes a few milliseconds instead of an interpreter's start, which is what lets a worker recycle its
child often. The stem runs nothing of the user's, has one thread and waits for the child that it has forked: there is
only ever one. Elsewhere (macOS breaks system libraries in a forked process) each child is started anew.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import hpcho
from hpcho.worker.channel import Channel, ChannelClosed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Fresh", "Process", "Starter", "Stem", "starter"]


class Process(Protocol):
    """A started process."""

    pid: int
    fds: tuple[int, ...]
    """What becomes readable when it ends, where SIGCHLD does not tell."""

    def wait(self, timeout_s: float = 0.0) -> int | None:
        """Its exit code (negative: a signal), None when it has not ended within ``timeout_s``."""


class Starter(Protocol):
    """Starts children one after another."""

    def start(self, fds: Sequence[int]) -> Process:
        """Start a child that inherits ``fds``, in a session of its own. Raises OSError."""

    @property
    def spare(self) -> set[int]:
        """The pids of processes that live on when a child is ended with all that it has started."""

    def close(self) -> None:
        """Leave nothing behind but children."""


def starter(environment: Mapping[str, str], output: tuple[int, int]) -> Starter:
    """The best one here; ``output`` is what children get as their standard output and error."""
    return (Stem if sys.platform.startswith("linux") else Fresh)(environment, output)


class Fresh:
    """Starts an interpreter for each child."""

    def __init__(self, environment: Mapping[str, str], output: tuple[int, int]) -> None:
        self._environment = environment
        self._output = output
        self.spare: set[int] = set()

    def start(self, fds: Sequence[int]) -> Process:
        """Start a child. Raises OSError."""
        return _Own(_run(["child", *map(str, fds)], fds, self._environment, self._output))

    def close(self) -> None:
        """Nothing to do."""


class Stem:
    """Forks each child from one process that is started with the first; and again, should something end it."""

    def __init__(self, environment: Mapping[str, str], output: tuple[int, int]) -> None:
        self._environment = environment
        self._output = output
        self._popen: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None

    def start(self, fds: Sequence[int]) -> Process:
        """Fork a child. Raises OSError."""
        if self._socket is None:
            self._grow()
        assert self._socket is not None
        channel = Channel(self._socket)
        try:
            socket.send_fds(self._socket, [b"f"], list(fds))
            kind, value = channel.receive()
        except (OSError, ChannelClosed) as error:
            self.close()
            raise OSError(f"the process that children are forked from is gone: {error}") from error
        if kind == "refused":
            raise OSError(*value)
        return _Forked(value, channel)

    @property
    def spare(self) -> set[int]:
        """The stem's pid."""
        return {self._popen.pid} if self._popen else set()

    def close(self) -> None:
        """End the stem."""
        if self._socket is not None:
            self._socket.close()
        if self._popen is not None:
            with contextlib.suppress(ProcessLookupError):
                self._popen.send_signal(signal.SIGKILL)
            self._popen.wait()
        self._socket = self._popen = None

    def _grow(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._popen = _run(["stem", str(theirs.fileno())], [theirs.fileno()], self._environment, self._output)
            except OSError:
                ours.close()
                raise
        self._socket = ours


class _Own:
    """A child of this process."""

    fds: tuple[int, ...] = ()

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self._popen = popen
        self.pid = popen.pid

    def wait(self, timeout_s: float = 0.0) -> int | None:
        try:
            return self._popen.wait(timeout_s) if timeout_s else self._popen.poll()
        except subprocess.TimeoutExpired:
            return None


class _Forked:
    """A child of the stem, which tells of its end."""

    def __init__(self, pid: int, channel: Channel) -> None:
        self.pid = pid
        self.fds: tuple[int, ...] = (channel.fileno(),)
        self._channel = channel
        self._code: int | None = None

    def wait(self, timeout_s: float = 0.0) -> int | None:
        deadline = time.monotonic() + timeout_s
        while self._code is None:
            try:
                news = self._channel.poll()
            except ChannelClosed:
                news = [("gone", -signal.SIGKILL)]  # the child goes with the stem
            if news:
                self._code = news[0][1]
                break
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                break
            poll = select.poll()
            poll.register(self.fds[0], select.POLLIN)
            poll.poll(left_s * 1000)
        return self._code


def _run(
    arguments: Sequence[str], fds: Sequence[int], environment: Mapping[str, str], output: tuple[int, int]
) -> subprocess.Popen[bytes]:
    # `-m` looks into the working directory first: hpcho comes from where this process has it, however it got
    # there, and nothing beside the objective can take the place of a standard module before it is loaded
    return subprocess.Popen(
        [sys.executable, "-m", "hpcho.worker.child", str(os.getpid()), *arguments],
        cwd=Path(hpcho.__file__).parent.parent,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=output[0],
        stderr=output[1],
        pass_fds=fds,
        start_new_session=True,
    )
