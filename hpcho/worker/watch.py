"""Watches one trial while the child evaluates it: messages, heartbeats, time, memory, stop signals."""

from __future__ import annotations

import logging
import math
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpcho.errors import ClaimLost, StoreError
from hpcho.trial import Cause, Failure, Report, Result, Trial
from hpcho.worker import deaths, memory

if TYPE_CHECKING:
    from hpcho.experiment.schema import TrialSpec
    from hpcho.store import TrialStore
    from hpcho.worker.channel import Message
    from hpcho.worker.control import Control
    from hpcho.worker.events import Events
    from hpcho.worker.output import Output
    from hpcho.worker.process import Child

__all__ = ["MemoryWatch", "Outcome", "Watch"]

log = logging.getLogger(__name__)


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

    def __init__(self, limit_gb: float | None) -> None:
        self._limit_gb = limit_gb
        self.due = math.inf if limit_gb is None else 0.0
        """When to look next, by the monotonic clock."""

    def look(self, pid: int) -> Failure | None:
        """The failure, if it is too much."""
        assert self._limit_gb is not None
        began = time.monotonic()
        used_gb = memory.resident(pid) / memory.GB
        ended = time.monotonic()
        self.due = ended + max(self.MIN_S, (ended - began) / self.SHARE)
        return deaths.killed_for_memory(used_gb, self._limit_gb) if used_gb > self._limit_gb else None


class Watch:
    """One evaluation. ``grace_s``: what an objective that looks at ``trial.should_stop()`` gets to heed it.

    What a stop means for a trial: an objective that was told of it (``should_stop()`` was True) was interrupted, so
    what it returns is no result, and the trial is given back. One that was not told and returns within the grace has
    finished: its result counts. Whatever else happens after a stop (an error, a crash, no end) gives the trial
    back: a scheduler's signal may have reached processes of the objective's too, so nothing is proved.
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
        grace_s: float,
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
        self._grace_s = grace_s
        self._reports: list[Report] = []
        self._outcome: Outcome | None = None
        now = time.monotonic()
        self._deadline = math.inf if spec.timeout_min is None else now + spec.timeout_min * 60
        self._beat_due = now + spec.heartbeat_s
        self._grace_end = math.inf
        self._stops_heard = 0
        self._is_stopping = False
        self._beats_fail = False

    def run(self, params: dict[str, Any]) -> Outcome:
        """Have the child evaluate ``params`` and return how that ended. Writes nothing but heartbeats."""
        self._output.begin(self._folder)
        try:
            return self._follow(params)
        finally:
            self._output.end()

    def _follow(self, params: dict[str, Any]) -> Outcome:
        trial, child = self._trial, self._child
        child.begin({"tid": trial.tid, "folder": str(self._folder), "params": params, "vals": dict(trial.vals)})
        while True:
            self._events.wait(self._due() - time.monotonic(), (*child.fds, *self._output.fds))
            self._output.pump()
            self._read()
            if self._outcome is None:
                self._look_for_death()
            if self._outcome is None:
                self._look_at_the_clock(time.monotonic())
            if self._outcome is not None:
                return self._outcome

    def _due(self) -> float:
        return min(self._beat_due, self._deadline, self._memory.due, self._grace_end)

    def _end(self, **outcome: Any) -> None:
        self._outcome = Outcome(**outcome, reports=tuple(self._reports))

    def _kill(self, **outcome: Any) -> None:
        pid = self._child.trial_pid
        self._child.kill_trial()
        shutil.rmtree(self._folder / f".result-{pid}", ignore_errors=True)  # what it may have begun to write
        self._end(**outcome)

    # -- what the child says ---------------------------------------------------------------------------------------

    def _read(self) -> None:
        for message in self._child.read():
            self._take(message)

    def _take(self, message: Message) -> None:
        kind = message[0]
        if kind == "report":
            self._reports.append(Report(*message[1:]))
        elif kind == "result":
            _, document, paths, was_told = message
            if was_told:
                self._end()
            else:
                self._end(result=Result.from_json(document), files={name: Path(path) for name, path in paths.items()})
        elif kind == "failed":
            self._take_failure(message[1])
        elif kind == "full":
            log.warning("trial %d: %s", self._trial.tid, message[1])
            self._deadline = math.inf  # it has a result: it only waits for room

    def _take_failure(self, failure: dict[str, Any]) -> None:
        self._child.is_spent = self._child.is_spent or failure["spent"]
        cause = Cause(failure["cause"])
        if failure.get("killed") and self._oom.rose():
            cause = Cause.OOM
        if self._is_stopping:
            self._end()
        else:
            self._end(failure=Failure(cause, failure["text"].rstrip()))

    def _look_for_death(self) -> None:
        code = self._child.trial_exit()
        if code is None:
            return
        self._output.pump()  # its last words
        self._read()
        if self._outcome is not None:
            return
        doing, for_memory = "before it returned a result", self._oom.rose()
        failure = deaths.died(code, self._output.last_lines(), for_memory=for_memory, doing=doing)
        self._kill(failure=None if self._is_stopping else failure)

    # -- what the clock says ---------------------------------------------------------------------------------------

    def _look_at_the_clock(self, now: float) -> None:
        if self._events.stops > self._stops_heard or self._control.is_release:
            self._heed_stop(now)
        if now >= self._grace_end:
            self._kill()
        elif now >= self._deadline:
            timeout_min = self._spec.timeout_min
            assert timeout_min is not None
            self._kill(failure=deaths.out_of_time(timeout_min, self._output.last_lines()))
        elif now >= self._memory.due and (failure := self._memory.look(self._child.trial_pid)):
            self._kill(failure=failure)
        elif now >= self._beat_due:
            self._beat_due = now + self._spec.heartbeat_s
            self._beat()

    def _heed_stop(self, now: float) -> None:
        """The first signal opens the grace, the next one ends it."""
        again = self._is_stopping and self._events.stops > self._stops_heard
        self._stops_heard = self._events.stops
        if again:
            self._grace_end = now
        elif not self._is_stopping:
            self._is_stopping = True
            self._deadline = math.inf
            self._grace_end = now + (self._grace_s if self._child.takes_trial else 0.0)
            self._child.ask_to_stop()

    def _beat(self) -> None:
        self._control.look()
        try:
            self._store.heartbeat(self._trial, self._reports)
        except ClaimLost:
            log.warning("trial %d belongs to somebody else by now: it is stopped here", self._trial.tid)
            self._kill(lost=True)
            return
        except StoreError as error:
            if not self._beats_fail:
                log.warning("trial %d: no heartbeat possible: %s; the trial goes on", self._trial.tid, error)
            self._beats_fail = True
            return
        self._reports.clear()
        self._beats_fail = False
