"""Worker processes on this machine, whoever started them."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from typing import TYPE_CHECKING

from hpcho.trial import Owner

if TYPE_CHECKING:
    from hpcho.jobdir import JobDir

__all__ = ["exit_words", "kill_strays"]

log = logging.getLogger(__name__)


def kill_strays(jobdir: JobDir) -> None:
    """Kill processes that a worker of this job directory started, where that worker itself is gone.

    They are known by the environment that a worker gives to its children: HPCHO_WORKER=<host>:<pid>:<started>.
    """
    import psutil  # noqa: PLC0415 - needed only after a death

    for process in psutil.process_iter():
        try:
            environment = process.environ()
        except psutil.Error:
            continue
        if environment.get("HPCHO_JOB_DIR") != str(jobdir.path) or "HPCHO_WORKER" not in environment:
            continue
        host, pid, started = environment["HPCHO_WORKER"].rsplit(":", 2)
        worker = Owner(host, int(pid), int(started))
        if (
            process.pid not in (worker.pid, os.getpid())
            and worker.host == Owner.here().host
            and not worker.is_alive_here()
        ):
            log.warning("killing process %d, left behind by the worker %s", process.pid, worker)
            with contextlib.suppress(psutil.Error):
                process.kill()


def exit_words(code: int) -> str:
    """How a process ended; negative: by a signal."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
