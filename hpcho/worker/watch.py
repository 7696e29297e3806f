"""Watches one trial while the child evaluates it: messages, heartbeats, time, memory, stop signals."""

from __future__ import annotations

import contextlib
import logging
import math
import shutil
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpcho import checkpoints
from hpcho.errors import ClaimLost, StoreError
from hpcho.trial import Cause, Failure, Report, Result, Trial
from hpcho.worker import deaths, memory
from hpcho.worker.tenure import Notice

if TYPE_CHECKING:
    from hpcho.experiment.schema import TrialSpec
    from hpcho.store import TrialStore
    from hpcho.worker.channel import Message
    from hpcho.worker.control import Control
    from hpcho.worker.events import Events
    from hpcho.worker.output import Output
    from hpcho.worker.process import Child
    from hpcho.worker.pruning import Pruning
    from hpcho.worker.tenure import Tenure

__all__ = ["MemoryWatch", "Outcome", "Watch"]

log = logging.getLogger(__name__)

SIGNAL_S = 0.5
"""How far apart a scheduler's signal may reach the processes of one job."""


@dataclass(frozen=True)
class Outcome:
    """How an evaluation ended: with a result, a failure, or neither: given back, or (``lost``) no longer ours.

    ``reports`` are those that are not in the store yet.
    """

    result: Result | None = None
    files: dict[str, Path] = field(default_factory=dict)
    failure: Failure | None = None
    lost: bool = False
    reports: tuple[Report, ...] = ()


class MemoryWatch:
    """Looks now and then at what a process and its descendants take."""

    MIN_S = 0.25
    SHARE = 0.04
    """Of one processor's time, at most: on a machine with many processes a look takes long."""

    def __init__(self, limit: memory.Limit) -> None:
        self.limit = limit
        self.due = math.inf if limit.gb is None else 0.0
        """When to look next, by the monotonic clock."""

    def look(self, pid: int) -> Failure | None:
        """The failure, if it is too much."""
        limit, began = self.limit, time.monotonic()
        used_gb = memory.resident(pid) / memory.GB
        ended = time.monotonic()
        self.due = ended + max(self.MIN_S, (ended - began) / self.SHARE)
        if used_gb <= limit.most_gb:
            return None
        assert limit.gb is not None
        return deaths.killed_for_memory(used_gb, limit.gb, limit.key)


