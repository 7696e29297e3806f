"""What a launcher is: it keeps a number of workers alive and knows which are gone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection

    from hpcho.trial import Failure, Owner

__all__ = ["Crew", "Launcher"]


@dataclass(frozen=True, slots=True)
class Crew:
    """A launcher's workers that hold no trial, as far as it knows.

    ``idle`` have held one before, ``starting`` have not yet; ``queued`` wait for a machine.
    """

    idle: int = 0
    starting: int = 0
    queued: int = 0


class Launcher(Protocol):
    """Starts and watches workers. All calls return at once, however slow what it asks is; only ``close`` may wait.

    A launcher keeps nothing that it cannot find again: after a controller's death the next one finds the workers that
    are there, and starts no others in their place.
    """

    @property
    def capacity(self) -> int:
        """How many workers it can have at most; 0 when others start them. May rise or fall (a host comes back)."""

    @property
    def notice(self) -> str | None:
        """What keeps workers from starting or being watched, in words for the user; None when nothing does."""

    @property
    def crew(self) -> Crew:
        """Its workers beside those whose owners the last ``top_up`` was told."""

    def top_up(self, wanted: int, owners: Collection[Owner]) -> None:
        """Have at least ``wanted`` workers, those included that are still queued or starting.

        ``owners`` hold a trial now, or did so until just now; those that an earlier controller has started count too.
        Raises LauncherError where no worker can work, with the reason.
        """

    def death_of(self, owner: Owner, silent_s: float) -> Failure | None:
        """Why a worker is gone; None while it is alive or nobody knows yet.

        The cause is infrastructure's, or oom where the scheduler ended the worker for its memory. ``silent_s``: how
        long ago the last change of its heartbeat was seen. Where the answer of a scheduler may be wrong or late,
        silence and answer must both say so.
        """

    def is_watching(self, owner: Owner) -> bool:
        """Whether ``death_of`` will tell of this worker's end: then silence alone proves nothing."""

    def release(self) -> None:
        """Tell every worker to give its trial back and leave, soon; those queued are not to start."""

    def close(self) -> None:
        """Leave nothing behind that this launcher started: what has not left by now is ended."""
