"""The child's standard output and error: pipes, which the parent reads and writes to the files where it belongs."""

from __future__ import annotations

import contextlib
import ctypes
import sys

__all__ = ["flush", "settle"]

_libc = ctypes.CDLL(None)


def settle() -> None:
    """Have each line leave this process when print returns: what a crash or a kill leaves behind is whole."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # TextIO; at start they are text files


def flush() -> None:
    """Write out what Python and C have buffered, so that it counts to this trial."""
    for stream in (sys.stdout, sys.__stdout__, sys.stderr, sys.__stderr__):
        # the user's code may have closed or replaced them
        with contextlib.suppress(Exception):
            stream.flush()  # type: ignore[union-attr]  # None is among what is suppressed
    _libc.fflush(None)
