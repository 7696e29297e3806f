"""Has a probe look around where workers would be: in a job on a compute node, and on hosts that ssh reaches."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shlex
import shutil
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import hpcho
from hpcho.doctor import container, stores
from hpcho.doctor.finding import Finding, failed, ok, warning
from hpcho.doctor.probe import Order, read_findings
from hpcho.errors import HpchoError, LauncherError
from hpcho.jobdir import JobDir
from hpcho.launchers import jobs
from hpcho.launchers.endings import has_ended
from hpcho.launchers.hosts import files, read_hosts
from hpcho.launchers.login import Door, Trouble
from hpcho.launchers.scheduler import Scheduler
from hpcho.objective import snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hpcho.doctor.stores import Machines
    from hpcho.experiment import Experiment
    from hpcho.experiment.schema import SlurmLauncher, SshLauncher
    from hpcho.launchers.hosts import Host
    from hpcho.launchers.scheduler import Row

__all__ = ["compute_node", "hosts", "worker_lines"]

PROBE = "hpcho.doctor.probe"
MINUTES = 3
"""The probe job's time limit; it takes seconds, unless imports are slow."""
LOOK_S = 0.5
SETTLE_S = 10.0
"""How long a file that was written on another machine may take to be seen here."""
HOST_S = 150.0
JOB, LOGIN = "probe job", "login"
OF_WORKERS = re.compile(
    r"#SBATCH --(job-name|comment|chdir|output|error|open-mode|signal|ntasks-per-node|array|no-requeue)\b"
)
"""Options of the workers' jobs that another job does without."""


def compute_node(
    experiment: Experiment, jobdir: JobDir, yaml: Path, wait_s: float, machines: Machines
) -> list[Finding]:
    """What a job finds that asks for what a worker's would. ``wait_s``: how long it may wait in the queue."""
    spec = experiment.launcher.slurm
    assert spec is not None
    try:
        with _order(experiment, jobdir, yaml, machines) as order:
            python = (
                container.python(experiment, yaml, Path(order.folder)) or spec.python or shlex.quote(sys.executable)
            )
            return _in_job(spec, replace(order, gpus=spec.gpus, submits=True), python, wait_s)
    except (HpchoError, OSError) as error:
        return [failed(JOB, str(error), "mend this first; --no-job leaves the job out")]


def hosts(experiment: Experiment, jobdir: JobDir, yaml: Path, machines: Machines) -> list[Finding]:
    """What each host of ``launcher: ssh`` finds."""
    spec = experiment.launcher.ssh
    assert spec is not None
    try:
        file, config = files(spec, yaml.parent)
        door = Door(config)
        with _order(experiment, jobdir, yaml, machines) as order:
            return asyncio.run(_on_all(spec, door, read_hosts(file), order.write()))
    except (HpchoError, OSError) as error:
        return [failed("hosts", str(error), "mend launcher.ssh")]


@contextmanager
def _order(experiment: Experiment, jobdir: JobDir, yaml: Path, machines: Machines) -> Iterator[Order]:
    """What a probe is to look at, in a folder where the job directory is or will be."""
    parent = jobdir.path.parent
    is_new = not parent.exists()
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".hpcho-doctor-", dir=parent))
    mongo = experiment.mongo
    try:
        snapshot.take(experiment.objective, yaml.parent, folder / "source", parent)
        with stores.greeter(experiment, jobdir, machines) as there:
            yield Order(
                folder=str(folder),
                jobdir=str(jobdir.path),
                yaml=str(yaml.absolute()),
                version=hpcho.__version__,
                source=str(folder / "source"),
                objective=experiment.objective.model_dump(),
                mongo=mongo.model_dump() if mongo else None,
                greeter=(there.host, there.port, there.word) if there else None,
                gpus=0,
                submits=False,
            )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if is_new:
            with contextlib.suppress(OSError):
                parent.rmdir()


# -- a job -------------------------------------------------------------------------------------------------------------


def worker_lines(spec: SlurmLauncher, jobdir: JobDir) -> list[str]:
    """The options of a worker's job as lines, without those for workers alone (OF_WORKERS). Raises LauncherError."""
    from hpcho.launchers.arrays import Arrays  # noqa: PLC0415 - submitit: where it is missing, doctor says so

    arrays = Arrays(spec, jobdir, Scheduler(), name="doctor", tag="hpcho-doctor", entry=len)
    lines = [line for line in arrays.script(0).splitlines() if line.startswith("#SBATCH ")]
    return [line for line in lines if not OF_WORKERS.match(line)]


