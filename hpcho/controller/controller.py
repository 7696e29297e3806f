"""Decides: reaps, suggests, tops up workers, ends.

``step`` may be killed anywhere and run again by another process: everything it decides from stands in the store. What a
Controller object keeps besides are copies (the ledger) and stopwatches, and losing them only delays a decision.
"""

from __future__ import annotations

import logging
import math
import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from hpcho import checkpoints, results
from hpcho.controller.board import Board
from hpcho.controller.canary import Canary
from hpcho.controller.end import End
from hpcho.controller.keep import Keeper
from hpcho.controller.listening import Listening
from hpcho.controller.points import points_left
from hpcho.controller.pruning import Pruning
from hpcho.errors import ClaimLost, StoreLost
from hpcho.retries import may_retry
from hpcho.standing import Ledger
from hpcho.trial import Cause, Draft, Failure, Trial, TrialState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcho.experiment import Experiment
    from hpcho.jobdir import JobDir
    from hpcho.launchers.base import Launcher
    from hpcho.samplers import Sampler
    from hpcho.space import Space
    from hpcho.store import TrialStore

__all__ = ["Controller"]

log = logging.getLogger(__name__)

CLOCK_S = 2.0
"""How often the run's elapsed time is recorded."""
LATE_S = 2.0
"""How often results that were delivered late are looked for."""
LOST_BEATS = 10
"""A worker that nobody can ask about is gone after so many silent heartbeats."""
FIRST_FAILURES = 5
"""So many failures of the objective before any success end the run: it is the objective that is broken."""
AHEAD_S = 0.5
"""How long workers should find new trials without the controller, where suggesting ahead costs nothing."""
LEAST_AHEAD, MOST_AHEAD = 8, 1000
"""At least so many a worker, at most so many in all, or one for each of more workers."""
STEP_S = 1.0
"""How long one step may go on cancelling trials: the seat must be kept, and signals be heard."""
RELEASE_S = 15.0
"""How long running trials may take to leave once the run is over, before they are cancelled under them."""


