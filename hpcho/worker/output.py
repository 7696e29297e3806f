"""What the child, and whatever it starts, prints: read from two pipes and written where it belongs.

A running trial's goes to stdout.log and stderr.log in its folder, made when the first byte comes; the rest to the
worker's log. Since the objective writes into pipes, a full disk cuts a log and never makes a training's print fail.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from datetime import datetime, timezone
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Output"]

PIPE_BYTES = 1 << 18
"""So much is printed without waiting for this process, where the system allows it; else its usual 64 KiB."""
CHUNK_BYTES = 1 << 16
MOST_CHUNKS = 16
"""In one go, so that a flood keeps nothing else from being done. More than a pipe holds: what was printed before it
began is read to its end."""
TAIL_BYTES = 4096
TAIL_LINES = 30

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC


class Output:
    """The two pipes of all children of one worker. ``log_fd`` is its log's."""

    def __init__(self, log_fd: int) -> None:
        self._log_fd = log_fd
        self._folder: Path | None = None
        self._out, self._err = _Stream("stdout.log"), _Stream("stderr.log")

    @property
    def fds(self) -> tuple[int, int]:
        """What becomes readable when something was printed."""
        return self._out.reader, self._err.reader

    @property
    def writers(self) -> tuple[int, int]:
        """What a child gets as its standard output and error."""
        return self._out.writer, self._err.writer

    def begin(self, folder: Path) -> None:
        """From now on it is a trial's, whose folder this is; ``end`` ends that."""
        self._folder = folder

    def end(self) -> None:
        """The trial is over: all that it has printed is in its files."""
        self.pump()
        self._folder = None
        for stream in (self._out, self._err):
            stream.forget()

    def pump(self) -> None:
        """Write on what has been printed."""
        for stream in (self._out, self._err):
            stream.pump(self._folder, self._log_fd)

    def last_lines(self) -> str:
        """The end of what came on standard error since the trial, or the child, began."""
        text = self._err.tail.decode("utf-8", "replace")
        return "\n".join(text.rstrip().splitlines()[-TAIL_LINES:])

    def close(self) -> None:
        """Close the pipes."""
        self.end()
        for stream in (self._out, self._err):
            os.close(stream.reader)
            os.close(stream.writer)


class _Stream:
    """One pipe. The writing end stays open here too: it is there for the next child."""

    def __init__(self, name: str) -> None:
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)
        with contextlib.suppress(OSError, AttributeError):
            fcntl.fcntl(self.writer, fcntl.F_SETPIPE_SZ, PIPE_BYTES)  # Linux has it, from Python 3.10 on
        self.tail = b""
        self._name = name
        self._file = -1

    def pump(self, folder: Path | None, log_fd: int) -> None:
        for _ in range(MOST_CHUNKS):
            try:
                chunk = os.read(self.reader, CHUNK_BYTES)
            except BlockingIOError:
                return
            self.tail = (self.tail + chunk)[-TAIL_BYTES:]
            with contextlib.suppress(OSError):  # no room: a trial is worth more than its log
                if folder is not None and self._file < 0:
                    self._file = _open(folder, self._name)
                _write(log_fd if folder is None else self._file, chunk)

    def forget(self) -> None:
        self.tail = b""
        if self._file >= 0:
            os.close(self._file)
        self._file = -1


def _open(folder: Path, name: str) -> int:
    """A log file, with a line between what an earlier attempt has left there and what comes."""
    folder.mkdir(parents=True, exist_ok=True)
    file = os.open(folder / name, _FLAGS, 0o666)
    if os.fstat(file).st_size:
        _write(file, f"--- next attempt, {datetime.now(timezone.utc):%Y-%m-%d %H:%M:%S} UTC\n".encode())
    return file


def _write(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]
