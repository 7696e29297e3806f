"""A worker: claims trials of an experiment and evaluates them.

Two processes. The parent (``parent``) talks to the store and watches time, memory and signals; the child (``child``)
holds the user's objective and evaluates one trial after another. Whatever the objective does to its process costs that
trial only.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hpcho.jobdir import JobDir
    from hpcho.store.stock import Connection

__all__ = ["serve", "serve_fmin"]


def serve(
    jobdir: JobDir,
    *,
    lifeline: int | None = None,
    max_trials: int | None = None,
    idle_exit_s: float | None = None,
    wait_s: float = 0.0,
    tell: Callable[[str], None] | None = None,
) -> int:
    """Be one worker of the experiment in ``jobdir`` until there is a reason to leave; returns an exit code.

    ``wait_s``: how long the store's server may be stopped as the worker begins, since a controller that goes from job
    to job takes it along. It leaves after ``max_trials`` trials, after ``idle_exit_s`` seconds without one, when the
    file descriptor ``lifeline`` reads its end (whoever held the other end is gone: the running trial is finished
    first), when the run is stopped, on SIGTERM, SIGINT, SIGHUP or SIGUSR2, and before its SLURM job ends (``tenure``;
    the running trial is given back). Takes over those signals and SIGCHLD meanwhile, so it must be called in the main
    thread. Reads HPCHO_GRACE_S, HPCHO_WALLTIME_S, HPCHO_KILL_WAIT_S (seconds), HPCHO_WORKERS_PER_GPU, HPCHO_MEM_GB and
    what SLURM tells of the job from the environment. ``tell`` hears why it leaves. 0: nothing is left undone; 3: the
    store was away when a trial's end had to be written. Raises UsageError and StoreError before it has claimed
    anything.
    """
    from hpcho.worker.duty import ExperimentDuty  # noqa: PLC0415 - the child imports this package and must stay light
    from hpcho.worker.parent import Worker  # noqa: PLC0415 - as above

    duty = ExperimentDuty(jobdir)
    worker = Worker(duty, lifeline=lifeline, max_trials=max_trials, idle_exit_s=idle_exit_s, wait_s=wait_s, tell=tell)
    return worker.run()


def serve_fmin(
    connect: Callable[[], Connection],
    exp_key: str,
    jobdir: JobDir,
    source: Path,
    *,
    max_trials: int | None = None,
    idle_exit_s: float | None = None,
    tell: Callable[[str], None] | None = None,
) -> int:
    """The same for hyperopt's own ``fmin``, whose objective is unpickled from the database: that runs what is in it.

    ``connect`` makes a connection, which is closed here. Trials have their folders in ``jobdir``; the objective finds
    modules in ``source``.
    """
    from hpcho.worker.fmin import FminDuty  # noqa: PLC0415 - as in serve
    from hpcho.worker.parent import Worker  # noqa: PLC0415 - as in serve

    with closing(FminDuty(connect, exp_key, jobdir, source)) as duty:
        return Worker(duty, lifeline=None, max_trials=max_trials, idle_exit_s=idle_exit_s, tell=tell).run()
