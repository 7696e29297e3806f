"""No launcher: workers are started by hand."""

from __future__ import annotations

from hpcho.trial import Cause, Failure, Owner

__all__ = ["NoLauncher"]


class NoLauncher:
    """Starts nothing; of workers on this host the kernel says whether they live."""

    def top_up(self, wanted: int) -> None:
        """Whoever starts workers by hand decides how many."""

    def alive(self) -> list[Owner]:
        """None is this launcher's."""
        return []

    def death_of(self, owner: Owner) -> Failure | None:
        """A worker of this host whose process is gone."""
        if owner.host != Owner.here().host or owner.is_alive_here():
            return None
        return Failure(Cause.NODE, f"the worker process {owner} is gone")

    def release(self) -> None:
        """Workers learn of a stop from the store."""

    def close(self) -> None:
        """Nothing was started."""
