"""experiment.yaml's ``launcher:`` what starts workers, and where."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from hpcho.experiment.model import Model, OneOf
from hpcho.experiment.wording import Flaw, shown

__all__ = ["ControllerJob", "LauncherSpec", "LocalLauncher", "NoLauncher", "SlurmLauncher", "SshLauncher"]

PositiveInt = Annotated[int, Field(ge=1)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]
Text = Annotated[str, Field(min_length=1)]

WALLTIME = re.compile(
    r"(?P<days>\d+)-(?P<hours>\d+)(?::(?P<minutes>\d+)(?::(?P<seconds>\d+))?)?"  # D-HH, D-HH:MM, D-HH:MM:SS
    r"|(?:(?P<h>\d+):)?(?P<m>\d+):(?P<s>\d+)"  # HH:MM:SS, MM:SS
    r"|(?P<only>\d+)"  # minutes
)
"""SLURM's forms of a time limit (sbatch(1), --time)."""

OWN_OPTIONS: Mapping[str, str] = {
    "array": "workers",
    "cpus-per-task": "cpus",
    "error": "job_dir",
    "gpus-per-node": "gpus",
    "mem": "mem_gb",
    "nodes": "workers_per_job",
    "ntasks": "workers_per_job",
    "ntasks-per-node": "workers_per_job",
    "output": "job_dir",
    "partition": "partition",
    "signal": "grace_s",
    "time": "walltime",
}
"""sbatch's options that other keys say, and these keys."""


def _walltime_flaws(data: Mapping[str, Any]) -> Iterator[Flaw]:
    walltime = data.get("walltime")
    if isinstance(walltime, str) and not _seconds(walltime):
        forms = "HH:MM:SS, D-HH:MM:SS or minutes, and more than none"
        yield Flaw(("walltime",), f"must be a time as SLURM writes it ({forms}), not {shown(walltime)}")


def _seconds(walltime: str) -> int | None:
    """Seconds of a time limit; None where it is none."""
    found = WALLTIME.fullmatch(walltime.strip())
    if found is None:
        return None
    part = {name: int(value or 0) for name, value in found.groupdict().items()}
    hours = part["days"] * 24 + part["hours"] + part["h"]
    minutes = part["minutes"] + part["m"] + part["only"]
    return (hours * 60 + minutes) * 60 + part["seconds"] + part["s"]


class LocalLauncher(Model):
    """Worker processes on this machine."""

    like: ClassVar[str] = "{workers: 2}"

    workers: PositiveInt = Field(1, description="how many at once")
    mem_gb: PositiveFloat | None = Field(None, description="per worker; a trial that takes more is ended, cause oom")


class ControllerJob(Model):
    """The small job that ``hpcho run --as-job`` puts the controller into."""

    like: ClassVar[str] = "{partition: cpu}"

    partition: Text | None = Field(None, description="its partition (default: the workers')")
    walltime: str | None = Field(None, description="its time limit, after which the next one goes on (default: theirs)")
    mem_gb: PositiveFloat = Field(2.0, description="its memory; a MongoDB server that the run starts is in it too")
    options: dict[str, str | int | float | bool] = Field(
        default_factory=dict, description="further sbatch options; the workers' account and QOS unless said here"
    )

    @classmethod
    def flaws(cls, data: Mapping[str, Any]) -> Iterator[Flaw]:
        """A walltime that is none."""
        yield from _walltime_flaws(data)