def _in_job(spec: SlurmLauncher, order: Order, python: str, wait_s: float) -> list[Finding]:
    folder = Path(order.folder)
    output, script = folder / "probe.log", folder / "probe.sbatch"
    own: dict[str, str | int | float | bool | None]
    own = {"time": MINUTES, "job-name": "hpcho-doctor", "output": str(output), "no-requeue": True}
    lines = [
        "#!/bin/bash",
        *(line for line in worker_lines(spec, JobDir(Path(order.jobdir))) if "--time=" not in line),
        *jobs.directives(own),
        *spec.setup,
        f"exec srun --cpus-per-task={spec.cpus} --ntasks=1 {python} {shlex.join(['-m', PROBE, str(order.write())])}",
    ]
    script.write_text("\n".join(lines) + "\n", encoding="utf-8")
    job = jobs.submit(script)
    try:
        row = _await(job, wait_s)
    finally:
        with contextlib.suppress(LauncherError):
            jobs.cancel(job)
    if row is not None and jobs.is_queued(row):
        mend = "`--wait SECONDS` waits longer, --no-job leaves the job out"
        return [warning(JOB, f"job {job} was still queued after {wait_s:g} s ({row.reason}) and was cancelled", mend)]
    return _report(job, row, output)


def _await(job: str, wait_s: float) -> Row | None:
    """The job as it is once it has ended, or has waited for too long in the queue."""
    queued_until = time.monotonic() + wait_s
    while True:
        row = next(iter(Scheduler().queue([job])), None)
        if row is None or has_ended(row.state):
            return row
        if jobs.is_queued(row) and time.monotonic() >= queued_until:
            return row
        time.sleep(LOOK_S)


def _report(job: str, row: Row | None, output: Path) -> list[Finding]:
    """What the job has found, from its output."""
    node = row.node if row is not None and row.node else "its node"
    deadline = time.monotonic() + SETTLE_S
    while not (text := _text(output)) and time.monotonic() < deadline:
        time.sleep(LOOK_S)
    found = [finding.at(node) for finding in read_findings(text)]
    how = row.state.lower() if row is not None else "over"
    if not text:
        mend = "set `job_dir:` to a folder that compute nodes see under the same path"
        return [failed(JOB, f"job {job} ({how}) left nothing in {output.parent.parent}: {node} does not see it", mend)]
    if not found or (row is not None and row.state != "COMPLETED"):
        last = "; ".join(text.strip().splitlines()[-3:])
        mend = "launcher.slurm.python and setup say which Python compute nodes use"
        return [*found, failed(JOB, f"job {job} on {node} did not come to its end ({how}): {last}", mend)]
    return [ok(JOB, f"job {job} ran on {node}"), *found]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


# -- hosts -------------------------------------------------------------------------------------------------------------


async def _on_all(spec: SshLauncher, door: Door, names: tuple[Host, ...], order: Path) -> list[Finding]:
    found = await asyncio.gather(*(_on(spec, door, host, order) for host in names))
    return [finding for findings in found for finding in findings]


async def _on(spec: SshLauncher, door: Door, host: Host, order: Path) -> list[Finding]:
    """One host's findings."""
    import asyncssh  # noqa: PLC0415 - an extra; and slow to import

    python = spec.python or sys.executable
    # A shell there is to see the ~ of a home.
    quoted = f"~/{shlex.quote(python[2:])}" if python.startswith("~/") else shlex.quote(python)
    command = f"cd /; exec {quoted} {shlex.join(['-m', PROBE, str(order)])}"
    try:
        async with await door.login(host) as connection:
            done = await asyncio.wait_for(
                connection.run(command, check=False, encoding="utf-8", errors="replace"), HOST_S
            )
    except Trouble as trouble:
        words, command = str(trouble), door.command(host)
        return [failed(LOGIN, words, "" if command in words else f"try `{command} true`").at(str(host))]
    except (asyncssh.Error, OSError, asyncio.TimeoutError) as error:
        return [failed(LOGIN, f"the connection broke: {error}", f"try `{door.command(host)} true`").at(str(host))]
    found = [finding.at(str(host)) for finding in read_findings(str(done.stdout))]
    if found:
        return found
    last = str(done.stderr).strip().rpartition("\n")[2]
    mend = "launcher.ssh.python names its Python, and `job_dir:` a folder that it sees under the same path"
    return [failed("Python", f"the probe did not start: {last}", mend).at(str(host))]
