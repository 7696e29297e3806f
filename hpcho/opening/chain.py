"""The chain of jobs that a run's controller may be, as other processes see it: which job has the run now."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpcho.errors import LauncherError
from hpcho.launchers import jobs

if TYPE_CHECKING:
    from pathlib import Path

    from hpcho.jobdir import JobDir
    from hpcho.launchers.scheduler import Row

__all__ = ["Chain", "elsewhere", "how", "live"]


@dataclass(frozen=True)
class Chain:
    """The jobs of one run's controller, and their files in the job directory."""

    jobdir: JobDir
    uuid: str

    @property
    def name(self) -> str:
        """All jobs' name."""
        return f"hpcho-controller-{self.uuid[:8]}"

    @property
    def script(self) -> Path:
        """What each of them is."""
        return self.jobdir.path / "jobs" / "controller.sbatch"

    @property
    def over(self) -> Path:
        """The file that says that no job need begin any more."""
        return self.jobdir.path / "jobs" / "controller.over"

    def log(self, job: str) -> Path:
        """What a job's controller prints."""
        return self.jobdir.logs / f"controller-{job}.log"


def elsewhere(jobdir: JobDir) -> str | None:
    """Which job controls the run and has its store with it; None where none does, or this process is in that job.

    Where SLURM cannot be asked there is none, as far as can be told.
    """
    record = jobdir.read_record()
    if record is None:
        return None
    chain = Chain(jobdir, record["uuid"])
    if not chain.script.exists() or chain.over.exists():
        return None
    try:
        rows = live(chain)
    except LauncherError:
        return None
    if not rows or os.environ.get("SLURM_JOB_ID") in {row.id for row in rows}:
        return None
    row, ids = rows[0], " ".join(row.id for row in rows)
    return (
        f"the run's controller, and its store, are in job {row.id} ({how(row)}): `squeue -j {row.id}` looks at it; "
        f"`scancel {ids}` ends it, and then the run goes on from here"
    )


def live(chain: Chain) -> list[Row]:
    """The chain's jobs in the queue, the one at work first. Raises LauncherError."""
    rows = [row for job in jobs.find(chain.name, states=jobs.LIVE) if (row := jobs.row_of(job))]
    return sorted(rows, key=lambda row: (jobs.is_queued(row), int(row.id)))


def how(row: Row) -> str:
    """A job's state in words."""
    return f"{row.state.lower()}, {jobs.why(row) if jobs.is_queued(row) else f'on {row.node}'}"
