"""How a job's end is told: its cause, and words that say what to change."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from hpcho.errors import StoreError
from hpcho.trial import Cause, Failure

if TYPE_CHECKING:
    from hpcho.experiment.launchers import SlurmLauncher
    from hpcho.launchers.scheduler import Account, Row

__all__ = ["GONE", "QUEUED", "SUSPENDED", "exit_words", "failure", "has_ended"]

QUEUED = frozenset({"PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"})
"""States of a job that has no node (squeue(1), JOB STATE CODES)."""
SUSPENDED = frozenset({"SUSPENDED", "STOPPED"})
ENDED = {
    "BOOT_FAIL": Cause.NODE,
    "CANCELLED": Cause.SCANCEL,
    "COMPLETED": Cause.NODE,
    "DEADLINE": Cause.WALLTIME,
    "FAILED": Cause.NODE,
    "GONE": Cause.NODE,
    "NODE_FAIL": Cause.NODE,
    "OUT_OF_MEMORY": Cause.OOM,
    "PREEMPTED": Cause.PREEMPTED,
    "REVOKED": Cause.SCANCEL,
    "TIMEOUT": Cause.WALLTIME,
}
"""States of a job that has ended, and what that means for a worker in it that had not left by itself."""
GONE = "GONE"
"""Our own word for a job that nobody knows any more."""
GB = 2**30


def has_ended(state: str) -> bool:
    """Whether this is a state of a job that has ended. What is not known (newer versions have new ones) has not."""
    return state in ENDED


def failure(row: Row, account: Account | None, spec: SlurmLauncher) -> Failure:
    """Why a worker is gone whose job is in this state."""
    cause = Cause.PREEMPTED if row.state in QUEUED else ENDED.get(row.state, Cause.NODE)
    if row.state == "FAILED" and account is not None and account.exit_code == StoreError.exit_code:
        where = f" on {row.node}" if row.node else ""
        return Failure(Cause.NETWORK, f"its job {row.id}{where} had to leave while the store was away")
    return Failure(cause, _words(row, account, spec))


def _words(row: Row, account: Account | None, spec: SlurmLauncher) -> str:
    where = f" on {row.node}" if row.node else ""
    job = f"its job {row.id}"
    if row.state in QUEUED:
        return f"{job} was taken off its node and put back into the queue ({row.state})"
    if row.state == "OUT_OF_MEMORY":
        return _memory_words(row, account, spec)
    code = exit_words(account.exit_code if account else None) or row.reason
    mend = "raise launcher.slurm.walltime, or let the objective save checkpoints when trial.should_stop()"
    known = {
        "PREEMPTED": f"{job} was preempted{where}: the next attempt goes on from what this one has saved",
        "NODE_FAIL": f"node {row.node or 'unknown'} failed under {job}",
        "BOOT_FAIL": f"node {row.node or 'unknown'} did not boot for {job}",
        "TIMEOUT": f"{job} reached its wall time ({spec.walltime}){where}: {mend}",
        "DEADLINE": f"{job} reached its deadline{where}",
        "CANCELLED": f"{job} was cancelled{where} (scancel, by a user or an administrator)",
        "REVOKED": f"{job} was revoked{where}: another cluster of the federation has started it",
        "COMPLETING": f"{job}{where} does not end although its worker has gone silent (is the node down?)",
        GONE: f"SLURM no longer knows {job}, and its worker has gone silent",
    }
    return known.get(row.state, f"the worker of job {row.id} ended{where}{f' ({code})' if code else ''}")


def exit_words(code: int | None) -> str:
    """An exit code for people; shells and SLURM's steps say 128 + N where signal N killed."""
    if code is None:
        return ""
    try:
        return f"exit code {code}: {signal.Signals(code - 128).name}"
    except ValueError:
        return f"exit code {code}"


def _memory_words(row: Row, account: Account | None, spec: SlurmLauncher) -> str:
    """Measured every JobAcctGatherFrequency seconds only, so that what was used may be less than what killed it."""
    asked = account.asked if account else None
    if asked is None and spec.mem_gb is not None:
        asked = int(spec.mem_gb * spec.workers_in_job * GB)
    used = account.used if account else None
    amount = "by SLURM"
    if asked:
        amount = f"at {_gb(used)} of {_gb(asked)} GB" if used and used * 2 > asked else f"beyond its {_gb(asked)} GB"
    key = "raise launcher.slurm.mem_gb" if spec.mem_gb is not None else "set launcher.slurm.mem_gb"
    where = f"job {row.id} on {row.node}" if row.node else f"job {row.id}"
    return f"killed for memory {amount} ({where}): {key}"


def _gb(size: int) -> str:
    return f"{size / GB:.3g}"
