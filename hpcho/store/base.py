"""The contract of every store. ``tests/contract/`` holds each implementation to it.

Who writes what
    add: the controller and ``hpcho enqueue``. claim, heartbeat, finish, fail, release: the worker that owns the
    trial. move: the controller (reap, cancel, revive, adopt a late result) and ``hpcho requeue``.

Fencing
    Every write that names a trial succeeds only if the stored trial still has that ``version`` (and, for a worker's
    write, that owner, in state RUNNING). Otherwise it changes nothing and raises ClaimLost. claim leaves the version as
    it is, finish, fail and release raise it by 1, move by 2: that is what refuses hyperopt's own workers too
    (docs/decisions). heartbeat leaves it alone, so a heartbeat never disturbs the owner's own next write.

Fields
    ``owner`` is None in NEW and after every move; a trial that its worker brought to DONE or ERROR keeps its owner, to
    be shown. claim sets ``beat`` to 0. ``reports`` stay when a trial is tried again, since an attempt may go on from a
    checkpoint: where a step was told twice, the later one counts. ``claimed_at`` is the time of the last claim,
    whatever became of it; ``finished_at`` is None in NEW and RUNNING. Every value comes back as plain Python, whatever
    numpy it went in as; what is not JSON (NaN among it) is refused with TypeError or ValueError.

Durability
    When add, finish, fail, release, move or put has returned, its effect survives kill -9 and power loss. claim and
    heartbeat survive kill -9, but may be lost in a power failure (the trial is then simply new again). No reader sees
    half a write, and a trial's attachments are in place before its result is. Files given to a finish or move that
    raises are still where they were.

Times
    are recorded for people, by the store's clock (``now``), whichever machine writes them. An attempt begins with
    the last claim (the attempt of an adopted late result too) and never ends before it began, whatever the clock did
    meanwhile.

Concurrency
    Any number of processes may use a store at once; a store object belongs to the thread that opened it and does not
    survive a fork (StoreError).

Errors
    StoreError when the store cannot be reached or is damaged, StoreFull when there is no room: nothing was changed, and
    the same call may be made again later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from hpcho.trial import Draft, Failure, Owner, Report, Result, Trial, TrialState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from pathlib import Path

__all__ = ["ANY", "MOVES", "Restorable", "TrialStore"]

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

    @property
    def unreadable(self) -> AbstractSet[int]:
        """The tids that ``changes`` has left out so far: other hands have damaged those trials' data, or removed them.

        It may hold tids that were never trials.
        """

    def add(self, drafts: Sequence[Draft]) -> list[Trial]:
        """Add new trials, all or none. Their tids are consecutive and larger than every earlier one."""

    def claim(self, owner: Owner) -> Trial | None:
        """Make the NEW trial with the smallest tid RUNNING for ``owner``; None when there is none.

        Exactly one claimer gets a trial, however many ask at once.
        """

    def heartbeat(self, trial: Trial, reports: Sequence[Report] = ()) -> None:
        """Count ``trial.beat`` up by one and append ``reports``. Raises ClaimLost."""

    def finish(self, trial: Trial, result: Result, files: Mapping[str, Path] | None = None) -> Trial:
        """RUNNING -> DONE. Takes over ``files`` (attachment name -> a file that is moved away). Raises ClaimLost.

        A name may be any string. ``result.attachments`` is set from the names in ``files``. An attempt without cause is
        appended.
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

        A ``result`` goes with a move to DONE, and only there (ValueError). An attempt is appended when ``failure`` or
        ``result`` is given. A heartbeat is no change.
        """

    def changes(self, cursor: Any = None) -> tuple[Any, list[Trial]]:
        """The trials that changed since ``cursor`` (None: all), by tid, and the next cursor.

        The cost is that of the changed trials alone. A trial may be delivered twice, never left out; one whose stored
        data was damaged by other hands is left out with a warning, once, so that the others can still be read.
        """

    def attachment(self, tid: int, name: str) -> Path:
        """A readable file with the attachment's bytes.

        Raises KeyError, with words, when the trial has none of that name or its file was cleared away.
        """

    def clear(self, tid: int) -> None:
        """Remove the trial's attachments for good; its result still names them. Harmless where there are none."""

    def get(self, key: str) -> Any:
        """A record of the run (JSON data), or None."""

    def put(self, key: str, value: Any, *, expected: Any = ANY) -> bool:
        """Write a record (None deletes it), if the present one equals ``expected``; says whether it was written."""

    def now(self) -> float:
        """The time by the clock that trials' times are taken from, in seconds since the epoch."""

    def close(self) -> None:
        """Let go of the store. Closing twice is harmless."""


@runtime_checkable
class Restorable(TrialStore, Protocol):
    """A store that may be lost while the job directory stays, and is rebuilt from what is there."""

    def restore(self, trial: Trial, files: Mapping[str, Path] | None = None) -> None:
        """Put a DONE trial back as it was, unless one with its tid is there. Takes over ``files`` as finish does."""

    def skip(self, tid: int) -> None:
        """Have all later tids be larger than ``tid``."""
