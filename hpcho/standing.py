"""Where an experiment stands: the running totals over its trials, and the summary that people and scripts read.

A Ledger follows ``store.changes``: what it costs is what changed, however many trials there are.
"""

from __future__ import annotations

import bisect
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hpcho.goals import USUAL, Front, Goals
from hpcho.trial import FAILURES, INFRASTRUCTURE, Cause, Owner, Trial, TrialState, rank

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hpcho.space import Space
    from hpcho.store import TrialStore

__all__ = ["Ledger", "Standing", "read"]

RATE_WINDOW = 200
"""The rate is taken over the last so many finished trials."""


class Ledger:
    """Totals over the trials seen so far; ``goals`` say which of them is the best."""

    def __init__(self, goals: Goals = USUAL) -> None:
        self.goals = goals
        self.trials: list[Trial] = []
        """All of them, by tid."""
        self.states: Counter[TrialState] = Counter()
        self.failures: Counter[Cause] = Counter()
        """Trials that ended in error, by the cause of their last attempt."""
        self.interrupted: Counter[Cause] = Counter()
        """Attempts that the infrastructure ended, whatever became of their trials."""
        self.saved = 0
        """So many of those had saved work for the next attempt to go on from."""
        self.ok = 0
        self.pruned = 0
        """So many of these were pruned."""
        self.infeasible = 0
        """So many of them do not keep to the constraints, or lack a number that is to be minimised."""
        self.best: Trial | None = None
        """Of the feasible ones, by what is minimised first."""
        self.least: Trial | None = None
        """The feasible one of the least loss."""
        self.front = Front(goals)
        """The Pareto set, where several numbers are minimised."""
        self.running: dict[int, Trial] = {}
        self.waiting: dict[int, Trial] = {}
        """NEW trials."""
        self.cancelled: dict[int, Trial] = {}
        self.last_errors: deque[Trial] = deque(maxlen=5)
        self.last_interrupted: deque[Trial] = deque(maxlen=5)
        """Trials that have another attempt after an interruption."""
        self._place: dict[int, int] = {}
        self._finished: deque[float] = deque(maxlen=RATE_WINDOW)
        self._durations: deque[float] = deque(maxlen=RATE_WINDOW)

    def apply(self, changed: Iterable[Trial]) -> None:
        """Take in trials as the store reported them; a trial may be reported again."""
        for trial in changed:
            place = self._place.get(trial.tid)
            if place is None:
                self._insert(trial)
            else:
                self._count(self.trials[place], -1)
                self.trials[place] = trial
            self._count(trial, +1)

    def forget(self, tids: Iterable[int]) -> list[int]:
        """Leave trials out again that other hands have damaged or removed; the tids of those that were here.

        What the best one was, and the errors shown last, stay.
        """
        forgotten = []
        for place in sorted((self._place[tid] for tid in tids if tid in self._place), reverse=True):
            trial = self.trials.pop(place)
            self._count(trial, -1)
            del self._place[trial.tid]
            self._place.update((other.tid, i) for i, other in enumerate(self.trials[place:], place))
            forgotten.append(trial.tid)
        if not self.front.points.keys().isdisjoint(forgotten):
            self.front = Front(self.goals, self.trials)
        return forgotten

    def _insert(self, trial: Trial) -> None:
        """At its place by tid: nearly always the last, unless another process has added trials at the same time."""
        place = bisect.bisect(self.trials, trial.tid, key=lambda other: other.tid)
        self.trials.insert(place, trial)
        self._place.update((other.tid, i) for i, other in enumerate(self.trials[place:], place))

    def _count(self, trial: Trial, sign: int) -> None:
        self.states[trial.state] += sign
        self.ok += sign * trial.is_ok
        self.pruned += sign * trial.is_pruned
        is_feasible = self.goals.are_met(trial)
        self.infeasible += sign * (trial.is_ok and not is_feasible)
        for state, group in (
            (TrialState.RUNNING, self.running),
            (TrialState.NEW, self.waiting),
            (TrialState.CANCEL, self.cancelled),
        ):
            if trial.state is state:
                if sign > 0:
                    group[trial.tid] = trial
                else:
                    del group[trial.tid]
        self._count_interruptions(trial, sign)
        if trial.state is TrialState.ERROR and trial.cause is not None:
            self.failures[trial.cause] += sign
            if sign > 0:
                self.last_errors.append(trial)
        if sign > 0 and trial.state is TrialState.DONE:
            self._finished.append(trial.finished_at or 0.0)
            if not trial.is_pruned:  # what a whole one takes is asked for
                self._durations.append(trial.duration_s or 0.0)
            if is_feasible:
                self._compare(trial)

    def _compare(self, trial: Trial) -> None:
        """See whether a feasible trial is the best, by loss and by what is minimised first, and in the Pareto set."""
        if self.least is None or rank(trial) < rank(self.least):
            self.least = trial
        if self.goals.is_loss_alone:
            self.best = self.least
        elif self.best is None or self.goals.rank(trial) < self.goals.rank(self.best):
            self.best = trial
        if self.goals.are_several:
            self.front.add(trial)

    def _count_interruptions(self, trial: Trial, sign: int) -> None:
        for attempt in trial.attempts:
            if attempt.cause in INFRASTRUCTURE:
                self.interrupted[Cause(attempt.cause)] += sign
                self.saved += sign * attempt.saved
        if sign > 0 and trial.state is TrialState.NEW and trial.cause in INFRASTRUCTURE:
            self.last_interrupted.append(trial)

    @property
    def failed(self) -> int:
        """Trials that count against ``budget.failures``."""
        return sum(n for cause, n in self.failures.items() if cause in FAILURES)

    @property
    def pending(self) -> int:
        """Trials that are new or running."""
        return len(self.waiting) + len(self.running)

    def durations(self) -> dict[str, float] | None:
        """How long the last RATE_WINDOW whole trials took, in seconds; None before the first."""
        if not self._durations:
            return None
        known = sorted(self._durations)
        p50_s, p90_s = (round(known[int(share * (len(known) - 1))], 3) for share in (0.5, 0.9))
        return {"p50_s": p50_s, "p90_s": p90_s, "count": len(known)}

    def per_second(self, now: float) -> float:
        """Finished trials a second, over the last RATE_WINDOW; ``now`` in seconds since the epoch."""
        if len(self._finished) <= 1:
            return 0.0
        return len(self._finished) / max(now - self._finished[0], 1e-3)


