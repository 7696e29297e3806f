"""All checks in order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcho.doctor import cluster, container, elsewhere, login, packages, stores
from hpcho.doctor.finding import Finding, failed
from hpcho.doctor.folder import folder
from hpcho.errors import LauncherError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hpcho.doctor.stores import Machines
    from hpcho.experiment import Experiment
    from hpcho.experiment.schema import SlurmLauncher
    from hpcho.jobdir import JobDir

__all__ = ["experiment", "machine"]


def machine() -> Iterator[Finding]:
    """What holds on this machine, and of the cluster that it belongs to."""
    yield from packages.python()
    yield packages.keras()
    yield packages.server()
    yield from container.machine()
    yield from cluster.slurm()
    yield from login.limits()


def experiment(
    experiment: Experiment, jobdir: JobDir, yaml: Path, *, job_wait_s: float | None, machines: Machines
) -> Iterator[Finding]:
    """What an experiment needs, here and where its workers will be.

    ``job_wait_s``: None sends no job. ``machines``: see ``hpcho.store.attend``.
    """
    launcher = experiment.launcher
    yield from container.image(experiment, yaml.parent)
    yield from folder(jobdir.path.parent, must_be_shared=launcher.local is None)
    yield stores.store(experiment, jobdir, {"yaml": str(yaml.absolute())}, machines)
    if launcher.ssh is not None:
        asyncssh = packages.package("asyncssh", "launcher: ssh")
        yield asyncssh
        if not asyncssh.mend:
            yield from elsewhere.hosts(experiment, jobdir, yaml, machines)
    if launcher.slurm is not None:
        yield from _slurm(experiment, launcher.slurm, jobdir, yaml, job_wait_s, machines)


def _slurm(
    experiment: Experiment,
    spec: SlurmLauncher,
    jobdir: JobDir,
    yaml: Path,
    job_wait_s: float | None,
    machines: Machines,
) -> Iterator[Finding]:
    submitit = packages.package("submitit", "launcher: slurm")
    yield submitit
    answer = cluster.slurm()
    if len(answer) == 1:
        mend = "run this where jobs are submitted (a login node), or set another launcher"
        yield failed("launcher", f"SLURM cannot be used here: {answer[0].words}", mend)
    if len(answer) == 1 or submitit.mend:
        return
    try:
        taken = cluster.workers(elsewhere.worker_lines(spec, jobdir))
    except LauncherError as error:
        taken = [failed("worker's job", str(error), "mend this first")]
    yield from taken
    if job_wait_s is not None and not taken[0].mend:
        yield from elsewhere.compute_node(experiment, jobdir, yaml, job_wait_s, machines)
