"""What becomes of a trial at each of the contract's writes, whatever store keeps it; ``at``: the store's time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hpcho.store.base import MOVES
from hpcho.trial import Attempt, TrialState

if TYPE_CHECKING:
    from hpcho.trial import Failure, Owner, Result, Trial

__all__ = ["Change", "failed", "finished", "moved", "released", "running"]


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of a trial; ``step``: by how much its version rises."""

    to: TrialState
    attempt: Attempt | None = None
    owner: Owner | None = None
    result: Result | None = None
    step: int = 1


def finished(trial: Trial, result: Result, at: float) -> Change:
    """RUNNING -> DONE."""
    return Change(TrialState.DONE, _attempt(trial, at), owner=trial.owner, result=result)


def failed(trial: Trial, failure: Failure, at: float, *, retry: bool) -> Change:
    """RUNNING -> NEW or ERROR."""
    to, owner = (TrialState.NEW, None) if retry else (TrialState.ERROR, trial.owner)
    return Change(to, _attempt(trial, at, failure), owner=owner)


def released() -> Change:
    """RUNNING -> NEW without an attempt."""
    return Change(TrialState.NEW)


def moved(trial: Trial, to: TrialState, failure: Failure | None, result: Result | None, at: float) -> Change:
    """One of MOVES. Raises ValueError for another, and for a result in the wrong place."""
    if (trial.state, to) not in MOVES:
        raise ValueError(f"trial {trial.tid} is {trial.state.label} and cannot be moved to {to.label}")
    if (result is not None) != (to is TrialState.DONE):
        raise ValueError(f"a trial moved to {to.label} comes {'with a' if result is None else 'without'} result")
    attempt = _attempt(trial, at, failure) if failure or result else None
    return Change(to, attempt, result=result, step=2)


def running(trial: Trial) -> Trial:
    """The trial as its worker's write must find it."""
    return replace(trial, state=TrialState.RUNNING)


def _attempt(trial: Trial, at: float, failure: Failure | None = None) -> Attempt:
    """The attempt that ends now. Of a trial that nobody holds any more (a late result) it is the last claim's."""
    started_at = at if trial.claimed_at is None else trial.claimed_at
    ended_at = max(at, started_at)
    if failure is None:
        return Attempt(trial.owner, started_at, ended_at)
    return Attempt(trial.owner, started_at, ended_at, failure.cause, failure.error, failure.saved)