class SlurmLauncher(Model):
    """Worker jobs of a SLURM cluster. ``gpus``, ``cpus`` and ``mem_gb`` are per worker."""

    like: ClassVar[str] = '{workers: 16, partition: gpu, gpus: 1, walltime: "04:00:00"}'

    workers: PositiveInt = Field(1, description="how many at most, at once")
    partition: Text | None = Field(None, description="the partition (default: the cluster's own)")
    gpus: Count = Field(0, description="GPUs per worker")
    gpus_as: Literal["gpus-per-node", "gres"] = Field("gpus-per-node", description="the option that asks for GPUs")
    gpu_type: Text | None = Field(None, description="a kind of GPU as the cluster names it, such as a100")
    cpus: PositiveInt = Field(1, description="processors per worker")
    mem_gb: PositiveFloat | None = Field(None, description="memory per worker (default: the cluster's own)")
    walltime: str = Field("01:00:00", description="a job's time limit as SLURM writes it, such as 04:00:00")
    workers_per_gpu: PositiveInt = Field(1, description="so many workers share each GPU")
    workers_per_job: PositiveInt = Field(1, description="so many workers in each job")
    setup: tuple[str, ...] = Field((), strict=False, description="shell lines before the worker, such as module load")
    python: Text | None = Field(None, description="the Python of compute nodes (default: the one that runs hpcho)")
    canary: bool = Field(True, description="one worker must get a trial going before the others are sent")
    idle_exit_s: PositiveFloat = Field(120.0, description="a worker with nothing to do leaves after so long")
    grace_s: PositiveFloat = Field(60.0, description="what a trial gets to save its work before it is ended")
    options: dict[str, str | int | float | bool] = Field(
        default_factory=dict, description="further sbatch options by their long names: {account: abc}"
    )
    controller: ControllerJob = Field(ControllerJob(), description="the job of `hpcho run --as-job`")

    @property
    def walltime_s(self) -> int:
        """A job's time limit in seconds."""
        seconds = _seconds(self.walltime)
        assert seconds is not None
        return seconds

    @property
    def workers_in_job(self) -> int:
        """Workers in one job: a GPU that is shared is shared by workers of one job."""
        return max(self.workers_per_job, self.workers_per_gpu)

    @classmethod
    def flaws(cls, data: Mapping[str, Any]) -> Iterator[Flaw]:
        """A walltime that is none, and what two keys say against each other."""
        yield from _walltime_flaws(data)
        shared = data.get("workers_per_gpu", 1)
        if isinstance(shared, int) and shared > 1 and data.get("gpus", 0) != 1:
            yield Flaw(("workers_per_gpu",), "is for workers that share a GPU: it needs gpus: 1", at_key=True)
        options = data.get("options")
        for key in options if isinstance(options, Mapping) else ():
            name = str(key).replace("_", "-")
            if name in OWN_OPTIONS:
                yield Flaw(("options", key), f"is said by another key: launcher.slurm.{OWN_OPTIONS[name]}", at_key=True)
            elif name in ("requeue", "no-requeue"):
                yield Flaw(
                    ("options", key),
                    "must be removed: hpcho sends new jobs itself, and a requeued one would be one too many",
                    at_key=True,
                )


class SshLauncher(Model):
    """Workers on hosts that ssh reaches, and that see the job directory under the same path."""

    like: ClassVar[str] = "{hosts: hosts.txt, workers_per_host: 2}"

    hosts: Text = Field(description="a file beside the YAML: a line [user@]host[:port] for each host, as pssh has it")
    workers_per_host: PositiveInt = Field(1, description="how many on each host")
    ssh_config: Text | None = Field(None, description="an ssh_config file (default: ~/.ssh/config)")
    python: Text | None = Field(None, description="the Python of the hosts (default: the one that runs hpcho)")
    mem_gb: PositiveFloat | None = Field(None, description="per worker; a trial that takes more is ended, cause oom")


class NoLauncher(Model):
    """Workers are started by hand: ``hpcho worker EXPERIMENT``."""

    like: ClassVar[str] = "{}"


class LauncherSpec(OneOf):
    """Exactly one launcher. ``launcher: local`` in YAML is short for ``launcher: {local: {}}``."""

    like: ClassVar[str] = "{local: {workers: 2}}"
    noun: ClassVar[str] = "launcher"

    local: LocalLauncher | None = None
    slurm: SlurmLauncher | None = None
    ssh: SshLauncher | None = None
    none: NoLauncher | None = None
