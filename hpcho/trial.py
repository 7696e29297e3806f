"""A trial, its states and its result; the only place that turns hyperopt documents into objects and back.

A trial's point is kept as hyperopt keeps it: ``vals = {label: [value]}``, with ``[]`` for a label that is inactive
because its choice took another option. ``hpcho.space`` turns vals into params, the flat dict a user sees.
"""

from __future__ import annotations

import math
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from enum import Enum, IntEnum
from pathlib import Path
from typing import Any

__all__ = [
    "FAILURES",
    "INFRASTRUCTURE",
    "Attempt",
    "Cause",
    "Draft",
    "Failure",
    "Owner",
    "Report",
    "Result",
    "Trial",
    "TrialState",
    "Vals",
    "rank",
    "to_document",
]

Vals = Mapping[str, Sequence[Any]]

PRUNED = {"pruned": True}
"""What a pruned trial's result has under ``hpcho``."""


class TrialState(IntEnum):
    """hyperopt's numbers for a trial's state; never to be confused with ``Result.status``."""

    NEW = 0
    RUNNING = 1
    DONE = 2
    ERROR = 3
    CANCEL = 4

    @property
    def label(self) -> str:
        """The state's name as commands print it: new, running, done, error, cancel."""
        return self.name.lower()


class Cause(str, Enum):
    """Why an attempt ended without a result."""

    OBJECTIVE = "objective"
    TIMEOUT = "timeout"
    OOM = "oom"
    WORKER = "worker"
    PREEMPTED = "preempted"
    NODE = "node"
    WALLTIME = "walltime"
    NETWORK = "network"
    SCANCEL = "scancel"

    def __str__(self) -> str:
        return self.value


FAILURES = frozenset({Cause.OBJECTIVE, Cause.TIMEOUT, Cause.OOM, Cause.WORKER})
"""Causes that count against ``budget.failures``."""

INFRASTRUCTURE = frozenset(Cause) - FAILURES
"""Causes that say nothing about the params."""


@dataclass(frozen=True, slots=True)
class Owner:
    """A process that holds a trial (a worker) or the controller's seat.

    ``started`` is the process's start time in clock ticks since boot, so that a pid used again by another process is
    told apart; ``job`` is its SLURM job, if any: "123", or "123_4" for a task of an array.
    """

    host: str
    pid: int
    started: int = 0
    job: str | None = None

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"

    @classmethod
    def here(cls) -> Owner:
        """The calling process."""
        return cls(socket.gethostname(), os.getpid(), start_ticks(os.getpid()) or 0, _job_here())

    @property
    def is_silent(self) -> bool:
        """Whether it is a worker of hyperopt's own: of those host and pid are known, and they send no heartbeats."""
        return not self.started

    def is_alive_here(self) -> bool:
        """Whether this very process (not another with its pid) runs on this host. Asks the kernel; sends nothing."""
        ticks = start_ticks(self.pid)
        return self.host == socket.gethostname() and ticks is not None and self.started in (0, ticks)

    def to_json(self) -> dict[str, Any]:
        """Plain data, for records and rows."""
        return {"host": self.host, "pid": self.pid, "started": self.started, "job": self.job}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Owner:
        """The owner that ``to_json`` gave."""
        return cls(data["host"], data["pid"], data.get("started", 0), data.get("job"))


def _job_here() -> str | None:
    """The job that this process runs in, as squeue and scancel call it."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID")


def start_ticks(pid: int) -> int | None:
    """Start time of a live process in clock ticks since boot (proc(5), field 22); None if it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except FileNotFoundError:
        return None if Path("/proc/self").is_dir() else _start_ticks_psutil(pid)
    except ProcessLookupError:
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def _start_ticks_psutil(pid: int) -> int | None:
    """The same where there is no /proc (macOS)."""
    import psutil  # noqa: PLC0415 - only where there is no /proc

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else int(process.create_time() * 100)
    except psutil.NoSuchProcess:
        return None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt ended without a result: the cause, and the error in words or a whole traceback.

    ``saved``: whether the objective had saved work in this attempt, so that the next one can go on from there.
    """

    cause: Cause
    error: str
    saved: bool = False


@dataclass(frozen=True, slots=True)
class Attempt:
    """One ended attempt at a trial. ``cause`` is None when it succeeded. Times are seconds since the epoch, UTC.

    Of a trial that another program wrote without its times both are 0. ``saved`` is its failure's.
    """

    owner: Owner | None
    started_at: float
    ended_at: float
    cause: Cause | None = None
    error: str | None = None
    saved: bool = False

    @property
    def is_timed(self) -> bool:
        """Whether it is known when it was."""
        return self.ended_at > 0.0

    def to_json(self) -> dict[str, Any]:
        """Plain data, for rows."""
        return {
            "owner": self.owner.to_json() if self.owner else None,
            "started_at": self.started_at,
            "ended_at": self.ended_at,
            "cause": self.cause.value if self.cause else None,
            "error": self.error,
            "saved": self.saved,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Attempt:
        """The attempt that ``to_json`` gave."""
        return cls(
            Owner.from_json(data["owner"]) if data["owner"] else None,
            data["started_at"],
            data["ended_at"],
            Cause(data["cause"]) if data["cause"] else None,
            data["error"],
            data.get("saved", False),
        )


@dataclass(frozen=True, slots=True)
class Report:
    """An intermediate loss: what ``trial.report(step, loss)`` was given."""

    step: int
    loss: float


@dataclass(frozen=True, slots=True)
class Result:
    """What an objective returned, as plain data.

    ``status`` is hyperopt's string: "ok", or "fail" for params that make no sense (the trial is done, without a loss).
    ``data`` holds everything else that the objective returned, JSON-encodable. ``attachments`` names the files kept
    with the trial; their bytes are the store's business. ``pruned``: the pruner ended the trial before its time, and
    the loss is that of its last step.
    """

    loss: float | None
    status: str = "ok"
    data: Mapping[str, Any] = field(default_factory=dict)
    attachments: tuple[str, ...] = ()
    pruned: bool = False

    def to_json(self) -> dict[str, Any]:
        """hyperopt's ``result`` document, with our own ``attachments`` list and, of a pruned trial, ``hpcho``."""
        own = {"hpcho": PRUNED} if self.pruned else {}
        return {**self.data, "loss": self.loss, "status": self.status, "attachments": list(self.attachments), **own}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Result:
        """The result that ``to_json`` gave, or hyperopt stored."""
        pruned = document.get("hpcho") == PRUNED
        own = {"loss", "status", "attachments", *(("hpcho",) if pruned else ())}
        data = {k: v for k, v in document.items() if k not in own}
        names = tuple(document.get("attachments", ()))
        return cls(document.get("loss"), document.get("status", "ok"), data, names, pruned)