class Controller:
    """Runs one experiment; the caller holds the seat and calls ``step`` until it gives an End."""

    def __init__(
        self,
        experiment: Experiment,
        jobdir: JobDir,
        store: TrialStore,
        space: Space,
        sampler: Sampler,
        launcher: Launcher,
        *,
        seed: int,
    ) -> None:
        self.experiment = experiment
        self.ledger = Ledger(experiment.goals)
        self._jobdir, self._store, self._space = jobdir, store, space
        self._sampler, self._launcher = sampler, launcher
        self._seed = seed
        self._keeper = Keeper(jobdir, store, experiment.keep.best, experiment.goals)
        self._pruning = Pruning(experiment.pruner, jobdir, store)
        self._cursor: Any = None
        self._listening = Listening(experiment.trial.heartbeat_s)
        slurm = experiment.launcher.slurm
        self._canary = Canary(is_wanted=slurm is not None and slurm.canary)
        self._unheard: set[int] = set()
        self._board = Board(store)
        self._lost = 0
        self._ending: tuple[End, float] | None = None
        self._obeyed: dict[str, Any] | None = None
        self._identity = store.get("identity")
        self._elapsed_s = float((store.get("clock") or {}).get("elapsed_s", 0.0))
        self._ticked_at = self._recorded_at = time.monotonic()
        self._refresh()
        self._points = points_left(experiment.points, space, self.ledger.trials, seed)
        self._errors_before = self.ledger.states[TrialState.ERROR]
        self._step_s = 0.02
        self._late_due = 0.0
        self.was_busy = True
        """Whether the last step found something changed."""
        store.put("control", None)
        store.put("end", None)
        self._board.tell("notice", None)
        self._revive()

    @property
    def workers(self) -> int:
        """How many workers there may be; 0 where they are started by hand."""
        return self._launcher.capacity

    @property
    def staff(self) -> dict[str, int]:
        """How many workers are busy, idle, starting and queued, and how many were lost with their trial so far."""
        return {"busy": len(self.ledger.running), **asdict(self._launcher.crew), "lost": self._lost}

    def step(self) -> End | None:
        """One pass over what has changed; the End once the run is over and nothing runs any more."""
        began = time.monotonic()
        self._tick()
        changed = self._refresh()
        self.was_busy = bool(changed)
        self._pruning.publish()
        self._obey()
        self._adopt_late_results()
        self._reap()
        end = self._ending[0] if self._ending else self._find_end()
        if end is None:
            # workers first: they start while the first suggestion is made
            self._top_up(self.ledger.pending + self._wanted(), changed)
            self._suggest()
            self._step_s = 0.8 * self._step_s + 0.2 * (time.monotonic() - began)
            return None
        return self._conclude(end)

    def stop(self, how: str, reason: str, message: str) -> None:
        """Suggest and claim nothing more; ``how``: "drain" lets running trials finish, "now" has them released.

        The run ends, with ``reason``, once nothing runs.
        """
        self._obeyed = {"stop": how}
        self._store.put("control", self._obeyed)
        self._ending = (End(reason, message), math.inf)
        if how == "now":
            self._launcher.release()

    def record_clock(self) -> None:
        """Write down the elapsed time now."""
        self._recorded_at = time.monotonic()
        self._store.put("clock", {"elapsed_s": round(self._elapsed_s, 3)})

    def _record_durations(self) -> None:
        """Tell workers whose time is limited how long trials take."""
        if self.experiment.mongo is not None:
            self._board.tell("durations", self.ledger.durations())

    def _obey(self) -> None:
        """Do what ``hpcho stop`` has asked for."""
        control = self._store.get("control")
        if control and control != self._obeyed:
            self._obeyed = control
            if self._ending is None or control["stop"] == "now":
                self.stop(control["stop"], "stopped", "stopped by `hpcho stop`")

    # -- reading ---------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        now = time.monotonic()
        self._elapsed_s += now - self._ticked_at
        self._ticked_at = now
        if now - self._recorded_at >= CLOCK_S:
            self.record_clock()
            self._record_durations()
            self._board.tell("workers", self.staff)

    def _refresh(self) -> list[Trial]:
        self._cursor, changed = self._store.changes(self._cursor)
        self._listening.listen()
        self._learn(changed)
        for tid in self.ledger.forget(self._store.unreadable):
            log.warning("trial %d is left out from now on: what the store has of it was damaged, or is gone", tid)
        return changed

    def _learn(self, trials: Sequence[Trial]) -> None:
        """Everybody hears of trials that are new or have changed."""
        if trials:
            self.ledger.apply(trials)
            self._keeper.apply(trials)
            self._pruning.apply(trials)

    # -- trials whose worker is gone -------------------------------------------------------------------------------

    def _reap(self) -> None:
        for trial in list(self.ledger.running.values()):
            silent_s = self._listening.silent_s(trial)
            failure = self._launcher.death_of(trial.owner, silent_s) if trial.owner else None
            failure = failure or self._silence(trial, silent_s)
            if failure is None:
                continue
            folder = self._jobdir.trial(trial.tid)
            failure = replace(failure, saved=checkpoints.saved(folder))
            self._lost += 1
            # A result that its worker has left behind is adopted once the trial is nobody's.
            retry = may_retry(trial, failure, self.experiment.retries) or self._has_late_result(trial)
            log.warning("trial %d: %s; %s", trial.tid, failure.error, "it goes back" if retry else "no attempt is left")
            if self._move(trial, TrialState.NEW if retry else TrialState.ERROR, failure=failure) and retry:
                self._adopt(self.ledger.waiting[trial.tid])
        self._listening.forget_others(self.ledger.running.keys())

    def _silence(self, trial: Trial, silent_s: float) -> Failure | None:
        """A failure when nobody can be asked about the worker, and it has not been heard for LOST_BEATS."""
        if silent_s < LOST_BEATS * self.experiment.trial.heartbeat_s or trial.owner is None:
            return None
        if trial.owner.is_silent:
            if trial.tid not in self._unheard:
                self._unheard.add(trial.tid)
                log.warning("trial %d: nobody can tell whether hyperopt's worker %s lives", trial.tid, trial.owner)
            return None
        if self._launcher.is_watching(trial.owner):
            return None
        return Failure(Cause.NODE, f"no sign of life from the worker {trial.owner} for {silent_s:.0f} s")

    def _adopt_late_results(self) -> None:
        """Take over results that a worker computed but could not deliver, where nobody else has the trial now."""
        if time.monotonic() < self._late_due:
            return
        self._late_due = time.monotonic() + LATE_S
        for trial in [*self.ledger.waiting.values(), *self.ledger.cancelled.values()]:
            if trial.version:  # else nobody has ever had it
                self._adopt(trial)

    def _has_late_result(self, trial: Trial) -> bool:
        return any(found.answers(trial) for found in results.load(self._jobdir.trial(trial.tid)))

    def _adopt(self, trial: Trial) -> None:
        folder = self._jobdir.trial(trial.tid)
        for found in results.load(folder):
            if not found.answers(trial):
                continue
            log.warning("trial %d: adopting a result that was delivered late", trial.tid)
            if self._move(trial, TrialState.DONE, result=found.result, files=found.files):
                results.settle(folder, found.version)
                return

    def _move(self, trial: Trial, to: TrialState, **change: Any) -> bool:
        """Move and remember; False when somebody else was faster, which the next refresh will show."""
        try:
            moved = self._store.move(trial, to, **change)
        except ClaimLost:
            return False
        self.ledger.apply([moved])
        return True

    # -- workers ---------------------------------------------------------------------------------------------------

    def _top_up(self, wanted: float, changed: Sequence[Trial] = ()) -> None:
        """Have workers for so many trials, as far as there may be so many; one alone until it has shown the way.

        Whose attempt has ended since the last step may never have been seen with it.
        """
        goes_alone = self.workers > 1 and not self._canary.has_passed(self.ledger)
        holders = [trial.owner for trial in self.ledger.running.values()]
        holders += [trial.attempts[-1].owner for trial in changed if trial.attempts]
        owners = {owner for owner in holders if owner}
        self._launcher.top_up(int(min(1 if goes_alone else self.workers, wanted)), owners)
        alone = "one worker goes first; the others follow when its trial is under way" if goes_alone else None
        self._board.tell("notice", "; ".join(filter(None, (self._launcher.notice, alone))) or None)

    @property
    def _grace_s(self) -> float:
        """What a running trial gets to save its work."""
        slurm = self.experiment.launcher.slurm
        return slurm.grace_s if slurm else 0.0

    # -- new trials ------------------------------------------------------------------------------------------------

    def _wanted(self) -> float:
        """How many more trials may be added: new plus running never exceed what the budget still wants."""
        trials = self.experiment.budget.trials
        return math.inf if trials is None else trials - self.ledger.ok - self.ledger.pending

    def _revive(self) -> None:
        """Cancelled trials come back when a larger budget has room for them."""
        if self._find_end() is not None:
            return
        for trial in list(self.ledger.cancelled.values()):
            if self._wanted() < 1:
                return
            self._move(trial, TrialState.NEW)

    def _suggest(self) -> None:
        n = int(min(self._wanted(), self._room()))
        if n < 1:
            return
        if self._store.get("identity") != self._identity:
            raise StoreLost("the store does not know this run any more")  # new trials would have the tids of old ones
        drafts = self._pruning.promoted(n)
        if not drafts:
            drafts, self._points = self._points[:n], self._points[n:]
        drafts = drafts or [Draft(vals) for vals in self._sampler.suggest(self.ledger.trials, n, self._seed)]
        self._learn(self._store.add(drafts))

    def _room(self) -> int:
        """How many trials the queue has room for, so that no worker waits and no suggestion is older than need be."""
        workers = max(self.workers, len(self.ledger.running), 1)
        rate = self.ledger.per_second(self._store.now())
        if not self._sampler.uses_history and not self._pruning.is_on:  # a promoted trial would wait behind them all
            ahead = max(LEAST_AHEAD * workers, math.ceil(rate * AHEAD_S))
            full = max(min(ahead, MOST_AHEAD), workers)
            if self.ledger.states[TrialState.DONE] == 0:
                full = max(FIRST_FAILURES, workers)  # a broken objective is to fail these, and not a whole queue
            # in batches: a few large transactions leave the store to the workers
            return full - len(self.ledger.waiting) if len(self.ledger.waiting) <= full // 2 else 0
        if workers == 1 and self.workers == 1:
            # with one worker a seeded run repeats: each suggestion knows every earlier trial's result
            return 1 - self.ledger.pending
        ahead = min(max(math.ceil(rate * self._step_s), 1), workers)
        return workers + ahead - self.ledger.pending

    # -- the end ---------------------------------------------------------------------------------------------------

    def _find_end(self) -> End | None:
        budget, ledger = self.experiment.budget, self.ledger
        if budget.trials is not None and ledger.ok >= budget.trials:
            trials = "1 trial is" if ledger.ok == 1 else f"{ledger.ok} trials are"
            return End("trials", f"{trials} done (budget.trials: {budget.trials})")
        if budget.loss is not None and ledger.least is not None and (ledger.least.loss or 0.0) <= budget.loss:
            reached = f"trial {ledger.least.tid} reached a loss of {ledger.least.loss:g}"
            return End("loss", f"{reached} (budget.loss: {budget.loss:g})")
        if self._objective_is_broken():
            words = f"the first {FIRST_FAILURES} trials all failed in the objective, so the run was ended"
            return End("objective", f"{words}. {self._last_error()}")
        most_failures = budget.failures or budget.trials
        if most_failures is not None and ledger.failed >= most_failures:
            failed = f"{ledger.failed} trials failed (budget.failures: {most_failures})"
            return End("failures", f"{failed}. {self._last_error()}")
        if budget.hours is not None and self._elapsed_s >= budget.hours * 3600:
            return End("hours", f"{budget.hours:g} hours are over (budget.hours)")
        return None

    def _objective_is_broken(self) -> bool:
        ledger = self.ledger
        recent = ledger.states[TrialState.ERROR] - self._errors_before
        return (
            ledger.states[TrialState.DONE] == 0
            and recent >= FIRST_FAILURES
            and ledger.failures[Cause.OBJECTIVE] == ledger.states[TrialState.ERROR]
        )

    def _last_error(self) -> str:
        trial = self.ledger.last_errors[-1]
        return f"Trial {trial.tid} ended with:\n\n{(trial.error or '').rstrip()}"

    def _conclude(self, end: End) -> End | None:
        """Bring the run to its end: what is queued is cancelled, what runs may finish or is released."""
        resumable = end.reason in ("stopped", "interrupted")
        asked_for = {} if resumable else self._asked_for()
        if self._ending is None:
            self._ending = (end, time.monotonic() + self._grace_s + RELEASE_S)
            if end.reason not in ("trials", "stopped", "interrupted"):
                if not asked_for:  # their workers must still take them
                    self._obeyed = {"stop": "now"}
                    self._store.put("control", self._obeyed)
                self._launcher.release()
        if not resumable:
            over = time.monotonic() >= self._ending[1]
            rest = [t for t in self._unfinished() if t.tid not in asked_for and (t.state is TrialState.NEW or over)]
            deadline = time.monotonic() + STEP_S
            for trial in rest:
                self._move(trial, TrialState.CANCEL)
                if time.monotonic() >= deadline:
                    return None
        if asked_for:
            self._top_up(len(asked_for))
        if self.ledger.running or asked_for:
            return None
        self.record_clock()
        self._board.tell("notice", None)
        if not resumable:
            self._pruning.conclude()
        end = replace(end, usable=self.ledger.ok > 0)  # trials that were running then have finished since
        self._store.put("control", {"stop": "over"}, expected=None)  # workers that find nothing to do leave
        self._store.put("end", end.to_json())
        return end

    def _asked_for(self) -> dict[int, Trial]:
        """Unfinished trials that somebody enqueued or put back by hand: they run even beyond a met budget."""
        requeued = self._store.get("requeued") or ()
        return {t.tid: t for t in self._unfinished() if t.origin == "enqueued" or t.tid in requeued}

    def _unfinished(self) -> list[Trial]:
        return [*self.ledger.waiting.values(), *self.ledger.running.values()]
