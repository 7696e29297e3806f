"""How much memory processes take, and whether the kernel has killed one for it."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["GB", "Limit", "OomCounter", "kin", "resident", "resident_alone"]

GB = 1 << 30
"""Bytes in the gigabyte of ``mem_gb``: as SLURM counts."""


IN_JOB = 0.98
"""Of a job's memory a trial may take so much, its worker included: at all of it the kernel would end the whole job."""


@dataclass(frozen=True)
class Limit:
    """What a trial may take (None: anything), and the ``key`` of the YAML that gives it more, "" where there is none.

    ``of_job``: it is the worker's part of its job, so that the worker's own is in it.
    """

    gb: float | None = None
    key: str = ""
    of_job: bool = False

    @classmethod
    def of(cls, environ: Mapping[str, str], local_gb: float | None) -> Limit:
        """HPCHO_MEM_GB's where a launcher has set that, else ``local_gb``."""
        slurm = "launcher.slurm.mem_gb"
        if gb := environ.get("HPCHO_MEM_GB"):
            is_job = "SLURM_JOB_ID" in environ
            return cls(float(gb), slurm if is_job else "launcher.ssh.mem_gb", is_job)
        if local_gb is None and "HPCHO_WALLTIME_S" in environ:
            return cls(None, slurm)  # the cluster has its own limit for jobs that ask for none
        return cls(local_gb, "" if local_gb is None else "launcher.local.mem_gb")

    @property
    def most_gb(self) -> float:
        """What the processes of a trial may take by now."""
        assert self.gb is not None
        return IN_JOB * self.gb - resident_alone(os.getpid()) / GB if self.of_job else self.gb

    @property
    def advice(self) -> str:
        """What to do to have more."""
        return f"raise {self.key}" if self.key else "give the worker more memory, run fewer workers"


def kin(pid: int) -> list[psutil.Process]:
    """The process and its descendants; none when it is gone."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        return []


def resident(pid: int) -> int:
    """Resident bytes of a process and its descendants; what several of them share is counted for each."""
    return sum(map(_resident, kin(pid)))


def resident_alone(pid: int) -> int:
    """Resident bytes of one process; 0 when it is gone."""
    try:
        return _resident(psutil.Process(pid))
    except psutil.Error:
        return 0


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


class OomCounter:
    """The kernel's counters of processes killed for memory: those of this control group, and the machine's."""

    def __init__(self) -> None:
        self._files = [*_cgroup_files(), Path("/proc/vmstat")]
        self._seen = self._read()

    def reset(self) -> None:
        """Count from now on."""
        self._seen = self._read()

    def rose(self) -> bool:
        """Whether one was killed since the last look."""
        before, self._seen = self._seen, self._read()
        return self._seen > before

    def _read(self) -> int:
        total = 0
        for file in self._files:
            with contextlib.suppress(OSError, ValueError):
                for line in file.read_text(encoding="ascii").splitlines():
                    if line.startswith("oom_kill "):
                        total += int(line.split()[1])
        return total


def _cgroup_files() -> list[Path]:
    """memory.events (version 2) or memory.oom_control (version 1) of the control group that this process is in."""
    files = []
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
            _, controllers, place = line.split(":", 2)
            if not controllers:
                files.append(Path("/sys/fs/cgroup") / place.lstrip("/") / "memory.events")
            elif "memory" in controllers.split(","):
                files.append(Path("/sys/fs/cgroup/memory") / place.lstrip("/") / "memory.oom_control")
    return [file for file in files if file.is_file()]
