"""Keeps a child that has the objective loaded, and a fresh one when that one has had its time."""

from __future__ import annotations

import logging
import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hpcho.trial import Cause, Failure
from hpcho.worker import deaths, memory
from hpcho.worker.output import Output
from hpcho.worker.process import Child, Plan, kill_marked
from hpcho.worker.stem import starter
from hpcho.worker.watch import MemoryWatch

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpcho.experiment.schema import TrialSpec
    from hpcho.worker.channel import Message
    from hpcho.worker.events import Events
    from hpcho.worker.logs import WorkerLog

__all__ = ["Warm"]

log = logging.getLogger(__name__)

TROUBLE_S = 2.0
"""The pause after no process could be started."""
LOOK_S = 1.0
"""At most so often memory and the kernel's counters are looked at between trials; and as often whether to leave is
asked while a child is loading."""


class Warm:
    """The worker's present child. ``limit``: what it and its descendants may take."""

    def __init__(
        self, plan: Plan, spec: TrialSpec, limit: memory.Limit, *, events: Events, worker_log: WorkerLog
    ) -> None:
        self.child: Child | None = None
        """Ready for a trial, once ``make_ready`` has said so and there is no ``unloadable``."""
        self.unloadable: Failure | None = None
        """Why the child could not load the objective; whoever tells of it takes it away."""
        self.ready_at = 0.0
        """When the child was ready, by the monotonic clock."""
        self.oom = memory.OomCounter()
        self._plan = plan
        self._spec = spec
        self._limit = limit
        self._events = events
        self._log = worker_log
        self.output = Output(worker_log.fd)
        """What the children print."""
        self._starter = starter(plan.environment, self.output.writers)
        self._looked_at = 0.0
        self._is_cold = False

    def memory_watch(self) -> MemoryWatch:
        """A new one."""
        return MemoryWatch(self._limit)

    def take_up(self, objective: dict[str, Any]) -> None:
        """Evaluate this one from now on: a child that has loaded another is let go."""
        if objective != self._plan.objective:
            self.drop()
            self._plan = replace(self._plan, objective=objective)
            self._is_cold = False

    def make_ready(self, is_leaving: Callable[[], bool]) -> bool:
        """Have a child that is ready or an ``unloadable``; False when that could not be, or the worker is to leave."""
        if self.unloadable is not None:
            return True
        if self.child is not None and not self.child.is_spent and self.child.is_alive():
            return True
        self.drop()
        self.output.end()
        try:
            self.child = Child(self._plan, self._starter)
        except OSError as error:
            log.warning("no process can be started for now: %s; trying again", error)
            self._events.wait(TROUBLE_S)
            return False
        return self._await(self.child, is_leaving)

    def rest(self) -> None:
        """Between two trials: let the child go if it has had enough."""
        if self.child is not None and self._has_had_enough(self.child):
            self.drop()

    def drop(self) -> None:
        """Let the child go, if there is one."""
        child, self.child = self.child, None
        if child is not None and not child.is_gone:
            child.leave()

    def close(self) -> None:
        """Let the child go, and leave nothing behind that it or those before it have started."""
        self.drop()
        self._starter.close()
        kill_marked(self._plan.mark, {os.getpid()})
        self.output.close()

    def _await(self, child: Child, is_leaving: Callable[[], bool]) -> bool:
        """Wait while the child loads the objective."""
        memory_watch = self.memory_watch()
        while not is_leaving():
            self._events.wait(min(LOOK_S, memory_watch.due - time.monotonic()), (*child.fds, *self.output.fds))
            code = child.trial_exit()
            self.output.pump()
            for message in child.read():
                if message[0] == "ready":
                    self._take_ready(child, message)
                    return True
                self._give_up(Failure(Cause(message[1]), message[2].rstrip()))
                return True
            if code is not None:
                self._give_up(
                    deaths.died(
                        code,
                        self.output.last_lines(),
                        for_memory=self.oom.rose(),
                        doing="while it loaded the objective",
                        more_memory=self._limit.advice,
                    )
                )
                return True
            if time.monotonic() >= memory_watch.due and (failure := memory_watch.look(child.pid)):
                self._give_up(failure)
                return True
        child.kill()
        return False

    def _take_ready(self, child: Child, message: Message) -> None:
        _, child.takes_trial, runtime = message
        self.ready_at = time.monotonic()
        self.output.end()
        if self._plan.isolate and runtime and not self._is_cold:
            log.info(
                "isolate: %s is up once the objective is loaded and would not survive a fork: "
                "each trial gets a fresh process that loads the objective anew",
                runtime,
            )
        self._is_cold = runtime is not None

    def _give_up(self, failure: Failure) -> None:
        log.warning("the objective could not be loaded: %s", failure.error.rpartition("\n")[2])
        self.unloadable = Failure(failure.cause, f"the objective could not be loaded:\n{failure.error}")
        assert self.child is not None
        self.child.kill()

    def _has_had_enough(self, child: Child) -> bool:
        if child.is_spent or self._is_cold or child.evaluated >= self._spec.recycle_after:
            return True
        now = time.monotonic()
        if now - self._looked_at < LOOK_S and child.first_rss:
            return False
        self._looked_at = now
        self.oom.reset()
        self._log.shorten()
        rss = memory.resident_alone(child.pid)
        child.first_rss = child.first_rss or rss
        grown_gb = (rss - child.first_rss) / memory.GB
        if grown_gb <= self._spec.recycle_growth_gb:
            return False
        log.info("the child has grown by %.1f GB in %d trials: a fresh one takes over", grown_gb, child.evaluated)
        return True
