"""The contract of every store. ``tests/contract/`` holds each implementation to it.

Who writes what
    add: the controller and ``hpcho enqueue``. claim, heartbeat, finish, fail, release: the worker that owns the
    trial. move: the controller (reap, cancel, revive, adopt a late result) and ``hpcho requeue``.

Fencing
    Every write that names a trial succeeds only if the stored trial still has that ``version`` (and, for a worker's
    write, that owner, in state RUNNING). Otherwise it changes nothing and raises ClaimLost. claim leaves the version as
    it is, finish, fail and release raise it by 1, move by 2: that is what refuses hyperopt's own workers too
    (docs/decisions). heartbeat leaves it alone, so a heartbeat never disturbs the owner's own next write.

Durability
    When add, finish, fail, release, move or put has returned, its effect survives kill -9 and power loss. claim and
    heartbeat may be lost in a power failure (the trial is then simply new again). No reader sees half a write, and a
    trial's attachments are in place before its result is.

Times
    are recorded for people. A store never compares the clocks of two machines.

Concurrency
    Any number of processes may use a store at once; a store object belongs to the thread that opened it and does not
    survive a fork.

Errors
    StoreError when the store cannot be reached or is damaged, StoreFull when there is no room: nothing was changed, and
    the same call may be made again later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from hpcho.trial import Draft, Failure, Owner, Report, Result, Trial, TrialState

__all__ = ["ANY", "MOVES", "TrialStore"]

ANY: Any = object()
"""put(expected=ANY): write whatever stands there."""

MOVES = frozenset(
    {
        (TrialState.RUNNING, TrialState.NEW),  # reap: the worker is gone, an attempt is left
        (TrialState.RUNNING, TrialState.ERROR),  # reap: no attempt is left
        (TrialState.RUNNING, TrialState.CANCEL),  # the budget is met
        (TrialState.NEW, TrialState.CANCEL),
        (TrialState.CANCEL, TrialState.NEW),  # the budget has grown
        (TrialState.NEW, TrialState.DONE),  # a late result is adopted
        (TrialState.CANCEL, TrialState.DONE),
        (TrialState.ERROR, TrialState.NEW),  # requeue
    }
)
"""The transitions that ``move`` may make."""


class TrialStore(Protocol):
    """Keeps an experiment's trials, their files and a few records about the run."""

    def add(self, drafts: Sequence[Draft]) -> list[Trial]:
        """Add new trials, all or none. Their tids are consecutive and larger than every earlier one."""

    def claim(self, owner: Owner) -> Trial | None:
        """Make the NEW trial with the smallest tid RUNNING for ``owner``; None when there is none.

        Exactly one claimer gets a trial, however many ask at once.
        """

    def heartbeat(self, trial: Trial, reports: Sequence[Report] = ()) -> None:
        """Count ``trial.beat`` up by one and append ``reports``. Raises ClaimLost."""

    def finish(self, trial: Trial, result: Result, files: Mapping[str, Path] | None = None) -> Trial:
        """RUNNING -> DONE. Takes over ``files`` (attachment name -> a file that may be moved away). Raises ClaimLost.

        ``result.attachments`` is set from the names in ``files``. An attempt without cause is appended.
        """

    def fail(self, trial: Trial, failure: Failure, *, retry: bool) -> Trial:
        """RUNNING -> NEW (retry) or ERROR. An attempt with ``failure`` is appended. Raises ClaimLost."""

    def release(self, trial: Trial) -> Trial:
        """RUNNING -> NEW of the owner's own will: no attempt is recorded. Raises ClaimLost."""

    def move(
        self,
        trial: Trial,
        to: TrialState,
        *,
        failure: Failure | None = None,
        result: Result | None = None,
        files: Mapping[str, Path] | None = None,
    ) -> Trial:
        """Make one of MOVES (ValueError for another). Raises ClaimLost when the trial has changed since it was read.

        An attempt is appended when ``failure`` or ``result`` is given. ``owner`` becomes None.
        """

    def changes(self, cursor: Any = None) -> tuple[Any, list[Trial]]:
        """The trials that changed since ``cursor`` (None: all), by tid, and the next cursor.

        The cost is that of the changed trials alone. A trial may be delivered twice, never left out.
        """

    def attachment(self, tid: int, name: str) -> Path:
        """A readable file with the attachment's bytes. Raises KeyError(name) when the trial has none of that name."""

    def get(self, key: str) -> Any:
        """A record of the run (JSON data), or None."""

    def put(self, key: str, value: Any, *, expected: Any = ANY) -> bool:
        """Write a record (None deletes it), if the present one equals ``expected``; says whether it was written."""

    def close(self) -> None:
        """Let go of the store. Closing twice is harmless."""
