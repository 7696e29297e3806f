"""The worker's log: the parent's own lines, and what the child prints outside of trials."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["WorkerLog"]

MAX_BYTES = 4 << 20
KEEP_BYTES = 1 << 20


class WorkerLog(logging.Handler):
    """A log file of bounded size, shortened in place."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        formatter = logging.Formatter("%(asctime)sZ %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")
        formatter.converter = time.gmtime
        self.setFormatter(formatter)

    def emit(self, record: logging.LogRecord) -> None:
        """Append one line; what there is no room for is given up."""
        with contextlib.suppress(OSError):
            os.write(self.fd, (self.format(record) + "\n").encode("utf-8", "backslashreplace"))
        self.shorten()

    def shorten(self) -> None:
        """Keep the newest KEEP_BYTES once there are more than MAX_BYTES."""
        size = os.fstat(self.fd).st_size
        if size > MAX_BYTES:
            newest = os.pread(self.fd, KEEP_BYTES, size - KEEP_BYTES)
            os.ftruncate(self.fd, 0)
            os.write(self.fd, b"... older lines are gone\n" + newest.partition(b"\n")[2])

    @contextlib.contextmanager
    def attached(self) -> Iterator[WorkerLog]:
        """Take in what this package logs meanwhile; closes the file at the end."""
        logger = logging.getLogger("hpcho")
        level = logger.level
        logger.addHandler(self)
        logger.setLevel(logging.INFO)
        try:
            yield self
        finally:
            logger.removeHandler(self)
            logger.setLevel(level)
            os.close(self.fd)
