"""The parent of a worker: claims a trial, has its child evaluate it, writes how that ended, and again.

One thread, one loop. Nothing of the user's runs here, so heartbeats, time-outs and signals work whatever the objective
does.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from hpcho.errors import StoreError, StoreStopped
from hpcho.trial import Owner, Trial
from hpcho.worker import devices
from hpcho.worker.control import Control
from hpcho.worker.deliver import Delivery
from hpcho.worker.events import Events
from hpcho.worker.logs import WorkerLog
from hpcho.worker.memory import Limit
from hpcho.worker.pruning import Pruning
from hpcho.worker.tenure import Durations, Tenure
from hpcho.worker.warm import Warm
from hpcho.worker.watch import Outcome, Watch

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from hpcho.store import TrialStore
    from hpcho.worker.duty import Duty

__all__ = ["Worker"]

log = logging.getLogger(__name__)

SHORTEST_IDLE_S = 0.002
"""The first pause between two looks for a new trial; each is twice as long as the one before."""
TROUBLE_S = 2.0
"""The pause after the store could not be asked for one."""
RESTART_S = 30.0
"""How long a server that is meant to run may take to be there again. One that is out of reach is out of it for ever."""
IDLE_S = 10.0
"""A worker that has had nothing for so long asks less often."""


class Worker:
    """One worker; see ``hpcho.worker.serve``. Raises UsageError, StoreError."""

    def __init__(
        self,
        duty: Duty,
        *,
        lifeline: int | None,
        max_trials: int | None,
        idle_exit_s: float | None,
        wait_s: float = 0.0,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self._duty = duty
        self._tell = tell
        self._jobdir = duty.jobdir
        self._owner = Owner.here()
        self._tenure = Tenure(self._owner, os.environ)
        self._events = Events(lifeline)
        self._left = max_trials
        self._idle_exit_s, self._wait_s = idle_exit_s, wait_s
        self._idle_since = time.monotonic()

    def run(self) -> int:
        """Serve until there is a reason to leave; the exit code."""
        duty, owner = self._duty, self._owner
        mark = f"{owner.host}:{owner.pid}:{owner.started}"
        plan = replace(duty.plan(mark), devices=devices.part(os.environ))
        limit = Limit.of(os.environ, duty.mem_gb)
        with (
            WorkerLog(self._jobdir.logs / f"worker-{owner.host}-{owner.pid}.log").attached() as worker_log,
            self._events.listening(),
            contextlib.ExitStack() as on_exit,
        ):
            log.info("worker %s of %s begins%s", owner, duty.name, f" in job {owner.job}" if owner.job else "")
            store = self._open()
            if store is None:
                return 0
            on_exit.callback(store.close)
            warm = Warm(plan, duty.trial, limit, events=self._events, worker_log=worker_log)
            with contextlib.closing(warm):
                return self._serve(store, warm)

    def _open(self) -> TrialStore | None:
        """The store; None when the worker is called away while it waits for it. Raises StoreError."""
        seen, since = None, time.monotonic()
        while (call := self._outside_call()) is None:
            try:
                store = self._duty.open_store()
            except StoreError as error:
                if seen is not type(error):
                    seen, since = type(error), time.monotonic()
                    log.warning("no store yet: %s", error)
                patience_s = self._wait_s if isinstance(error, StoreStopped) else min(self._wait_s, RESTART_S)
                if time.monotonic() - since >= patience_s:
                    raise
            else:
                self._idle_since = time.monotonic()
                return store
            self._events.wait(TROUBLE_S)
        log.info("worker %s leaves: %s", self._owner, call)
        return None

    def _serve(self, store: TrialStore, warm: Warm) -> int:
        control = Control(store)
        duty = self._duty
        beat_s = duty.trial.heartbeat_s
        delivery = Delivery(store, duty.retries, self._events, disk_first=duty.disk_first, heartbeat_s=beat_s)
        delivery.keeps_paused = duty.rule is not None and duty.rule.promotes
        durations = Durations(store)
        pause_s = SHORTEST_IDLE_S
        while (reason := self._reason_to_leave(control, warm, durations)) is None:
            objective = self._objective(store)
            if objective is not None:
                warm.take_up(objective)
                if not warm.make_ready(lambda: self._call(control, warm) is not None):
                    continue
            trial = None if objective is None else self._claim(store)
            if trial is None:
                longest_s = self._duty.pace.idle_s if self._is_idle(warm) else self._duty.pace.busy_s
                if pause_s >= longest_s and control.is_over:
                    reason = "the run has ended"
                    break
                self._events.wait(pause_s)
                pause_s = min(pause_s * 2, longest_s)
                continue
            pause_s, began = SHORTEST_IDLE_S, time.monotonic()
            control.look(self._duty.pace.control_s)
            if self._events.stops or control.is_stop or self._objective(store, fresh=True) != objective:
                outcome = Outcome()  # the worker must leave, or has loaded an objective that is not the trial's
            else:
                outcome = self._evaluate(trial, store, warm, control)
            if outcome.result is not None or outcome.failure is not None:
                durations.own.append(time.monotonic() - began)
            if not delivery.deliver(trial, self._jobdir.trial(trial.tid), outcome):
                self._leave(f"the store is away, and has not heard how trial {trial.tid} ended")
                return StoreError.exit_code
            warm.rest()
            self._idle_since = time.monotonic()
            if self._left is not None:
                self._left -= 1
        self._leave(reason)
        return 0

    def _leave(self, reason: str) -> None:
        log.info("worker %s leaves: %s", self._owner, reason)
        if self._tell is not None:
            self._tell(reason)

    def _call(self, control: Control, warm: Warm) -> str | None:
        """Who calls the worker away, if anybody does."""
        pace = self._duty.pace
        control.look(pace.idle_control_s if self._is_idle(warm) else pace.control_s)
        return self._outside_call() or ("the run was stopped; `hpcho run` goes on" if control.is_stop else None)

    def _outside_call(self) -> str | None:
        """The same, but for the run itself."""
        if self._events.stops:
            return f"it got {self._events.heard[-1].name}"
        if self._tenure.is_over:
            return f"{self._tenure.name} ends in {max(self._tenure.left_s, 0):.0f} s"
        return None if self._events.has_lifeline else "whoever started it is gone"

    def _reason_to_leave(self, control: Control, warm: Warm, durations: Durations) -> str | None:
        if call := self._call(control, warm):
            return call
        if self._left == 0:
            return "it has had its number of trials"
        # the first is tried in any case: else one that is longer than a job would never run
        if durations.own and self._tenure.end < math.inf:
            likely_s = durations.likely_s()
            if likely_s is not None and not self._tenure.fits(likely_s):
                return f"{self._tenure.name} ends in {self._tenure.left_s:.0f} s and trials take {likely_s:.0f} s"
        if self._idle_exit_s is None or self._left_to_idle(self._idle_exit_s, warm) > 0:
            return None
        return f"there was nothing to do for {self._idle_exit_s:g} s"

    def _left_to_idle(self, idle_exit_s: float, warm: Warm) -> float:
        """Loading the objective is no idleness."""
        return max(self._idle_since, warm.ready_at) + idle_exit_s - time.monotonic()

    def _is_idle(self, warm: Warm) -> bool:
        return self._left_to_idle(IDLE_S, warm) <= 0

    def _objective(self, store: TrialStore, *, fresh: bool = False) -> dict[str, Any] | None:
        try:
            return self._duty.objective(store, fresh=fresh)
        except StoreError as error:
            log.warning("the objective cannot be read for now: %s", error)
            self._events.wait(TROUBLE_S)
            return None

    def _claim(self, store: TrialStore) -> Trial | None:
        try:
            trial = store.claim(self._owner)
        except StoreError as error:
            log.warning("no trial can be claimed for now: %s", error)
            self._events.wait(TROUBLE_S)
            return None
        if trial is not None and self._duty.disk_first:
            # Were the store lost now, the folder would keep the number from being given to another trial.
            with contextlib.suppress(OSError):  # on a full disk the result will wait for room
                self._jobdir.trial(trial.tid).mkdir(parents=True, exist_ok=True)
        return trial

    def _evaluate(self, trial: Trial, store: TrialStore, warm: Warm, control: Control) -> Outcome:
        if warm.unloadable is not None:
            failure, warm.unloadable = warm.unloadable, None
            return Outcome(failure=failure)
        assert warm.child is not None
        rule = self._duty.rule
        watch = Watch(
            trial,
            self._jobdir.trial(trial.tid),
            warm.child,
            spec=self._duty.trial,
            store=store,
            events=self._events,
            control=control,
            output=warm.output,
            memory_watch=warm.memory_watch(),
            oom=warm.oom,
            tenure=self._tenure,
            pruning=None if rule is None else Pruning(rule, trial, store, self._duty.pace.control_s),
        )
        return watch.run(self._duty.params(trial.vals))
