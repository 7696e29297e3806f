"""Where the output of the child goes: a trial's to its folder, the rest to the worker's log.

The file descriptors 1 and 2 themselves are turned, so that C code and processes started by the objective follow.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["HEADER", "Output"]

HEADER = "--- next attempt, "
"""Begins the line that parts one attempt's output from the one before."""

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC


class Output:
    """The standard output and error of this process; made while they go to the worker's log."""

    def __init__(self) -> None:
        self._log = os.dup(1)
        self._libc = ctypes.CDLL(None)
        for stream in (sys.stdout, sys.stderr):
            # a line is in the file when print returns: what a crash or a kill leaves behind is whole
            stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # TextIO; at start they are text files

    @contextlib.contextmanager
    def into(self, folder: str) -> Iterator[None]:
        """Send output to stdout.log and stderr.log in ``folder``, after what an earlier attempt has left there.

        Where these cannot be opened (no room, say), it goes on to the worker's log: a trial is worth more than its log.
        """
        self.flush()
        try:
            _turn(folder)
        except OSError as error:
            sys.stderr.write(f"no logs in {folder}: {error}\n")
        try:
            yield
        finally:
            self.flush()
            os.dup2(self._log, 1)
            os.dup2(self._log, 2)

    def flush(self) -> None:
        """Write out what Python and C have buffered; output that cannot be written is given up."""
        for stream in (sys.stdout, sys.__stdout__, sys.stderr, sys.__stderr__):
            # the user's code may have closed or replaced them, or the disk may be full
            with contextlib.suppress(Exception):
                stream.flush()  # type: ignore[union-attr]  # None is among what is suppressed
        self._libc.fflush(None)


def _turn(folder: str) -> None:
    try:
        out = os.open(f"{folder}/stdout.log", _FLAGS, 0o666)
    except FileNotFoundError:
        Path(folder).mkdir(parents=True, exist_ok=True)
        out = os.open(f"{folder}/stdout.log", _FLAGS, 0o666)
    try:
        err = os.open(f"{folder}/stderr.log", _FLAGS, 0o666)
        try:
            for source, target in ((out, 1), (err, 2)):
                if os.fstat(source).st_size:
                    os.write(source, f"{HEADER}{datetime.now(timezone.utc):%Y-%m-%d %H:%M:%S} UTC\n".encode())
                os.dup2(source, target)
        finally:
            os.close(err)
    finally:
        os.close(out)
