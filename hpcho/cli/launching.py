"""The launcher that an experiment asks for, and how its workers are called in words."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

from hpcho.cli.output import number
from hpcho.launchers.local import LocalLauncher
from hpcho.launchers.none import NoLauncher

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hpcho.cli.opening import Opened
    from hpcho.experiment import Experiment
    from hpcho.experiment.launchers import SlurmLauncher as SlurmSpec
    from hpcho.experiment.launchers import SshLauncher as SshSpec
    from hpcho.jobdir import JobDir
    from hpcho.launchers.base import Launcher
    from hpcho.launchers.hosts import Host
    from hpcho.launchers.slurm import SlurmLauncher

__all__ = ["build", "node_addresses", "script", "words"]


def build(opened: Opened, uuid: str) -> Launcher:
    """The launcher; ``uuid`` is the experiment's. Raises LauncherError, ExperimentError."""
    launcher, jobdir = opened.experiment.launcher, opened.jobdir
    heartbeat_s = opened.experiment.trial.heartbeat_s
    if launcher.local is not None:
        worker = [sys.executable, "-m", "hpcho.worker", str(jobdir.path)]
        return LocalLauncher(worker, jobdir, capacity=launcher.local.workers)
    if launcher.slurm is not None:
        return _slurm(launcher.slurm, opened.experiment, jobdir, uuid)
    if launcher.ssh is not None:
        from hpcho.launchers.ssh import SshLauncher  # noqa: PLC0415 - asyncssh is an extra

        return SshLauncher(launcher.ssh, jobdir, folder=opened.folder, uuid=uuid, heartbeat_s=heartbeat_s)
    return NoLauncher()


def script(opened: Opened) -> str | None:
    """The script that SLURM would get for all workers; None with another launcher."""
    slurm = opened.experiment.launcher.slurm
    if slurm is None:
        return None
    uuid = opened.record["uuid"] if opened.record else "<made at the first run>"
    return _slurm(slurm, opened.experiment, opened.jobdir, uuid).script()


def node_addresses(experiment: Experiment, path: Path) -> Sequence[str]:
    """Addresses or names of some machines that workers will be on, as far as the launcher knows any.

    Raises ExperimentError as ``words`` does.
    """
    slurm, ssh = experiment.launcher.slurm, experiment.launcher.ssh
    if ssh is not None:
        return [host.name for host in _hosts(ssh, path)[:3]]
    if slurm is None:
        return ()
    from hpcho.launchers.scheduler import Scheduler  # noqa: PLC0415 - only with a cluster

    return Scheduler().node_addresses(slurm.partition)[:3]


def words(experiment: Experiment, path: Path) -> str:
    """What will be at work. Raises ExperimentError for what is wrong in the files that the launcher names."""
    launcher = experiment.launcher
    if launcher.local is not None:
        return _counted(launcher.local.workers, "local process", "local processes") + _limit(launcher.local.mem_gb)
    if launcher.slurm is not None:
        return _slurm_words(launcher.slurm)
    if launcher.ssh is not None:
        return _ssh_words(launcher.ssh, len(_hosts(launcher.ssh, path)))
    return f"started by hand: `hpcho worker {shlex.quote(str(path))}`"


def _slurm(spec: SlurmSpec, experiment: Experiment, jobdir: JobDir, uuid: str) -> SlurmLauncher:
    from hpcho.launchers.slurm import SlurmLauncher  # noqa: PLC0415 - submitit: only with a cluster
    from hpcho.worker.__main__ import main  # noqa: PLC0415 - as above

    heartbeat_s = experiment.trial.heartbeat_s
    return SlurmLauncher(spec, jobdir, uuid=uuid, name=experiment.name, entry=main, heartbeat_s=heartbeat_s)


def _slurm_words(spec: SlurmSpec) -> str:
    where = f"in partition {spec.partition}" if spec.partition else "in the default partition"
    each = [f"{spec.gpus} GPU{'s' if spec.gpus > 1 else ''}"] if spec.gpus else []
    each += [_counted(spec.cpus, "CPU", "CPUs")] + ([f"{number(spec.mem_gb)} GB"] if spec.mem_gb else [])
    shared = f", {spec.workers_in_job} in a job" if spec.workers_in_job > 1 else ""
    workers = _counted(spec.workers, "SLURM worker", "SLURM workers")
    return f"{workers} {where}{shared}, {', '.join(each)} each, jobs of {spec.walltime}"


def _hosts(spec: SshSpec, path: Path) -> Sequence[Host]:
    from hpcho.launchers.hosts import files, read_hosts  # noqa: PLC0415 - only with hosts

    return read_hosts(files(spec, path.absolute().parent)[0])


def _ssh_words(spec: SshSpec, hosts: int) -> str:
    workers = _counted(hosts * spec.workers_per_host, "worker", "workers")
    each = f"{spec.workers_per_host} on each of " if spec.workers_per_host > 1 else "on "
    return f"{workers} by ssh, {each}{_counted(hosts, 'host', 'hosts')} ({spec.hosts}){_limit(spec.mem_gb)}"


def _limit(mem_gb: float | None) -> str:
    return f", at most {number(mem_gb)} GB each" if mem_gb else ""


def _counted(count: int, one: str, many: str) -> str:
    return f"1 {one}" if count == 1 else f"{count} {many}"
