"""What to say of a process that ended before its trial had a result."""

from __future__ import annotations

import signal

from hpcho.trial import Cause, Failure

__all__ = ["died", "killed_for_memory", "out_of_time", "sent_away"]


def died(code: int, last_lines: str, *, for_memory: bool, doing: str, more_memory: str) -> Failure:
    """A process that ended by itself with ``code`` (negative: a signal), or was killed by somebody else.

    ``for_memory``: the kernel has killed something for memory meanwhile; ``more_memory``: how the user gives more.
    ``last_lines``: of its standard error.
    """
    if code == -signal.SIGKILL and for_memory:
        return Failure(
            Cause.OOM,
            f"the kernel killed the process for memory {doing}: {more_memory}, or lower what these params take.",
        )
    if code >= 0:
        how = f"ended with exit code {code} {doing} (os._exit, or an exit in C code)"
    elif code == -signal.SIGKILL:
        how = f"was killed by SIGKILL {doing}, and not by hpcho"
    else:
        how = f"was ended by {_name(-code)} {doing}"
    return Failure(Cause.WORKER, f"the process {how}.{_quoted(last_lines)}")


def killed_for_memory(used: float, limit: float, key: str) -> Failure:
    """hpcho ended it. Both in GB; ``key`` of the YAML says the limit."""
    return Failure(
        Cause.OOM,
        f"killed for memory at {used:.1f} of {limit:g} GB: raise {key}, or lower what these params take",
    )


def out_of_time(timeout_min: float, last_lines: str) -> Failure:
    """hpcho ended it."""
    what = f"no result after {timeout_min:g} min: raise trial.timeout_min, or make the objective faster."
    return Failure(Cause.TIMEOUT, what + _quoted(last_lines))


def sent_away(cause: Cause, job: str, node: str, *, saved: bool) -> Failure:
    """The worker had to leave in the middle of it. ``job``: whose, as "its job 123_4"."""
    ended = {
        Cause.PREEMPTED: "was preempted",
        Cause.SCANCEL: "was cancelled (scancel)",
        Cause.NODE: "lost its node",
        Cause.WALLTIME: "came to its time limit",
    }[cause]
    if saved:
        then = "the trial goes on from its checkpoint"
    elif cause is Cause.WALLTIME:
        then = (
            "nothing was saved in this attempt: raise launcher.slurm.walltime, "
            "or save under trial.dir when trial.should_stop() is true and go on from there"
        )
    else:
        then = "nothing was saved in this attempt, so the trial begins anew"
    return Failure(cause, f"{job} {ended} on {node}; {then}", saved)


def _quoted(last_lines: str) -> str:
    return f" The end of its standard error:\n{last_lines}" if last_lines else " It wrote nothing to standard error."


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