@dataclass(frozen=True)
class Standing:
    """What ``hpcho status`` shows."""

    name: str
    state: str
    """idle, waiting, running, finished, stopped or failed."""
    trials: dict[str, int]
    best: dict[str, Any] | None
    """Its tid, loss and params; where more than the loss is minimised, also what is, as ``values``."""
    workers: list[dict[str, Any]]
    elapsed_s: float
    trials_per_hour: float
    ok: int = 0
    pruned: int = 0
    infeasible: int = 0
    pareto: int | None = None
    """How many trials are in the Pareto set; None where one number is minimised."""
    failures: dict[str, int] = field(default_factory=dict)
    interrupted: dict[str, int] = field(default_factory=dict)
    """Attempts that the infrastructure ended, by cause."""
    saved: int = 0
    """So many of them had saved work to go on from."""
    end: dict[str, Any] | None = None
    notice: str | None = None
    staff: dict[str, int] | None = None
    """How many workers are busy, idle, starting, queued and lost; None where nobody counts them."""

    @property
    def has_ended(self) -> bool:
        """Whether the run is over; it may be resumed."""
        return self.state in {"finished", "stopped", "failed"}

    @property
    def went(self) -> str | None:
        """The state and what the run said of it, in a line; None for trials of which no run is known."""
        message = (self.end or {}).get("message") if self.has_ended else self.notice
        if message:
            return f"{self.state}: {message}"
        return None if self.state == "idle" else self.state

    def to_json(self) -> dict[str, Any]:
        """The document of ``hpcho status --json``."""
        return {
            "name": self.name,
            "state": self.state,
            "trials": self.trials,
            "best": self.best,
            "workers": self.workers,
            "staff": self.staff,
            "elapsed_s": round(self.elapsed_s, 3),
            "trials_per_hour": round(self.trials_per_hour, 3),
            "pruned": self.pruned,
            "infeasible": self.infeasible,
            "pareto": self.pareto,
            "failures": self.failures,
            "interrupted": self.interrupted,
            "saved": self.saved,
            "end": self.end,
            "notice": self.notice,
        }


def read(
    name: str,
    space: Space,
    store: TrialStore,
    ledger: Ledger | None = None,
    staff: dict[str, int] | None = None,
    *,
    goals: Goals = USUAL,
) -> Standing:
    """The standing now. Pass a ledger that is up to date, or none to read every trial with ``goals`` in mind.

    ``staff``: as the controller has it; others read what it told some seconds ago.
    """
    if ledger is None:
        ledger = Ledger(goals)
        ledger.apply(store.changes()[1])
    now = store.now()
    seat, end, notice = store.get("seat"), store.get("end"), store.get("notice")
    elapsed_s = float((store.get("clock") or {}).get("elapsed_s", 0.0))
    best = ledger.best
    finished = ledger.states[TrialState.DONE]
    state = _state(seat, end, is_waiting=bool(notice) and not ledger.running)
    if staff is None and state in ("running", "waiting"):
        staff = store.get("workers")
    return Standing(
        name=name,
        state=state,
        trials={state.label: ledger.states[state] for state in TrialState},
        best=_best(best, space, ledger.goals) if best else None,
        workers=[
            {
                "owner": str(trial.owner),
                "tid": trial.tid,
                "since_s": round(max(now - (trial.claimed_at or now), 0.0), 3),
            }
            for trial in ledger.running.values()
        ],
        elapsed_s=elapsed_s,
        trials_per_hour=finished / elapsed_s * 3600 if elapsed_s > 0 else 0.0,
        ok=ledger.ok,
        pruned=ledger.pruned,
        infeasible=ledger.infeasible,
        pareto=len(ledger.front.points) if ledger.goals.are_several else None,
        failures={str(cause): n for cause, n in ledger.failures.items() if n},
        interrupted={str(cause): n for cause, n in ledger.interrupted.items() if n},
        saved=ledger.saved,
        end=end,
        notice=notice,
        staff=staff,
    )


def _best(trial: Trial, space: Space, goals: Goals) -> dict[str, Any]:
    values = {} if goals.is_loss_alone else {"values": goals.values(trial)}
    return {"tid": trial.tid, "loss": trial.loss, "params": space.decode(trial.vals), **values}


def _state(seat: dict[str, Any] | None, end: dict[str, Any] | None, *, is_waiting: bool) -> str:
    if seat is not None and is_taken(seat):
        return "waiting" if is_waiting else "running"
    if end is None:
        return "idle"
    return {"interrupted": "stopped", "stopped": "stopped", "failures": "failed", "objective": "failed"}.get(
        end["reason"], "finished" if end.get("usable", True) else "failed"
    )


def is_taken(seat: dict[str, Any]) -> bool:
    """Whether the controller that took this seat may still be at it. Of another host's process nobody here can tell."""
    owner = Owner.from_json(seat["owner"])
    return owner.host != Owner.here().host or owner.is_alive_here()
