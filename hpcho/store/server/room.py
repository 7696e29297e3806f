"""Whether a disk has room: a server that finds none ends, and is no use again before there is."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from typing import TYPE_CHECKING

from hpcho.errors import StoreFull

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["SERVER_BYTES", "check_room", "is_full"]

SERVER_BYTES = 32 << 20
"""What a server should have for its journal before it is called unable to run."""
PROBE_BYTES = 4096


def is_full(error: OSError) -> bool:
    """Whether the disk or the quota is why it failed."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def check_room(folder: Path, least: int = 0) -> None:
    """Raises StoreFull when nothing can be written in ``folder``, or its disk has less than ``least`` bytes left.

    A little file is written, as only that shows a quota.
    """
    probe = folder / f".room.{os.getpid()}"
    try:
        with probe.open("wb", buffering=0) as file:
            file.write(bytes(PROBE_BYTES))
            os.fsync(file.fileno())
        has_room = shutil.disk_usage(folder).free >= least
    except OSError as error:
        if not is_full(error):
            return
        has_room = False
    finally:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)
    if not has_room:
        raise StoreFull(f"{folder}: the disk or the quota is full. Nothing was lost: make room and it goes on")
