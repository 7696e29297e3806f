"""How long this worker may work, and why it is told to go before it wants to.

A worker in a SLURM job has the job's time and no more. Near the end SLURM sends USR2, where the job was submitted so;
the worker goes then by itself. TERM comes when the job is preempted, cancelled, or out of time; which of these, only
SLURM knows, and is asked. Ctrl-C and a terminal that hangs up are the user's will, in a job or not.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import signal
import subprocess
import time
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import psutil

from hpcho.errors import StoreError
from hpcho.trial import Cause

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcho.store import TrialStore
    from hpcho.trial import Owner

__all__ = ["Durations", "Notice", "Tenure"]

GRACE_S = 5.0
"""What an objective gets to heed a stop, unless $HPCHO_GRACE_S says otherwise."""
GRACE_SHARE = 1 / 3
"""Of a job's whole time, at most: else a short one would be all grace."""
MARGIN_S = 5.0
"""Of a job's time, for what a worker has to do besides its trials."""
LAST_S = 2.0
"""Of a job's last seconds, for writing how a trial ended."""
KILL_WAIT_S = 30.0
"""From SLURM's TERM to its KILL: its default; $HPCHO_KILL_WAIT_S where the cluster has another."""
NEAR_S = 60.0
"""A signal so near the job's end tells of the end, unless SLURM says otherwise: it sends them so early."""
ANSWER_S = 2.0
"""How long SLURM may take to say why."""
MOST_OWN = 50
"""So many of a worker's own trials tell how long the next one takes."""
FRESH_S = 10.0
"""How often to read how long the run's trials take."""


class Tenure:
    """A worker's time. Its moments are by the monotonic clock; ``inf`` where there is no end, or none is known."""

    def __init__(self, owner: Owner, environ: Mapping[str, str]) -> None:
        """``environ``: SLURM_JOB_END_TIME (seconds since the epoch) or HPCHO_WALLTIME_S tells the end."""
        self.job = owner.job
        self.node = environ.get("SLURMD_NODENAME") or owner.host
        began = psutil.Process().create_time()
        end = _number(environ, "SLURM_JOB_END_TIME", began + _number(environ, "HPCHO_WALLTIME_S", math.inf))
        self.end = time.monotonic() + end - time.time()
        self.grace_s = min(_number(environ, "HPCHO_GRACE_S", GRACE_S), max(end - began, 0.0) * GRACE_SHARE)
        self.kill_wait_s = _number(environ, "HPCHO_KILL_WAIT_S", KILL_WAIT_S)
        self.leave_at = self.end - self.grace_s - MARGIN_S
        """When to go without being told."""

    @property
    def is_bounded(self) -> bool:
        """Whether somebody else than the user can end it: a scheduler, or the clock."""
        return self.job is not None or self.end < math.inf

    @property
    def left_s(self) -> float:
        """Seconds to the end."""
        return self.end - time.monotonic()

    @property
    def is_over(self) -> bool:
        """Whether it is time to go."""
        return time.monotonic() >= self.leave_at

    @property
    def name(self) -> str:
        """What its messages call it."""
        return f"its job {self.job}" if self.job else "its worker"

    def fits(self, duration_s: float) -> bool:
        """Whether a trial that takes so long comes to its end in time."""
        return time.monotonic() + duration_s <= self.leave_at


class Durations:
    """How long trials take: what the run has learnt, else what this worker has seen of its own."""

    def __init__(self, store: TrialStore) -> None:
        self._store = store
        self._looked_at = -math.inf
        self._learnt_s: float | None = None
        self.own: deque[float] = deque(maxlen=MOST_OWN)
        """Seconds of the trials that this worker has brought to an end."""

    def likely_s(self) -> float | None:
        """What nine of ten trials stay under; None when nothing is known yet."""
        self._look()
        if self._learnt_s is None and self.own:
            return sorted(self.own)[math.ceil(0.9 * len(self.own)) - 1]
        return self._learnt_s

    def _look(self) -> None:
        if time.monotonic() < self._looked_at + FRESH_S:
            return
        self._looked_at = time.monotonic()
        with contextlib.suppress(StoreError):  # what was read before is still good
            record = self._store.get("durations")
            self._learnt_s = record["p90_s"] if record and record["count"] else None


