"""What a launcher is: it keeps a number of workers alive and knows which are gone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from hpcho.trial import Failure, Owner

__all__ = ["Launcher"]


class Launcher(Protocol):
    """Starts and watches workers. All calls return at once."""

    def top_up(self, wanted: int) -> None:
        """Have at least ``wanted`` workers alive, those that are still starting included. Raises LauncherError."""

    def alive(self) -> list[Owner]:
        """The workers known to be alive, those that are still starting included."""

    def death_of(self, owner: Owner) -> Failure | None:
        """Why the worker is gone; None while it is alive or nobody can know."""

    def release(self) -> None:
        """Tell every worker to give its trial back and leave, soon."""

    def close(self) -> None:
        """Leave no process behind that this launcher started: what has not left by now is killed."""
