"""No launcher: workers are started by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcho.launchers.base import Crew
from hpcho.trial import Cause, Failure, Owner

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["NoLauncher"]


class NoLauncher:
    """Starts nothing; of workers on this host the kernel says whether they live, of others their heartbeats."""

    capacity = 0
    notice = None
    crew = Crew()

    def top_up(self, wanted: int, owners: Collection[Owner]) -> None:
        """Whoever starts workers by hand decides how many."""

    def death_of(self, owner: Owner, silent_s: float) -> Failure | None:
        """A worker of this host whose process is gone."""
        del silent_s  # the kernel is never wrong, nor late
        if owner.host != Owner.here().host or owner.is_alive_here():
            return None
        return Failure(Cause.NODE, f"the worker process {owner} is gone")

    def is_watching(self, owner: Owner) -> bool:
        """A process that hangs is not gone; silence must tell of it."""
        del owner
        return False

    def release(self) -> None:
        """Workers learn of a stop from the store."""

    def close(self) -> None:
        """Nothing was started."""
