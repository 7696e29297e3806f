"""What is known of the jobs of one run, from squeue's answers and, for those it has no longer, accounting's."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hpcho.launchers.base import Crew
from hpcho.launchers.endings import GONE, QUEUED, has_ended
from hpcho.launchers.scheduler import Account, Row, SlurmAway

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from hpcho.launchers.scheduler import Scheduler

__all__ = ["Job", "Queue"]

GONE_LOOKS = 3
"""A job that so many good answers of squeue in a row have missed, and of which nobody else knows either, is gone."""
RUNAWAY_LOOKS = 20
"""The same where accounting still says that it runs: such jobs (sacctmgr(1), show runawayjobs) never end there."""
DETAIL_LOOKS = 3
"""How often accounting is asked about an ended job; it is a little later than squeue."""


@dataclass(frozen=True, slots=True)
class Job:
    """A job or task. Times are of time.monotonic().

    ``since``: when it was first seen in its state; ``seen_at``: when the scheduler last told of it; ``misses``: how
    many answers in a row have left it out; ``details``: how often accounting was asked how it ended.
    """

    row: Row
    is_ours: bool
    since: float
    seen_at: float
    misses: int = 0
    account: Account | None = None
    details: int = 0

    @property
    def has_ended(self) -> bool:
        """Whether it is over, whatever the reason."""
        return has_ended(self.row.state)

    @property
    def is_queued(self) -> bool:
        """Whether it waits for a node."""
        return self.row.state in QUEUED

    @property
    def is_detailed(self) -> bool:
        """Whether as much is known of its end as will ever be."""
        return self.account is not None or self.details >= DETAIL_LOOKS


class Queue:
    """The jobs whose comment has the word ``tag``, and those asked about by their ids.

    ``jobs`` may be read by any thread: a look replaces it as a whole, and a Job never changes.
    """

    def __init__(self, scheduler: Scheduler, tag: str) -> None:
        self.jobs: Mapping[str, Job] = {}
        self._scheduler, self._tag = scheduler, tag

    def live(self) -> list[Job]:
        """The run's own jobs that have not ended."""
        return [job for job in self.jobs.values() if job.is_ours and not job.has_ended]

    def crew(self, held: Iterable[str | None], worked: Collection[str], size: int) -> Crew:
        """The workers of the run's jobs, ``size`` each, without those that hold a trial.

        ``held`` names the job of each that does, ``worked`` the jobs where one ever did.
        """
        busy, free = Counter(held), Counter[str]()
        for job in self.live():
            name = job.row.id
            if job.is_queued:
                free["queued"] += size
            elif job.row.state != "COMPLETING":
                free["idle" if name in worked else "starting"] += max(size - busy[name], 0)
        return Crew(**free)

    def add(self, rows: Iterable[Row]) -> None:
        """Jobs that were submitted just now and that squeue may not show yet."""
        now = time.monotonic()
        self.jobs = {**{row.id: Job(row, True, now, now) for row in rows}, **self.jobs}

    def forget(self, jobs: Iterable[str]) -> None:
        """Jobs that were cancelled before they began: slurmctld forgets them at once, and nobody waits for them."""
        gone = set(jobs)
        self.jobs = {name: job for name, job in self.jobs.items() if name not in gone}

    def look(self, asked: Collection[str] = ()) -> bool:
        """Ask the scheduler; returns whether anything has changed. ``asked`` are jobs to be found, whosever they are.

        One squeue for all, and one sacct for what squeue has not and for the details of ends. One answer that misses
        a job proves nothing. Raises SlurmAway, with ``jobs`` as they were.
        """
        now = time.monotonic()
        rows = {row.id: row for row in self._scheduler.queue()}
        jobs = dict(self.jobs)
        for row in rows.values():
            ours = self._tag in row.comment.split()
            if ours or row.id in jobs or row.id in asked:
                jobs[row.id] = self._seen(jobs.get(row.id), row, now, ours)
        absent = {name for name, job in jobs.items() if name not in rows and not job.has_ended}
        absent |= {name for name in asked if name not in jobs}
        ended = {name for name, job in jobs.items() if self._wants_details(job, asked)}
        accounts = self._accounts(absent | ended)
        unknown = absent - accounts.keys()
        others = {row.id: row for row in self._scheduler.queue(unknown)} if unknown else {}
        for name in absent:
            jobs[name] = self._missed(jobs.get(name), name, accounts.get(name), others.get(name), now)
        for name in ended:
            jobs[name] = self._detailed(jobs[name], accounts.get(name))
        changed = any(name not in self.jobs or self.jobs[name].row.state != job.row.state for name, job in jobs.items())
        self.jobs = jobs
        return changed or bool(absent or ended)

    def _wants_details(self, job: Job, asked: Collection[str]) -> bool:
        fails = job.row.state in ("FAILED", "COMPLETED", "OUT_OF_MEMORY")
        cares = job.row.id in asked or (job.is_ours and job.row.state != "COMPLETED")
        return fails and cares and not job.is_detailed

    def _accounts(self, jobs: Collection[str]) -> dict[str, Account]:
        try:
            return self._scheduler.accounts(jobs)
        except SlurmAway:  # slurmdbd may be down while slurmctld is not
            return {}

    @staticmethod
    def _detailed(job: Job, account: Account | None) -> Job:
        """A job is FAILED, to squeue, also where its worker was killed for memory."""
        if account is not None and not has_ended(account.state):
            account = None  # not yet written down
        is_memory = account is not None and account.state == "OUT_OF_MEMORY"
        row = replace(job.row, state="OUT_OF_MEMORY") if is_memory else job.row
        return replace(job, row=row, account=account, details=job.details + 1)

    @staticmethod
    def _seen(before: Job | None, row: Row, now: float, ours: bool) -> Job:
        if before is not None and before.is_detailed and row.state == "FAILED":
            return before
        if before is not None and before.row.state == row.state:
            return replace(before, row=row, is_ours=ours or before.is_ours, seen_at=now, misses=0)
        return Job(row, ours or (before is not None and before.is_ours), now, now)

    @classmethod
    def _missed(cls, before: Job | None, name: str, account: Account | None, other: Row | None, now: float) -> Job:
        """A job that squeue did not show among the user's own."""
        if other is not None:
            return cls._seen(before, other, now, ours=False)
        if before is None:
            before = Job(Row(name, "UNKNOWN"), False, now, now)
        misses = before.misses + 1
        if account is not None and has_ended(account.state):
            row = replace(before.row, state=account.state, node=account.node or before.row.node)
            return Job(row, before.is_ours, now, now, account=account)
        if misses >= (GONE_LOOKS if account is None else RUNAWAY_LOOKS):
            return Job(replace(before.row, state=GONE), before.is_ours, now, now)
        return replace(before, misses=misses)
