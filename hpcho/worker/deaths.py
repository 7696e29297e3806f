"""What to say of a process that ended before its trial had a result."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from hpcho.trial import Cause, Failure
from hpcho.worker.logs import tail

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["died", "killed_for_memory", "out_of_time"]


def died(code: int, log: Path, *, for_memory: bool, doing: str) -> Failure:
    """A process that ended by itself with ``code`` (negative: a signal), or was killed by somebody else.

    ``for_memory``: the kernel has killed something for memory meanwhile. ``log`` is where its last lines are.
    """
    if code == -signal.SIGKILL and for_memory:
        return _kernel_took_it(doing)
    if code >= 0:
        how = f"ended with exit code {code} {doing} (os._exit, or an exit in C code)"
    elif code == -signal.SIGKILL:
        how = f"was killed by SIGKILL {doing}, and not by hpcho"
    else:
        how = f"was ended by {_name(-code)} {doing}"
    lines = tail(log)
    return Failure(Cause.WORKER, f"the process {how}." + (f" The last lines of {log}:\n{lines}" if lines else ""))


def _kernel_took_it(doing: str) -> Failure:
    return Failure(
        Cause.OOM,
        f"the kernel killed the process for memory {doing}: give the worker more memory, run fewer workers, "
        "or lower what these params take.",
    )


def killed_for_memory(used: float, limit: float) -> Failure:
    """hpcho ended it. Both in GB."""
    return Failure(
        Cause.OOM,
        f"killed for memory at {used:.1f} of {limit:.1f} GB: raise launcher.local.mem_gb, "
        "or lower what these params take",
    )


def out_of_time(timeout_min: float, log: Path) -> Failure:
    """hpcho ended it."""
    lines = tail(log)
    return Failure(
        Cause.TIMEOUT,
        f"no result after {timeout_min:g} min: raise trial.timeout_min, or make the objective faster."
        + (f" The last lines of {log}:\n{lines}" if lines else ""),
    )


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