class Notice:
    """A worker that has a trial was told to go: by when it must be gone, and what that is called.

    ``number`` is the signal that said so; None where the run itself has asked, in the store.
    """

    def __init__(self, tenure: Tenure, number: int | None) -> None:
        self._tenure = tenure
        self._began = time.monotonic()
        self._cause: Cause | None = None
        self._inquiry: Inquiry | None = None
        self.grace_end = self._began + tenure.grace_s
        self._take(number)

    @property
    def is_own_will(self) -> bool:
        """Whether the user, or whoever started the worker for them, has said so; a scheduler has not."""
        return self._cause is None

    @property
    def fds(self) -> tuple[int, ...]:
        """What to wait on: an answer may shorten or lengthen the grace."""
        return self._inquiry.fds if self._inquiry else ()

    def again(self, number: int) -> None:
        """Another signal: a second one of the same user's ends the grace; a scheduler sends several as it goes on."""
        if self.is_own_will and not self._is_schedulers(number):
            self.grace_end = time.monotonic()
        else:
            self._take(number)

    def look(self) -> None:
        """Take in what SLURM has said since."""
        answer = self._inquiry.answer() if self._inquiry else None
        if answer is None:
            return
        self._inquiry = None
        self._cause = answer.cause or self._cause
        if answer.left_s > 0:
            self._be_gone_in(answer.left_s)

    def cause(self) -> Cause | None:
        """Why; None when it is nobody's but the user's will. May wait ANSWER_S, from when SLURM was asked."""
        while self._inquiry is not None and not self._inquiry.is_late:
            self.look()
            time.sleep(0.01)
        self.close()
        return self._cause

    def close(self) -> None:
        """Ask no more."""
        if self._inquiry is not None:
            self._inquiry.give_up()
            self._inquiry = None

    def _take(self, number: int | None) -> None:
        tenure = self._tenure
        if not self._is_schedulers(number):
            return
        if self._cause is not None:  # it goes on from one signal to the next: TERM is the last before KILL
            self.grace_end = min(self.grace_end, time.monotonic() + tenure.kill_wait_s - LAST_S)
        elif number == signal.SIGUSR2:
            self._cause = Cause.WALLTIME
            self._be_gone_in(tenure.left_s)
        else:
            self._be_gone_in(tenure.kill_wait_s)
            self._cause = Cause.WALLTIME if tenure.left_s <= NEAR_S else Cause.PREEMPTED
            if tenure.job:
                self._inquiry = Inquiry(tenure.job)

    def _is_schedulers(self, number: int | None) -> bool:
        """Whether a scheduler sends this one. Outside of a job whoever started the worker does."""
        return self._tenure.is_bounded and number in (signal.SIGTERM, signal.SIGUSR2)

    def _be_gone_in(self, left_s: float) -> None:
        """The grace is what the user wants, or what is left."""
        self.grace_end = min(self._began + self._tenure.grace_s, time.monotonic() + left_s - LAST_S)


@dataclass(frozen=True)
class Answer:
    """Why SLURM ends a job (None: it does not say), and in how many seconds, 0 where that is not known."""

    cause: Cause | None = None
    left_s: float = 0.0


class Inquiry:
    """What SLURM says of a job, asked without waiting. A machine without its commands says nothing."""

    def __init__(self, job: str) -> None:
        self._late_at = time.monotonic() + ANSWER_S
        self._said = b""
        self._process: subprocess.Popen[bytes] | None = None
        with contextlib.suppress(OSError):
            self._process = subprocess.Popen(
                ["scontrol", "-o", "show", "job", job],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )

    @property
    def fds(self) -> tuple[int, ...]:
        """What becomes readable when the answer comes."""
        return (self._pipe,) if self._process else ()

    @property
    def is_late(self) -> bool:
        """Whether it took too long."""
        return time.monotonic() >= self._late_at

    def answer(self) -> Answer | None:
        """The answer; None while there is none yet."""
        if self._process is None:
            return Answer()
        os.set_blocking(self._pipe, False)
        try:
            while chunk := os.read(self._pipe, 1 << 16):
                self._said += chunk
        except BlockingIOError:
            return None
        self.give_up()
        return read_answer(self._said.decode("utf-8", "replace"), datetime.now())  # noqa: DTZ005 - SLURM's are local

    def give_up(self) -> None:
        """Wait no longer."""
        if self._process is not None:
            with self._process:
                self._process.kill()
            self._process = None

    @property
    def _pipe(self) -> int:
        assert self._process is not None
        assert self._process.stdout is not None
        return self._process.stdout.fileno()


def read_answer(text: str, now: datetime) -> Answer:
    """What ``scontrol -o show job`` has said. Pure; ``now`` is local time, as SLURM's own."""
    said = dict(re.findall(r"(\w+)=(\S*)", text))
    state = said.get("JobState", "")
    if not state:
        return Answer()
    left_s = 0.0
    with contextlib.suppress(KeyError, ValueError):
        left_s = (datetime.fromisoformat(said["EndTime"]) - now).total_seconds()
    if said.get("PreemptTime", "None") not in ("None", "N/A", "Unknown") or state == "PREEMPTED":
        return Answer(Cause.PREEMPTED, left_s)
    early_s = NEAR_S if state == "RUNNING" else LAST_S
    if state == "TIMEOUT" or _seconds(said.get("RunTime")) + early_s >= _seconds(said.get("TimeLimit")) > 0:
        return Answer(Cause.WALLTIME)
    return Answer(Cause.NODE if state == "NODE_FAIL" else Cause.SCANCEL)


def _seconds(text: str | None) -> float:
    """Seconds of SLURM's [D-]HH:MM:SS; 0 where it is none (UNLIMITED)."""
    days, _, clock = (text or "").rpartition("-")
    try:
        hours, minutes, seconds = map(int, clock.split(":"))
        return int(days or 0) * 86400 + hours * 3600 + minutes * 60 + seconds
    except ValueError:
        return 0.0


def _number(environ: Mapping[str, str], name: str, default: float) -> float:
    """A number from the environment; what is none says nothing."""
    try:
        return float(environ.get(name) or default)
    except ValueError:
        return default