class Watch:
    """One evaluation. ``tenure`` says when it must end, and how long an objective gets to heed a stop.

    What a stop means for a trial: an objective that was told of it (``should_stop()`` was True) was interrupted, so
    what it returns is no result. One that was not told and returns within the grace has finished: its result counts.
    Whatever else happens after a stop (an error, a crash, no end) interrupts the trial too: a scheduler's signal may
    have reached processes of the objective's, so nothing is proved.

    An interrupted trial is given back where the run or the user wanted that; where the job was ended, the attempt has
    failed, for infrastructure.
    """

    def __init__(
        self,
        trial: Trial,
        folder: Path,
        child: Child,
        *,
        spec: TrialSpec,
        store: TrialStore,
        events: Events,
        control: Control,
        output: Output,
        memory_watch: MemoryWatch,
        oom: memory.OomCounter,
        tenure: Tenure,
        pruning: Pruning | None = None,
    ) -> None:
        self._trial = trial
        self._folder = folder
        self._child = child
        self._spec = spec
        self._store = store
        self._events = events
        self._control = control
        self._output = output
        self._memory = memory_watch
        self._oom = oom
        self._tenure = tenure
        self._pruning = pruning
        self._reports: list[Report] = []
        self._outcome: Outcome | None = None
        now = time.monotonic()
        self._deadline = math.inf if spec.timeout_min is None else now + spec.timeout_min * 60
        self._beat_due = now + spec.heartbeat_s
        self._notice: Notice | None = None
        self._heard = 0
        self._beats_fail = False

    def run(self, params: dict[str, Any]) -> Outcome:
        """Have the child evaluate ``params`` and return how that ended. Writes nothing but heartbeats."""
        if self._trial.parent is not None:
            try:
                checkpoints.take_over(self._folder.with_name(str(self._trial.parent)), self._folder, self._stay)
            except ClaimLost:
                return Outcome(lost=True)
        checkpoints.begin(self._folder)
        self._output.begin(self._folder)
        try:
            return self._follow(params)
        finally:
            self._output.end()
            if self._notice:
                self._notice.close()

    def _follow(self, params: dict[str, Any]) -> Outcome:
        trial, child = self._trial, self._child
        task = {"tid": trial.tid, "folder": str(self._folder), "params": params, "vals": dict(trial.vals)}
        child.begin({**task, "has_pruner": self._pruning is not None})
        while True:
            fds = (*child.fds, *self._output.fds, *(self._notice.fds if self._notice else ()))
            self._events.wait(self._due() - time.monotonic(), fds)
            self._output.pump()
            self._look_for_stops()
            self._read()
            if self._outcome is None:
                self._look_for_death()
            if self._outcome is None:
                self._look_at_the_clock(time.monotonic())
            if self._outcome is not None:
                return self._outcome

    def _stay(self) -> None:
        """A heartbeat, where one is due, before the trial has begun. Raises ClaimLost."""
        now = time.monotonic()
        if now >= self._beat_due:
            self._beat_due = now + self._spec.heartbeat_s
            with contextlib.suppress(StoreError):
                self._store.heartbeat(self._trial)

    def _due(self) -> float:
        stop = self._notice.grace_end if self._notice else self._tenure.leave_at
        return min(self._beat_due, self._deadline, self._memory.due, stop)

    def _end(self, **outcome: Any) -> None:
        self._outcome = Outcome(**outcome, reports=tuple(self._reports))

    def _kill(self) -> None:
        """End the trial's processes; what the outcome is comes after."""
        pid = self._child.trial_pid
        self._child.kill_trial()
        shutil.rmtree(self._folder / f".result-{pid}", ignore_errors=True)  # what it may have begun to write

    # -- what the child says ---------------------------------------------------------------------------------------

    def _read(self) -> None:
        for message in self._child.read():
            self._take(message)

    def _take(self, message: Message) -> None:
        kind = message[0]
        if kind == "report":
            report = Report(*message[1:])
            self._reports.append(report)
            if self._pruning is not None:
                self._pruning.hear(report)
        elif kind == "prune?":
            self._judge()
        elif kind == "result":
            _, document, paths, was_told = message
            if was_told:
                self._interrupted()
            else:
                self._end(result=Result.from_json(document), files={name: Path(path) for name, path in paths.items()})
        elif kind == "failed":
            self._take_failure(message[1])
        elif kind == "full":
            log.warning("trial %d: %s", self._trial.tid, message[1])
            self._deadline = math.inf  # it has a result: it only waits for room

    def _judge(self) -> None:
        """Tell the objective, which waits, whether the trial is given up."""
        if self._pruning is not None:
            if self._pruning.is_at_milestone:
                self._beat()  # the others' cutoffs are made of this
            if self._outcome is None:
                self._child.tell(("verdict", self._trial.tid, self._pruning.gives_up()))

    def _take_failure(self, failure: dict[str, Any]) -> None:
        self._child.is_spent = self._child.is_spent or failure["spent"]
        cause = Cause(failure["cause"])
        if failure.get("killed") and self._oom.rose():
            cause = Cause.OOM
        self._failed(Failure(cause, failure["text"].rstrip()))

    def _look_for_death(self) -> None:
        code = self._child.trial_exit()
        if code is None:
            return
        self._output.pump()  # its last words
        self._read()
        if self._outcome is not None:
            return
        failure = deaths.died(
            code,
            self._output.last_lines(),
            for_memory=self._oom.rose(),
            doing="before it returned a result",
            more_memory=self._memory.limit.advice,
        )
        self._kill()
        self._failed(failure)

    def _failed(self, failure: Failure) -> None:
        """The objective has failed, unless that came of a stop: in a job its signal may be on its way to us yet."""
        wait_until = time.monotonic() + (SIGNAL_S if self._tenure.is_bounded else 0.0)
        while self._notice is None and time.monotonic() < wait_until:
            self._events.wait(wait_until - time.monotonic())
            self._look_for_stops()
        if self._notice is None:
            self._end(failure=failure)
        else:
            self._interrupted()

    # -- what ends the worker's time -------------------------------------------------------------------------------

    def _look_for_stops(self) -> None:
        """The first stop opens the grace."""
        heard = self._events.heard[self._heard :]
        self._heard += len(heard)
        if self._notice is None:
            if heard:
                self._stop(heard.pop(0))
            elif self._control.is_release:
                self._stop(None)
            elif self._tenure.is_over:
                self._stop(signal.SIGUSR2)
        if self._notice is not None:
            self._notice.look()
            for number in heard:
                self._notice.again(number)

    def _stop(self, number: int | None) -> None:
        self._notice = Notice(self._tenure, number)
        self._deadline = math.inf
        self._child.ask_to_stop()
        self._control.look()
        is_wanted = self._notice.is_own_will or self._control.is_ending
        if is_wanted and not self._child.takes_trial:
            self._notice.grace_end = time.monotonic()  # it will not heed it, and somebody waits

    def _interrupted(self) -> None:
        """The trial goes back; what for, depends on who wanted that. A store that is away says nothing of a stop."""
        assert self._notice is not None
        cause = None if self._control.is_ending else self._notice.cause()
        if cause is None:
            self._end()
            return
        saved = checkpoints.saved(self._folder)
        self._end(failure=deaths.sent_away(cause, self._tenure.name, self._tenure.node, saved=saved))

    # -- what the clock says ---------------------------------------------------------------------------------------

    def _look_at_the_clock(self, now: float) -> None:
        if self._notice and now >= self._notice.grace_end:
            self._kill()
            self._interrupted()
        elif now >= self._deadline:
            timeout_min = self._spec.timeout_min
            assert timeout_min is not None
            self._kill()
            self._end(failure=deaths.out_of_time(timeout_min, self._output.last_lines()))
        elif now >= self._memory.due and (failure := self._memory.look(self._child.trial_pid)):
            self._kill()
            self._end(failure=failure)
        elif now >= self._beat_due:
            self._beat_due = now + self._spec.heartbeat_s
            self._beat()

    def _beat(self) -> None:
        self._control.look()
        try:
            self._store.heartbeat(self._trial, self._reports)
        except ClaimLost:
            log.warning("trial %d belongs to somebody else by now: it is stopped here", self._trial.tid)
            self._kill()
            self._end(lost=True)
            return
        except StoreError as error:
            if not self._beats_fail:
                log.warning("trial %d: no heartbeat possible: %s; the trial goes on", self._trial.tid, error)
            self._beats_fail = True
            return
        self._reports.clear()
        self._beats_fail = False
