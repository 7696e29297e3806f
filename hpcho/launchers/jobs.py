"""Single jobs that hpcho submits beside its workers': how one is described, and its way through the queue."""

from __future__ import annotations

import shlex
import time
from typing import TYPE_CHECKING

from hpcho.errors import LauncherError
from hpcho.launchers.endings import QUEUED, has_ended
from hpcho.launchers.scheduler import QueueFull, Scheduler, wait_words

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from hpcho.launchers.scheduler import Row

__all__ = ["LIVE", "cancel", "directives", "find", "is_queued", "row_of", "submit", "why"]

WAITING = "PENDING"
LIVE = "PENDING,CONFIGURING,RUNNING,SUSPENDED"


def directives(options: Mapping[str, str | int | float | bool | None]) -> list[str]:
    """The lines of a script that give these options to sbatch: long names, true for one without a value."""
    lines = []
    for name, value in options.items():
        if value is None or value is False:
            continue
        option = f"--{name.replace('_', '-')}"
        lines.append(f"#SBATCH {option}" if value is True else f"#SBATCH {option}={shlex.quote(str(value))}")
    return lines


def submit(script: Path) -> str:
    """Submit a script; returns the job's id. Raises LauncherError with what sbatch said."""
    try:
        return Scheduler().submit(script)
    except QueueFull as error:
        raise LauncherError(
            f"the queue takes no more jobs of yours ({error}): wait until some have ended, or cancel what need not run"
        ) from None


def row_of(job: str) -> Row | None:
    """What squeue says of a job; None once it has ended or is not known any more. Raises LauncherError."""
    row = next(iter(Scheduler().queue([job])), None)
    return None if row is None or has_ended(row.state) else row


def is_queued(row: Row) -> bool:
    """Whether a job has no node yet."""
    return row.state in QUEUED


def why(row: Row) -> str:
    """Why a job is queued, and when SLURM expects to start it."""
    return wait_words([row], time.time())


def find(name: str, *, states: str = WAITING) -> list[str]:
    """The ids of this user's jobs of a name, by default those that wait. Raises LauncherError."""
    return Scheduler().named(name, states)


def cancel(*jobs: str) -> None:
    """Cancel jobs; those that have ended do not matter. Raises LauncherError."""
    Scheduler().cancel(jobs)
