"""Whose worker is dead: what heartbeats say and what the scheduler says, both."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpcho.launchers import endings
from hpcho.trial import Cause, Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from hpcho.experiment.launchers import SlurmLauncher
    from hpcho.launchers.queue import Job, Queue
    from hpcho.trial import Owner

__all__ = ["Silence"]

SILENT_BEATS = 2
"""A worker whose job has ended is dead after so many silent heartbeats."""
LOST_BEATS = 10
"""One whose job runs on has it cancelled after so many."""
DETAIL_S = 10.0
"""How long the details of an end are waited for."""
ASKED_S = 60.0
"""An owner that nobody has asked about for so long holds no trial any more."""
HELD_S = 2.0
"""The controller asks about every owner at each of its steps, many times in this."""


@dataclass(frozen=True, slots=True)
class _Heard:
    """Times are of time.monotonic(); ``silent_from`` is infinite while it is not silent."""

    silent_s: float
    asked_at: float
    silent_from: float


class Silence:
    """Joins silence of owners with the queue's jobs. Called by the controller's thread and the launcher's own.

    ``ask`` is called, at once and often, while an answer is missing that the next look at the queue may give.
    """

    def __init__(self, queue: Queue, spec: SlurmLauncher, heartbeat_s: float, ask: Callable[[], None]) -> None:
        self._ask = ask
        self._queue, self._spec, self._heartbeat_s = queue, spec, heartbeat_s
        self._lock = threading.Lock()
        self._heard: dict[Owner, _Heard] = {}
        self._held: dict[str, float] = {}
        self._asked_at = -math.inf
        self._cut: set[str] = set()

    def silent_jobs(self) -> set[str]:
        """Jobs of owners that are silent and whose death has not been told yet."""
        now = time.monotonic()
        with self._lock:
            heard = list(self._heard.items())
        return {
            owner.job
            for owner, known in heard
            if owner.job and known.silent_from <= now and now - known.asked_at < HELD_S + 1.0
        }

    def hold(self, owners: Collection[Owner]) -> None:
        """These hold a trial now, and no others."""
        now = time.monotonic()
        with self._lock:
            self._asked_at = now
            self._held.update({owner.job: now for owner in owners if owner.job})
            for owner in [owner for owner, known in self._heard.items() if now - known.asked_at > ASKED_S]:
                del self._heard[owner]

    def is_curious(self) -> bool:
        """Whether somebody is silent of whom the scheduler may soon have news."""
        jobs = self._queue.jobs
        return any(name not in jobs or jobs[name].row.state not in endings.SUSPENDED for name in self.silent_jobs())

    def held(self) -> set[str]:
        """Jobs that have ever held a trial."""
        with self._lock:
            return set(self._held)

    def holders(self) -> set[str]:
        """Jobs that held a trial when the controller last looked."""
        with self._lock:
            return {job for job, at in self._held.items() if at >= self._asked_at - HELD_S}

    def is_cut(self, job: str) -> bool:
        """Whether a job runs on without its workers, and must be cancelled."""
        return job in self._cut

    def death_of(self, owner: Owner, silent_s: float) -> Failure | None:
        """Why this owner is dead; None while it is alive, or nobody can tell yet."""
        now = time.monotonic()
        with self._lock:
            self._asked_at = now
            self._held[owner.job or ""] = now
            before = self._heard.get(owner)
            silent_from = math.inf
            if silent_s >= SILENT_BEATS * self._heartbeat_s:
                silent_from = min(before.silent_from if before else now, now)
            self._heard[owner] = _Heard(silent_s, now, silent_from)
        job = self._queue.jobs.get(owner.job or "")
        if silent_from > now:
            return None
        failure = None
        if job is not None and job.has_ended:
            failure = self._ended(job, silent_s)
        elif job is not None and job.seen_at > silent_from:  # what was seen before says nothing about now
            failure = self._lives(job, owner, silent_s)
        if failure is None and (job is None or job.row.state not in endings.SUSPENDED):
            self._ask()
        return failure

    def _ended(self, job: Job, silent_s: float) -> Failure | None:
        if job.row.state == endings.GONE and not job.row.node and not self._is_lost(silent_s):
            return None  # never seen: another user's job may be hidden (slurm.conf(5), PrivateData)
        waits = job.row.state in ("FAILED", "COMPLETED", "OUT_OF_MEMORY") and not job.is_detailed
        if waits and time.monotonic() - job.since < DETAIL_S:
            return None
        if job.row.id in self._cut:
            words = f"no sign of life from the worker in job {job.row.id} on {job.row.node}: the job was cancelled"
            return Failure(Cause.NODE, words)
        return endings.failure(job.row, job.account, self._spec)

    def _lives(self, job: Job, owner: Owner, silent_s: float) -> Failure | None:
        """The job has not ended, by a look that is younger than the silence."""
        if job.is_queued:
            return endings.failure(job.row, job.account, self._spec)
        if job.row.state in endings.SUSPENDED or job.row.state == "UNKNOWN":
            return None
        # a worker that was suspended has been silent for long, and only speaks again now
        silent_s = min(silent_s, time.monotonic() - job.since)
        if not self._is_lost(silent_s):
            return None
        if job.row.state == "COMPLETING":
            return endings.failure(job.row, job.account, self._spec)
        if self._has_company(owner):
            words = f"no sign of life from the worker {owner} in job {job.row.id} for {silent_s:.0f} s"
            return Failure(Cause.NODE, f"{words}; other workers of the job live, so it was left alone")
        self._cut.add(job.row.id)
        return None

    def _is_lost(self, silent_s: float) -> bool:
        return silent_s >= LOST_BEATS * self._heartbeat_s

    def _has_company(self, owner: Owner) -> bool:
        """Whether another owner in the same job speaks: cancelling the job would end that one too."""
        now = time.monotonic()
        with self._lock:
            return any(
                math.isinf(known.silent_from)
                for other, known in self._heard.items()
                if other != owner and other.job == owner.job and now - known.asked_at < HELD_S
            )
