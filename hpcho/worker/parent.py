"""The parent of a worker: claims a trial, has its child evaluate it, writes how that ended, and again.

One thread, one loop. Nothing of the user's runs here, so heartbeats, time-outs and signals work whatever the objective
does.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from typing import TYPE_CHECKING

from hpcho.errors import StoreError
from hpcho.trial import Owner, Trial
from hpcho.worker.control import Control
from hpcho.worker.deliver import Delivery
from hpcho.worker.events import Events
from hpcho.worker.logs import WorkerLog
from hpcho.worker.warm import Warm
from hpcho.worker.watch import Outcome, Watch

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from hpcho.store import TrialStore
    from hpcho.worker.duty import Duty

__all__ = ["Worker"]

log = logging.getLogger(__name__)

GRACE_S = 5.0
"""What an objective gets to heed a stop, unless $HPCHO_GRACE_S says otherwise."""
SHORTEST_IDLE_S = 0.002
"""The first pause between two looks for a new trial; each is twice as long as the one before."""
TROUBLE_S = 2.0
"""The pause after the store could not be asked for one."""
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
        tell: Callable[[str], None] | None,
    ) -> None:
        self._duty = duty
        self._tell = tell
        self._jobdir = duty.jobdir
        self._owner = Owner.here()
        self._grace_s = float(os.environ.get("HPCHO_GRACE_S") or GRACE_S)
        self._events = Events(lifeline)
        self._left = max_trials
        self._idle_exit_s = idle_exit_s
        self._idle_since = time.monotonic()

    def run(self) -> int:
        """Serve until there is a reason to leave; the exit code."""
        duty, owner = self._duty, self._owner
        plan = duty.plan(f"{owner.host}:{owner.pid}:{owner.started}")
        with (
            WorkerLog(self._jobdir.logs / f"worker-{owner.pid}.log").attached() as worker_log,
            self._events.listening(),
            contextlib.closing(duty.open_store()) as store,
        ):
            log.info("worker %s of %s begins", owner, duty.name)
            warm = Warm(plan, duty.trial, duty.mem_gb, events=self._events, worker_log=worker_log)
            with contextlib.closing(warm):
                return self._serve(store, warm)

    def _serve(self, store: TrialStore, warm: Warm) -> int:
        control = Control(store)
        duty = self._duty
        beat_s = duty.trial.heartbeat_s
        delivery = Delivery(store, duty.retries, self._events, disk_first=duty.disk_first, heartbeat_s=beat_s)
        pause_s = SHORTEST_IDLE_S
        while (reason := self._reason_to_leave(control, warm)) is None:
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
            pause_s = SHORTEST_IDLE_S
            control.look(self._duty.pace.control_s)
            if self._objective(store, fresh=True) == objective and not control.is_stop:
                outcome = self._evaluate(trial, store, warm, control)
            else:
                outcome = Outcome()  # a stop came, or another objective, after what is known here: back with it
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
        if self._events.stops:
            return f"it got {self._events.stop_name}"
        if control.is_stop:
            return "the run was stopped; `hpcho run` goes on"
        return None if self._events.has_lifeline else "whoever started it is gone"

    def _reason_to_leave(self, control: Control, warm: Warm) -> str | None:
        if call := self._call(control, warm):
            return call
        if self._left == 0:
            return "it has had its number of trials"
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
            grace_s=self._grace_s,
        )
        return watch.run(self._duty.params(trial.vals))
