"""Workers as jobs of a SLURM cluster.

One thread does all that may be slow: it looks at the queue, and submits and cancels what makes the queue as wanted. The
launcher's calls read what it last saw and note what is wanted. Everything that must outlive this process stands in
SLURM: the run's jobs are those whose comment holds its mark, so the next controller finds them and counts them.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from typing import TYPE_CHECKING

from hpcho.errors import LauncherError
from hpcho.launchers.arrays import Arrays
from hpcho.launchers.health import Health
from hpcho.launchers.queue import Queue
from hpcho.launchers.scheduler import QueueFull, Row, Scheduler, SlurmAway, wait_words
from hpcho.launchers.silence import Silence

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from hpcho.experiment import launchers as specs
    from hpcho.jobdir import JobDir
    from hpcho.launchers.base import Crew
    from hpcho.launchers.queue import Job
    from hpcho.trial import Failure, Owner

__all__ = ["SlurmLauncher"]

log = logging.getLogger(__name__)

LOOK_S, LONGEST_LOOK_S = 2.0, 15.0
"""How long between two looks at the queue, while something changes and when all is quiet."""
HURRY_S = 0.5
"""The same while everything is on its way out, which ends soon."""
SETTLE_S = 10.0
"""How long an sbatch whose answer never came may still be at work: until then nothing more is submitted."""
FULL_S = 60.0
"""How long until a queue that took no more is tried again, unless jobs of ours have ended."""
WAITS_S = 15.0
"""Jobs that have waited so long with none running are worth a word."""
IDLE_S = 2.0
"""What a worker without a trial gets to leave, once the run is over."""
LEAVE_S = 5.0
"""Given to a worker on top of its grace before its job is cancelled."""
TOLD = 10
"""How many jobs a line of the log names."""
CLOSE_S = 15.0
"""How long ``close`` waits for the queue to become empty, besides the grace of running trials."""


class SlurmLauncher:
    """Keeps jobs with ``spec.workers_in_job`` workers each in the queue.

    ``uuid`` and ``name`` are the experiment's; ``entry`` is the worker's entry point, called in the jobs with JOB_DIR
    and options; ``heartbeat_s`` is how often a worker gives a sign of life; ``python`` is shell text that starts Python
    on compute nodes (default: ``spec.python``, else the interpreter that runs this). Nothing is asked of SLURM until
    the first call that needs it. Raises LauncherError for a job directory that SLURM cannot write to.
    """

    def __init__(
        self,
        spec: specs.SlurmLauncher,
        jobdir: JobDir,
        *,
        uuid: str,
        name: str,
        entry: Callable[[list[str]], int],
        heartbeat_s: float,
        python: str | None = None,
    ) -> None:
        self._spec = spec
        self._tag = f"hpcho:{uuid}"
        self._wake, self._hurry, self._is_empty = threading.Event(), threading.Event(), threading.Event()
        self._scheduler = Scheduler()
        self._queue = Queue(self._scheduler, self._tag)
        self._arrays = Arrays(spec, jobdir, self._scheduler, name=name, tag=self._tag, entry=entry, python=python)
        self._health = Health(canary=spec.canary, has_worked=any(jobdir.trials.glob("*")))
        self._silence = Silence(self._queue, spec, heartbeat_s, self._wake.set)
        self._most_jobs = max(spec.workers // spec.workers_in_job, 1)
        # set by the launcher's calls, read by the thread
        self._request: tuple[int, Sequence[str | None]] = (0, ())
        self._is_released = self._is_closing = self._is_over = False
        # set by the thread, read by the launcher's calls
        self._wanted = 0
        self._error: LauncherError | None = None
        self._away: str | None = None
        self._unsent: str | None = None
        self._full: str | None = None
        # the thread's own
        self._thread: threading.Thread | None = None
        self._looks = self._failed_looks = 0
        self._judged: set[str] = set()
        self._told: dict[str, float] = {}
        self._cancelled: dict[str, float] = {}
        self._not_before = 0.0
        self._is_undecided = False
        self._full_at = (0, 0.0)

    # -- the launcher's calls --------------------------------------------------------------------------------------

    @property
    def capacity(self) -> int:
        """Workers of as many whole jobs as ``spec.workers`` allows, and of one at least."""
        return self._most_jobs * self._spec.workers_in_job

    @property
    def notice(self) -> str | None:
        """SLURM is away or takes no more jobs; all jobs wait; nodes are avoided."""
        parts = []
        if self._away is not None:
            parts.append(f"waiting: SLURM does not answer ({self._away})")
        elif self._unsent is not None:
            parts.append(f"waiting: jobs cannot be submitted now ({self._unsent})")
        elif self._full is not None:
            here = len(self._queue.live())
            parts.append(
                f"SLURM takes no more jobs of yours for now ({self._full}): {here} of {self._wanted} wanted are there"
            )
        elif waiting := self._waiting():
            parts.append(waiting)
        if nodes := self._health.excluded:
            parts.append(f"avoiding {', '.join(nodes)}: workers kept dying there")
        return "; ".join(parts) or None

    @property
    def crew(self) -> Crew:
        """Workers in jobs; all that one waiting job will have are queued."""
        return self._queue.crew(self._request[1], self._health.worked, self._spec.workers_in_job)

    def script(self, workers: int | None = None) -> str:
        """The script that is submitted for so many workers (default: all that there may be). Asks nothing of SLURM."""
        return self._arrays.script(self._jobs(self.capacity if workers is None else workers))

    def top_up(self, wanted: int, owners: Collection[Owner]) -> None:
        """Have at least ``wanted`` workers, as far as limits allow; of those that wait for a node, no more than that.

        Owners outside the run's jobs (started by hand) work too: where fewer than all workers are wanted, they are
        taken off. Raises LauncherError where no worker can work.
        """
        self._begin()
        self._silence.hold(owners)
        self._request = wanted, [owner.job for owner in owners]
        if self._jobs_wanted() != self._wanted:
            self._wake.set()
        if self._error is not None:
            raise LauncherError(str(self._error))

    def death_of(self, owner: Owner, silent_s: float) -> Failure | None:
        """Why a worker in a job is gone: its job has ended and it is silent.

        One that is silent for long in a job that runs has its job cancelled first.
        """
        if owner.job is None:
            return None
        self._begin()
        return self._silence.death_of(owner, silent_s)

    def is_watching(self, owner: Owner) -> bool:
        """Workers in jobs; the scheduler knows of their ends."""
        return owner.job is not None

    def release(self) -> None:
        """Cancel what waits, and send USR2 to workers; a job that is still there after its grace is cancelled."""
        self._begin()
        self._is_released = True
        self._hurry.set()
        self._wake.set()

    def close(self) -> None:
        """Cancel everything of the run, and return when the queue has nothing of it, or after a bound."""
        if self._is_over:
            return
        self._begin()
        bound_s = CLOSE_S + (self._spec.grace_s if self._silence.holders() else 0.0)
        self._is_closing = True
        self._hurry.set()
        self._wake.set()
        if not self._is_empty.wait(bound_s):
            log.warning("after %.0f s jobs of this run may still be in the queue: see `squeue --me`", bound_s)
        self._is_over = True
        self._wake.set()
        self._scheduler.stop()
        if self._thread is not None:
            self._thread.join(LOOK_S)
        if self._is_empty.is_set():
            self._arrays.tidy()

    # -- the thread ------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="slurm", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        pause_s = LOOK_S
        while not self._is_over:
            began = time.monotonic()
            pause_s = LOOK_S if self._turn() else min(pause_s * 1.5, LONGEST_LOOK_S)
            if self._hurry.is_set():
                self._wake.wait(HURRY_S)
            else:
                self._wake.wait(pause_s)
                self._hurry.wait(max(began + LOOK_S - time.monotonic(), 0.0))
            self._wake.clear()

    def _turn(self) -> bool:
        """Look, and act; returns whether there was anything to do or see."""
        try:
            changed = self._queue.look(self._silence.silent_jobs())
            self._judge()
            acted = self._send_home() if self._is_released or self._is_closing else self._fill()
        except SlurmAway as error:
            self._failed_looks += 1
            if self._failed_looks > 1 and not self._is_over:  # one may happen
                if self._away != str(error):
                    log.warning("SLURM does not answer: %s", error)
                self._away = str(error)
            return False
        except LauncherError as error:
            self._fail(error)
            return False
        except Exception as error:
            log.exception("in the thread that watches SLURM")
            self._fail(LauncherError(f"watching SLURM failed, which it should not: {error!r}"))
            return False
        if self._away is not None:
            log.info("SLURM answers again")
        self._failed_looks, self._away = 0, None
        return changed or acted or self._silence.is_curious()

    def _fail(self, error: LauncherError) -> None:
        if self._error is None:
            log.error("%s", error)
        self._error = error
        if self._is_closing:
            self._is_empty.set()  # there is no use in waiting

    def _judge(self) -> None:
        """What the ends of jobs say about nodes and about workers in general. Raises LauncherError."""
        self._looks += 1
        jobs = self._queue.jobs
        ended = {name for name, job in jobs.items() if job.is_ours and job.has_ended} - self._judged
        if self._looks == 1:
            self._judged |= ended  # before this launcher's time
            if self._arrays.interrupted():
                self._not_before = time.monotonic() + SETTLE_S
            return
        self._health.takes_trials(name for name in self._silence.held() if name in jobs and jobs[name].is_ours)
        due = [jobs[name] for name in ended if jobs[name].row.state != "FAILED" or jobs[name].is_detailed]
        judged = {job.row.id for job in due}
        self._judged |= judged
        self._is_undecided = bool(ended - judged - self._health.worked)
        if self._is_released or self._is_closing:
            return
        avoided = len(self._health.excluded)
        if due := [job for job in due if job.row.id not in self._cancelled]:
            self._health.judge(due)
            self._not_before = max(self._not_before, time.monotonic() + self._health.wait_s)
        if hopeless := self._health.hopeless():
            raise LauncherError(self._hopeless_words(hopeless))
        if len(self._health.excluded) > avoided:
            waiting = {job.row.id.partition("_")[0] for job in self._queue.live() if job.is_queued}
            self._scheduler.exclude(waiting, self._health.excluded)

    def _fill(self) -> bool:
        """Make the queue as wanted; returns whether something was done."""
        self._wanted = self._jobs_wanted()
        live = self._queue.live()
        if cut := [job.row.id for job in live if self._silence.is_cut(job.row.id) and self._may_cancel(job)]:
            self._cancel(cut)
        missing = self._wanted - len(live)
        if missing <= 0 or self._error is not None:
            self._full = self._unsent = None
            waiting = sorted((job for job in live if job.is_queued), key=_age, reverse=True)
            waiting = waiting[: max(-missing, 0)]
            self._withdraw(waiting)
            return bool(waiting or cut)
        if time.monotonic() >= self._not_before and not self._is_undecided:
            self._submit(missing, len(live))
        return self._full is None  # else it changes when jobs end

    def _submit(self, missing: int, live: int) -> None:
        """Submit so many jobs: as few arrays as MaxArraySize allows, and what the user's limit takes."""
        size = missing
        if self._full is not None:
            before, at = self._full_at
            if live >= before and time.monotonic() < at + FULL_S:
                return
            size = max(before - live, 1)
        largest = max(self._scheduler.largest_array, 1)
        while missing > 0:
            size = min(size, missing, largest)
            try:
                jobs = self._arrays.submit(size, self._health.excluded)
            except QueueFull as error:
                self._full, self._full_at = str(error), (live, time.monotonic())
                size //= 2
                if size == 0:
                    log.warning("%s", self.notice)
                    return
                continue
            except SlurmAway as error:
                self._unsent, self._not_before = str(error), time.monotonic() + SETTLE_S
                raise
            except LauncherError as error:
                if not self._health.excluded:
                    raise
                log.warning("using all nodes again, since without %s: %s", self._health.excluded, error)
                self._health.pardon()
                continue
            log.info("submitted %d jobs: %s to %s", len(jobs), jobs[0], jobs[-1])
            self._queue.add(Row(job, "PENDING", comment=self._tag) for job in jobs)
            self._unsent = None
            live, missing, size = live + len(jobs), missing - len(jobs), size * 2
        self._full = None

    def _send_home(self) -> bool:
        """Cancel what waits, and tell what runs to leave; what has not done so after its grace is cancelled.

        A signal to the steps is also the fastest: of a cancelled job slurmd waits seconds for its end (scancel(1)).
        """
        live = self._queue.live()
        now = time.monotonic()
        self._withdraw([job for job in live if job.is_queued])
        running = [job for job in live if not job.is_queued and job.row.state != "COMPLETING"]
        holders = self._silence.holders()
        telling, cancelling = [], []
        for job in running:
            name = job.row.id
            patience_s = self._spec.grace_s + LEAVE_S if name in holders or not self._is_closing else IDLE_S
            if name not in self._told:
                telling.append(name)
            elif now - self._told[name] >= patience_s and self._may_cancel(job):
                cancelling.append(name)
        if telling:
            self._scheduler.cancel(telling, "USR2")
            self._told.update(dict.fromkeys(telling, now))
        self._cancel(cancelling)
        if self._is_closing and not self._queue.live():
            self._is_empty.set()
        return True

    def _withdraw(self, waiting: Sequence[Job]) -> None:
        """Cancel jobs that wait. One that has begun just now ends too: it has done nothing yet."""
        names = [job.row.id for job in waiting]
        self._cancel(names)
        self._queue.forget(names)

    def _cancel(self, names: Sequence[str]) -> None:
        if names:
            more = ", ..." if len(names) > TOLD else ""
            log.info("cancelling %s%s", ", ".join(names[:TOLD]), more)
            self._cancelled.update(dict.fromkeys(names, time.monotonic()))
            self._scheduler.cancel(names)

    def _may_cancel(self, job: Job) -> bool:
        """Whether it has not been cancelled just now: that takes a while."""
        return time.monotonic() - self._cancelled.get(job.row.id, -math.inf) > LEAVE_S

    # -- words and numbers -----------------------------------------------------------------------------------------

    def _jobs_wanted(self) -> int:
        """How many jobs there should be: workers outside the run's jobs do their share where work is scarce."""
        wanted, holders = self._request
        if wanted < self.capacity:
            jobs = self._queue.jobs
            wanted -= sum(job is None or job not in jobs or not jobs[job].is_ours for job in holders)
        return self._jobs(max(wanted, 0))

    def _jobs(self, workers: int) -> int:
        return min(math.ceil(workers / self._spec.workers_in_job), self._most_jobs)

    def _waiting(self) -> str | None:
        live = self._queue.live()
        now = time.monotonic()
        if not live or not all(job.is_queued and now - job.since >= WAITS_S for job in live):
            return None
        jobs = "the job" if len(live) == 1 else f"any of {len(live)} jobs"
        return f"waiting: SLURM has not started {jobs} yet ({wait_words([job.row for job in live], time.time())})"

    def _hopeless_words(self, jobs: Sequence[Job]) -> str:
        last = jobs[-1]
        code = last.account.exit_code if last.account else None
        how = f"{last.row.state}{'' if code is None else f', exit code {code}'}"
        many = "its job failed" if len(jobs) == 1 else f"{len(jobs)} jobs in a row failed"
        return (
            f"workers cannot start: {many} before it took a trial ({last.row.id} on {last.row.node}: {how}). "
            f"{self._arrays.last_lines(last.row.id)}"
        )


def _age(job: Job) -> tuple[int, ...]:
    return tuple(int(part) for part in job.row.id.split("_") if part.isdigit())
