"""The launcher that an experiment asks for, and how its workers are called in words."""

from __future__ import annotations

import os
import shlex
import sys
from typing import TYPE_CHECKING

import hpcho
from hpcho import container, inside
from hpcho.cli.output import number
from hpcho.errors import ExperimentError, LauncherError
from hpcho.launchers.local import LocalLauncher
from hpcho.launchers.none import NoLauncher

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hpcho.experiment import Experiment
    from hpcho.experiment.launchers import SlurmLauncher as SlurmSpec
    from hpcho.experiment.launchers import SshLauncher as SshSpec
    from hpcho.launchers.base import Launcher
    from hpcho.launchers.hosts import Host
    from hpcho.launchers.slurm import SlurmLauncher
    from hpcho.opening import Opened

__all__ = ["build", "check_container", "image_words", "node_addresses", "python_script", "script", "words"]


def build(opened: Opened, uuid: str) -> Launcher:
    """The launcher of what check_container has let pass; ``uuid`` is the experiment's. Raises LauncherError."""
    launcher, jobdir = opened.experiment.launcher, opened.jobdir
    heartbeat_s = opened.experiment.trial.heartbeat_s
    if launcher.local is not None:
        worker = [sys.executable, "-m", "hpcho.worker", str(jobdir.path)]
        return LocalLauncher(worker, jobdir, capacity=launcher.local.workers)
    if launcher.slurm is not None:
        _write_python(opened)
        return _slurm(launcher.slurm, opened, uuid)
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
    return _slurm(slurm, opened, uuid).script()


def python_script(opened: Opened) -> str | None:
    """The script that is Python in the image of ``container:``; None where workers need no image."""
    spec = container.of(opened.experiment)
    if spec is None:
        return None
    folders = [opened.jobdir.path.parent, opened.folder]
    image = container.image_of(spec, opened.folder)
    return container.python_script(spec, image=image, folders=folders, version=hpcho.__version__)


def check_container(opened: Opened) -> None:
    """Refuse an image that workers cannot run in. Raises ExperimentError, LauncherError."""
    experiment = opened.experiment
    if experiment.container is not None and experiment.launcher.local and inside.image_here() is None:
        raise LauncherError(
            "container: local workers run where hpcho does. Start hpcho itself from the image (`./hpcho.sif run ...`), "
            "or remove container:"
        )
    spec = container.of(experiment)
    if spec is None:
        return
    image = container.image_of(spec, opened.folder)
    if inside.image_here() is not None:
        return  # other files than one's own may not be seen from inside; workers tell
    if not image.exists():
        raise ExperimentError([opened.source.problem(("container", "image"), f"there is no image {image}")])
    if not os.access(image, os.R_OK):
        raise ExperimentError([opened.source.problem(("container", "image"), f"{image} cannot be read by you")])
    container.check_version(image, hpcho.__version__)


def image_words(experiment: Experiment) -> str | None:
    """What workers run in; None for this Python or another."""
    spec = container.of(experiment)
    if spec is None:
        return None
    more = f", which sees {', '.join(spec.binds)}" if spec.binds else ""
    own = f"hpcho's own image, {inside.image_here()}" if spec.image == container.SELF else spec.image
    return f"{own}{more}"


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


def words(experiment: Experiment, path: Path, place: str) -> str:
    """What will be at work. ``place`` is what workers that are started by hand are given, quoted.

    Raises ExperimentError for what is wrong in the files that the launcher names.
    """
    launcher = experiment.launcher
    if launcher.local is not None:
        return _counted(launcher.local.workers, "local process", "local processes") + _limit(launcher.local.mem_gb)
    if launcher.slurm is not None:
        return _slurm_words(launcher.slurm)
    if launcher.ssh is not None:
        return _ssh_words(launcher.ssh, len(_hosts(launcher.ssh, path)))
    return f"started by hand: `hpcho worker {place}`"


def _python(opened: Opened) -> Path:
    """Where the script is that is Python in the image."""
    return opened.jobdir.path / "jobs" / "python"


def _write_python(opened: Opened) -> None:
    text = python_script(opened)
    if text is None:
        return
    path = _python(opened)
    path.parent.mkdir(exist_ok=True)
    draft = path.with_name(f".python.{os.getpid()}")
    draft.write_text(text, encoding="utf-8")
    draft.chmod(0o750 if opened.experiment.group is not None else 0o700)
    draft.replace(path)


def _slurm(spec: SlurmSpec, opened: Opened, uuid: str) -> SlurmLauncher:
    from hpcho.launchers.slurm import SlurmLauncher  # noqa: PLC0415 - submitit: only with a cluster
    from hpcho.worker.__main__ import main  # noqa: PLC0415 - as above

    experiment = opened.experiment
    return SlurmLauncher(
        spec,
        opened.jobdir,
        uuid=uuid,
        name=experiment.name,
        entry=main,
        heartbeat_s=experiment.trial.heartbeat_s,
        python=shlex.quote(str(_python(opened))) if container.of(experiment) else None,
    )


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
