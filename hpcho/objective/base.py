"""What an objective is to a worker's child, and what the user's code sees of its trial."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from hpcho.trial import Vals

__all__ = ["Objective", "TrialContext"]


class TrialContext(Protocol):
    """The ``trial`` argument of an objective."""

    @property
    def tid(self) -> int:
        """The trial's id, unique in the experiment."""

    @property
    def dir(self) -> Path:
        """The trial's folder; made on first use and kept across a resume."""

    def report(self, step: int, loss: float) -> None:
        """Tell the loss after ``step`` (an epoch, say). Cheap: it may be called thousands of times."""

    def should_prune(self) -> bool:
        """Whether the pruner gives the trial up: save under ``dir`` then, and return the last loss."""

    def should_stop(self) -> bool:
        """Whether the worker was told to stop: save under ``dir`` and return or raise; the trial is resumed later."""


class Objective(Protocol):
    """A user's objective, loaded in a worker's child process."""

    @property
    def takes_trial(self) -> bool:
        """Whether the user's code sees its trial, and so can heed a stop. Known once ``prepare`` has returned."""

    def prepare(self) -> None:
        """Import and call ``data()``, once per process. Raises whatever the user's code raises."""

    def evaluate(self, params: dict[str, Any], vals: Vals, trial: TrialContext) -> Any:
        """The user's return value, untouched; ``hpcho.objective.encode`` makes a Result of it."""
