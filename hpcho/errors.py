"""Every error that hpcho raises on purpose.

    HpchoError
    ├── UsageError              exit 2   the command line, the YAML, the objective or a resume is wrong
    │   ├── ExperimentError              experiment.yaml: all problems at once, each with its place
    │   ├── ExpressionError              a search-space expression
    │   ├── SpaceError                   a search space, or params that it does not hold
    │   ├── ObjectiveLoadError           the objective cannot be loaded
    │   └── ResumeError                  the stored experiment is not the one in the YAML
    ├── StoreError              exit 3   the store cannot be reached or is damaged
    │   ├── StoreFull                    no room: disk or quota
    │   └── StoreLost                    it is there and empty, though trials were in it
    ├── LauncherError           exit 4   SLURM, ssh, the container or a local process refused
    ├── RunFailed               exit 1   ended by its failures, or without a usable trial
    ├── ClaimLost                        a write by a worker that no longer owns the trial (never reaches a user)
    └── Interrupted             exit 130 Ctrl-C; what was running can be resumed

A message says what happened, where, and what to do next. Only ``hpcho.cli`` prints and exits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "ClaimLost",
    "ExperimentError",
    "ExpressionError",
    "HpchoError",
    "Interrupted",
    "LauncherError",
    "ObjectiveLoadError",
    "Problem",
    "ResumeError",
    "RunFailed",
    "SpaceError",
    "StoreError",
    "StoreFull",
    "StoreLost",
    "UsageError",
]


class HpchoError(Exception):
    """Base of all errors; ``exit_code`` is what the command line exits with."""

    exit_code = 1


class UsageError(HpchoError):
    """What the user typed or wrote is wrong."""

    exit_code = 2


@dataclass(frozen=True)
class Problem:
    """One thing wrong in a file; lines and columns count from 1, and are 0 where there is no text (``--set ...``)."""

    file: str
    line: int
    column: int
    key: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        key = f"{self.key}: " if self.key else ""
        return f"{place}: {key}{self.message}"


class ExperimentError(UsageError):
    """experiment.yaml is wrong; carries every problem found, in file order."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda p: (p.file, p.line, p.column)))
        super().__init__("\n".join(map(str, self.problems)))


class ExpressionError(UsageError):
    """A search-space expression is wrong; ``column`` counts from 0 in the expression's own text."""

    def __init__(self, message: str, column: int = 0) -> None:
        super().__init__(message)
        self.column = column


class SpaceError(UsageError):
    """Params that are not in the search space, or a space that is none.

    ``path`` leads to the place inside them (a parameter's name first); ``message`` says what is wrong there.
    """

    def __init__(self, message: str, path: tuple[Any, ...] = ()) -> None:
        super().__init__(f"{'.'.join(map(str, path))}: {message}" if path else message)
        self.message = message
        self.path = path


class ObjectiveLoadError(UsageError):
    """The objective's file, module or function cannot be loaded."""


class ResumeError(UsageError):
    """The experiment in the job directory is not the one in the YAML."""


class StoreError(HpchoError):
    """The store cannot be reached, or what it holds is damaged."""

    exit_code = 3


class StoreStopped(StoreError):
    """The run's own server does not run now: nobody controls the run, or its controller goes from job to job."""


class StoreFull(StoreError):
    """The store has no room: the disk or a quota is full. Nothing was lost; try again when there is room."""


class StoreLost(StoreError):
    """The store is empty, though there were trials in it. Waiting does not help; ``hpcho run`` may rebuild it."""


class LauncherError(HpchoError):
    """Workers cannot be started."""

    exit_code = 4


class RunFailed(HpchoError):
    """The run ended by its failures, or without a usable trial."""

    exit_code = 1


class ClaimLost(HpchoError):
    """The trial has another owner or state by now: this write was refused and changed nothing."""


class Interrupted(HpchoError):
    """The user interrupted the run; running it again goes on."""

    exit_code = 130
