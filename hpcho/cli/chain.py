"""``hpcho run --as-job``: the controller as a chain of small jobs, of which each goes on where the one before ended.

All jobs of a chain have one name, which is this run's alone, and the dependency ``singleton``: SLURM begins none before
the earlier ones have ended, however that was. Each puts the next one into the queue as it begins (``hpcho.cli.turn``),
and takes it out again when the run is over.
"""

from __future__ import annotations

import contextlib
import shlex
import sys
import time
from typing import TYPE_CHECKING

from hpcho import controller as control
from hpcho import inside
from hpcho import standing as standings
from hpcho.cli.output import say, warn
from hpcho.errors import LauncherError, StoreError, UsageError
from hpcho.launchers import jobs
from hpcho.opening.chain import Chain, how, live
from hpcho.store import location, open_store
from hpcho.trial import Owner

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from hpcho.cli.typed import Typed
    from hpcho.experiment import Experiment
    from hpcho.experiment.schema import SlurmLauncher
    from hpcho.jobdir import JobDir

__all__ = ["named", "submit"]

BEGIN_S = 60.0
"""How long the command waits for the job to begin."""
LOOK_S = 1.0
TELL_S = 60
"""So long before its wall time a job is told to hand over."""
OF_WORKERS = ("account", "wckey", "clusters", "reservation")
"""Options of the workers' jobs that the controller's has too; so is the QOS, where the partition is theirs."""


def submit(typed: Typed, experiment: Experiment, *, length: int | None) -> int:
    """Have a job run the experiment, whose job directory is made; returns the exit code.

    ``length``: so many jobs are put into the queue now, for sites where a job cannot submit another. Returns when the
    first has the seat, or is still queued after BEGIN_S. Raises UsageError, LauncherError.
    """
    jobdir = typed.jobdir
    record = jobdir.read_record()
    assert record is not None
    chain = Chain(jobdir, record["uuid"])
    _check(experiment, jobdir, record.get("database"), length)
    if _is_going(chain, experiment, typed):
        return 0
    chain.script.parent.mkdir(exist_ok=True)
    chain.script.write_text(
        script(chain, typed.path, typed.settings, experiment, submits=length is None), encoding="utf-8"
    )
    chain.over.unlink(missing_ok=True)
    sent = [jobs.submit(chain.script) for _ in range(length or 1)]
    return _await(chain, sent[0], experiment, typed)


def script(chain: Chain, path: Path, settings: Sequence[str], experiment: Experiment, *, submits: bool) -> str:
    """The job's script. ``submits``: it puts the next one into the queue."""
    spec = experiment.launcher.slurm
    python = inside.launcher() or (spec and spec.python) or shlex.quote(sys.executable)
    command = ["-m", "hpcho.cli.turn", str(chain.jobdir.path), chain.uuid]
    command += [] if submits else ["--chained"]
    command += ["--", str(path.absolute()), *(word for text in settings for word in ("--set", text))]
    lines = [
        "#!/bin/bash",
        "# The controller of a run, as `hpcho run --as-job` submits it. sbatch it again to go on by hand.",
        *jobs.directives(_options(chain, spec)),
        *(spec.setup if spec else ()),
        f"exec {python} {shlex.join(command)}",
    ]
    return "\n".join(lines) + "\n"


def _options(chain: Chain, spec: SlurmLauncher | None) -> Mapping[str, str | int | float | bool | None]:
    options: dict[str, str | int | float | bool | None] = {
        "job-name": chain.name,
        "dependency": "singleton",
        # In a file's name % begins a pattern of SLURM's.
        "output": str(chain.log("JOB")).replace("%", "%%").replace("controller-JOB.log", "controller-%j.log"),
        "open-mode": "append",
        "nodes": 1,
        "ntasks": 1,
        "cpus-per-task": 1,
        "signal": f"B:TERM@{TELL_S}",
        "no-requeue": True,
    }
    if spec is None:
        return options
    own = spec.controller
    theirs = {name.replace("_", "-"): value for name, value in spec.options.items()}
    shared = OF_WORKERS if own.partition else (*OF_WORKERS, "qos")
    options |= {
        "mem": f"{round(own.mem_gb * 1024)}M",
        "time": own.walltime or spec.walltime,
        "partition": own.partition or spec.partition,
    }
    options |= {name: value for name, value in theirs.items() if name in shared}
    return options | {name.replace("_", "-"): value for name, value in own.options.items()}


