"""The parent of a worker: claims a trial, has its child evaluate it, writes how that ended, and again.

One thread, one loop. Nothing of the user's runs here, so heartbeats, time-outs and signals work whatever the objective
does.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
from typing import TYPE_CHECKING

from hpcho import objective, space
from hpcho.errors import StoreError, UsageError
from hpcho.experiment.schema import Experiment
from hpcho.store import open_store
from hpcho.trial import Owner, Trial
from hpcho.worker.control import Control
from hpcho.worker.deliver import Delivery
from hpcho.worker.events import Events
from hpcho.worker.logs import WorkerLog
from hpcho.worker.process import Plan
from hpcho.worker.warm import Warm
from hpcho.worker.watch import Outcome, Watch

if TYPE_CHECKING:
    from hpcho.jobdir import JobDir
    from hpcho.store import TrialStore

__all__ = ["Worker"]

log = logging.getLogger(__name__)

GRACE_S = 5.0
"""What an objective gets to heed a stop, unless $HPCHO_GRACE_S says otherwise."""
SHORTEST_IDLE_S, LONGEST_IDLE_S = 0.002, 0.1
"""Pauses between two looks for a new trial."""
TROUBLE_S = 2.0
"""The pause after the store could not be asked for one."""


class Worker:
    """One worker of the experiment in ``jobdir``; see ``hpcho.worker.serve``. Raises UsageError, StoreError."""

    def __init__(
        self, jobdir: JobDir, *, lifeline: int | None, max_trials: int | None, idle_exit_s: float | None
    ) -> None:
        record = jobdir.read_record()
        if record is None:
            raise UsageError(f"{jobdir.path}: no run yet (it has no {jobdir.record_file.name}): `hpcho run` makes one")
        self._jobdir = jobdir
        self._uuid = record["uuid"]
        self._experiment = Experiment.model_validate_json(json.dumps(record["experiment"]))
        templates = objective.templates(self._experiment.objective, jobdir.source)
        self._space = space.build(self._experiment.space, templates)
        self._owner = Owner.here()
        self._grace_s = float(os.environ.get("HPCHO_GRACE_S") or GRACE_S)
        self._events = Events(lifeline)
        self._left = max_trials
        self._idle_exit_s = idle_exit_s
        self._idle_since = time.monotonic()

    def run(self) -> int:
        """Serve until there is a reason to leave; the exit code."""
        plan = self._plan()
        local = self._experiment.launcher.local
        mem_gb = local.mem_gb if local else None
        with (
            WorkerLog(self._jobdir.logs / f"worker-{self._owner.pid}.log").attached() as worker_log,
            self._events.listening(),
            contextlib.closing(open_store(self._jobdir)) as store,
        ):
            self._check_identity(store)
            log.info("worker %s of %s begins", self._owner, self._experiment.name)
            warm = Warm(plan, self._experiment.trial, mem_gb, events=self._events, worker_log=worker_log)
            with contextlib.closing(warm):
                return self._serve(store, warm)

    def _plan(self) -> Plan:
        owner = self._owner
        return Plan(
            objective=self._experiment.objective.model_dump(mode="json"),
            source=self._jobdir.source,
            isolate=self._experiment.trial.isolate,
            job_dir=self._jobdir.path,
            mark=f"{owner.host}:{owner.pid}:{owner.started}",
        )

    def _check_identity(self, store: TrialStore) -> None:
        identity = store.get("identity")
        if identity is not None and identity["uuid"] != self._uuid:
            raise StoreError(
                f"the store of {self._jobdir.path} belongs to another experiment: "
                "bring back the job directory that it was made with"
            )

    def _serve(self, store: TrialStore, warm: Warm) -> int:
        control = Control(store)
        delivery = Delivery(store, self._experiment.retries, self._events)
        pause_s = SHORTEST_IDLE_S
        while (reason := self._reason_to_leave(control, warm)) is None:
            if not warm.make_ready(lambda: self._call(control) is not None):
                continue
            trial = self._claim(store)
            if trial is None:
                if pause_s >= LONGEST_IDLE_S and control.is_over():
                    reason = "the run has ended"
                    break
                self._events.wait(pause_s)
                pause_s = min(pause_s * 2, LONGEST_IDLE_S)
                continue
            pause_s = SHORTEST_IDLE_S
            outcome = self._evaluate(trial, store, warm, control)
            if not delivery.deliver(trial, self._jobdir.trial(trial.tid), outcome):
                return StoreError.exit_code
            warm.rest()
            self._idle_since = time.monotonic()
            if self._left is not None:
                self._left -= 1
        log.info("worker %s leaves: %s", self._owner, reason)
        return 0

    def _call(self, control: Control) -> str | None:
        """Who calls the worker away, if anybody does."""
        control.look()
        if self._events.stops:
            return f"it got {self._events.stop_name}"
        if control.is_stop:
            return "the run is to stop"
        return None if self._events.has_lifeline else "whoever started it is gone"

    def _reason_to_leave(self, control: Control, warm: Warm) -> str | None:
        if call := self._call(control):
            return call
        if self._left == 0:
            return "it has had its number of trials"
        if self._idle_exit_s is None or self._left_to_idle(self._idle_exit_s, warm) > 0:
            return None
        return f"there was nothing to do for {self._idle_exit_s:g} s"

    def _left_to_idle(self, idle_exit_s: float, warm: Warm) -> float:
        """Loading the objective is no idleness."""
        return max(self._idle_since, warm.ready_at) + idle_exit_s - time.monotonic()

    def _claim(self, store: TrialStore) -> Trial | None:
        try:
            return store.claim(self._owner)
        except StoreError as error:
            log.warning("no trial can be claimed for now: %s", error)
            self._events.wait(TROUBLE_S)
            return None

    def _evaluate(self, trial: Trial, store: TrialStore, warm: Warm, control: Control) -> Outcome:
        if warm.unloadable is not None:
            failure, warm.unloadable = warm.unloadable, None
            return Outcome(failure=failure)
        assert warm.child is not None
        watch = Watch(
            trial,
            self._jobdir.trial(trial.tid),
            warm.child,
            spec=self._experiment.trial,
            store=store,
            events=self._events,
            control=control,
            output=warm.output,
            memory_watch=warm.memory_watch(),
            oom=warm.oom,
            grace_s=self._grace_s,
        )
        return watch.run(self._space.decode(trial.vals))