@dataclass(frozen=True, slots=True)
class Draft:
    """A trial that is not in the store yet. ``origin``: "sampler", "point" (from the YAML), "enqueued" or "promoted".

    A promoted trial goes on where its ``parent``, a pruned trial, was ended; it begins with that one's ``reports``.
    """

    vals: Vals
    origin: str = "sampler"
    parent: int | None = None
    reports: tuple[Report, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A stored trial as it was when read; never changes.

    ``version`` fences writes: a write names the version it has seen and is refused when the stored one differs.
    ``beat`` counts heartbeats of the present owner (a counter, not a time: clocks of two machines disagree).
    ``attempts`` are the ended ones, oldest first; a running trial has one more than that. Times are seconds since the
    epoch, UTC, and are shown, never compared to decide who is alive. ``parent``: the pruned trial that it goes on from.
    """

    tid: int
    state: TrialState
    version: int
    vals: Vals
    origin: str = "sampler"
    parent: int | None = None
    owner: Owner | None = None
    beat: int = 0
    result: Result | None = None
    attempts: tuple[Attempt, ...] = ()
    reports: tuple[Report, ...] = ()
    created_at: float = 0.0
    claimed_at: float | None = None
    finished_at: float | None = None

    @property
    def loss(self) -> float | None:
        """The loss of a successful trial, else None."""
        return self.result.loss if self.is_ok and self.result else None

    @property
    def is_ok(self) -> bool:
        """Whether the trial counts to ``budget.trials``: done with status ok."""
        return self.state is TrialState.DONE and self.result is not None and self.result.status == "ok"

    @property
    def is_pruned(self) -> bool:
        """Whether the pruner ended it; such a trial is ok, too."""
        return self.is_ok and self.result is not None and self.result.pruned

    @property
    def cause(self) -> Cause | None:
        """Why the last ended attempt failed; None when it succeeded or there was none."""
        return self.attempts[-1].cause if self.attempts else None

    @property
    def error(self) -> str | None:
        """The last ended attempt's error."""
        return self.attempts[-1].error if self.attempts else None

    @property
    def duration_s(self) -> float | None:
        """Seconds that the last ended attempt took; None where there is none, or it has no times."""
        last = self.attempts[-1] if self.attempts else None
        return last.ended_at - last.started_at if last and last.is_timed else None

    @property
    def attempt_count(self) -> int:
        """How often the trial was claimed and not given back voluntarily, the running attempt included."""
        return len(self.attempts) + (self.state is TrialState.RUNNING)


def rank(trial: Trial) -> tuple[bool, float, int]:
    """Sorts trials, best first. Whole ones come before pruned ones, and of equal losses the earlier trial.

    The loss of a pruned trial is that of fewer steps: it says little about the model that the params lead to, and where
    losses rise again later (or are noisy) a trial that was given up could seem better than all that went on.
    """
    return trial.is_pruned, math.inf if trial.loss is None else trial.loss, trial.tid


def to_document(trial: Trial, exp_key: str) -> dict[str, Any]:
    """The trial as hyperopt's document (hyperopt 0.3.0, ``base.Trials.new_trial_docs``)."""
    result: dict[str, Any] = {"status": "new"}
    if trial.result is not None:
        result = {**trial.result.data, "loss": trial.result.loss, "status": trial.result.status}
    return {
        "state": int(trial.state),
        "tid": trial.tid,
        "spec": None,
        "result": result,
        "misc": {
            "tid": trial.tid,
            "cmd": ("domain_attachment", "FMinIter_Domain"),
            "workdir": None,
            "idxs": {label: [trial.tid] if value else [] for label, value in trial.vals.items()},
            "vals": {label: list(value) for label, value in trial.vals.items()},
        },
        "exp_key": exp_key,
        "owner": [str(trial.owner)] if trial.owner else None,
        "version": trial.version,
        "book_time": _utc(trial.claimed_at),
        "refresh_time": _utc(trial.finished_at or trial.claimed_at),
    }


def _utc(seconds: float | None) -> datetime | None:
    """Naive UTC, as hyperopt stores times."""
    return None if seconds is None else datetime.fromtimestamp(seconds, timezone.utc).replace(tzinfo=None)