def _check(experiment: Experiment, jobdir: JobDir, noted: Mapping[str, str] | None, length: int | None) -> None:
    """Refuse what a controller that goes from node to node cannot do. Raises UsageError."""
    mongo = experiment.mongo
    if experiment.launcher.local is not None:
        raise UsageError(
            "--as-job puts the controller into a small job, and workers of `launcher: local` would be in it too: "
            "set `launcher: slurm`, or submit `hpcho run` yourself, in a job with room for them"
        )
    if mongo is None:
        raise UsageError("--as-job needs `store: mongo`: a database file of one machine cannot follow the controller")
    if mongo.host is not None:
        raise UsageError(
            f"--as-job: store.mongo.host is {mongo.host}, and the controller's jobs run on any node: remove it, and "
            "the server says itself where it is"
        )
    if mongo.url is None and mongo.data_dir is None and noted is None:
        kind = location.filesystem(jobdir.path, location.read_mountinfo())
        if location.is_shared(kind):
            raise UsageError(
                f"--as-job: {jobdir.path} is on {kind}, so the database would go to a disk of the node that the first "
                "job gets, where the next job is not. Set `store: {mongo: {data_dir: FOLDER}}` to a folder that all "
                "nodes see (best on Lustre, GPFS or BeeGFS), or `url:` to a MongoDB that runs already"
            )
    if length is not None and experiment.launcher.slurm is not None:
        warn(
            "--chain is for sites where a job cannot submit another; there workers must be submitted from here, too: "
            "`launcher: none` and slurm/worker-array.sbatch"
        )


def _is_going(chain: Chain, experiment: Experiment, typed: Typed) -> bool:
    """Whether the run has a controller, or one in the queue; then says so."""
    holder = _holder(chain.jobdir, experiment, patience_s=control.LEASE_S)
    if holder is not None:
        say(f"already run by {named(holder)}. `{typed.run}` looks on, `hpcho stop {typed.place}` ends it.")
        return True
    rows = live(chain)
    if rows:
        say(f"its controller is job {rows[0].id} already ({how(rows[0])}): {_ways(rows[0].id, typed)}")
    return bool(rows)


def _holder(jobdir: JobDir, experiment: Experiment, *, patience_s: float = 0.0) -> Owner | None:
    """Who runs the experiment, as far as a store that is there can say; starts no server.

    ``patience_s``: how long a holder on another host may take to show life; 0 believes what is written.
    """
    try:
        with contextlib.closing(open_store(jobdir, experiment)) as store:
            taken = store.get("seat")
            seat = control.Seat(store)
            if taken is not None and patience_s and seat.take(patience_s=patience_s):
                seat.leave()
                return None
    except StoreError:
        return None
    return Owner.from_json(taken["owner"]) if taken is not None and standings.is_taken(taken) else None


def _await(chain: Chain, job: str, experiment: Experiment, typed: Typed) -> int:
    """Wait until the job has the seat, or say how it stands. Raises LauncherError when it has ended."""
    deadline = time.monotonic() + BEGIN_S
    row = None
    while time.monotonic() < deadline:
        row = jobs.row_of(job)
        holder = _holder(chain.jobdir, experiment)
        if holder is not None and holder.job == job:
            say(
                f"running in job {job} ({named(holder)}), output in {chain.log(job)}.\n"
                f"`{typed.run}` looks on, from any login node; `hpcho stop {typed.place}` ends it."
            )
            return 0
        if row is None:
            return _ended(chain, job, typed.place)
        time.sleep(LOOK_S)
    assert row is not None
    if jobs.is_queued(row):
        say(f"queued as job {job} ({jobs.why(row)}); it runs as soon as SLURM lets it: {_ways(job, typed)}")
    else:
        say(
            f"job {job} runs on {row.node}, and what it does cannot be seen from here yet: see {chain.log(job)}. "
            f"`hpcho doctor {shlex.quote(str(typed.path))}` looks for reasons."
        )
    return 0


def _ended(chain: Chain, job: str, place: str) -> int:
    """The job ended before it was seen at work."""
    try:
        lines = chain.log(job).read_text(encoding="utf-8", errors="replace").rstrip().splitlines()[-15:]
    except OSError as error:
        lines = [f"{chain.log(job)}: {error.strerror}"]
    said = "\n".join(lines)
    if not chain.over.exists():
        raise LauncherError(
            f"the controller's job {job} ended before it could begin (`sacct -j {job}` may say why):\n{said}"
        )
    say(f"job {job} has ended; its last lines:\n{said}\n`hpcho status {place}` shows how it stands.")
    return 0


def named(holder: Owner) -> str:
    """A controller in words."""
    return f"{holder}, job {holder.job}" if holder.job else str(holder)


def _ways(job: str, typed: Typed) -> str:
    return f"`squeue -j {job}` looks at it, `{typed.run}` at the run; `scancel {job}` takes it back"
