"""A worker: claims trials of an experiment and evaluates them.

Two processes. The parent (``parent``) talks to the store and watches time, memory and signals; the child (``child``)
holds the user's objective and evaluates one trial after another. Whatever the objective does to its process costs that
trial only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hpcho.jobdir import JobDir

__all__ = ["serve"]


def serve(
    jobdir: JobDir, *, lifeline: int | None = None, max_trials: int | None = None, idle_exit_s: float | None = None
) -> int:
    """Be one worker of the experiment in ``jobdir`` until there is a reason to leave; returns an exit code.

    It leaves after ``max_trials`` trials, after ``idle_exit_s`` seconds without one, when the file descriptor
    ``lifeline`` reads its end (whoever held the other end is gone: the running trial is finished first), when the run
    is stopped, and on SIGTERM, SIGINT, SIGHUP or SIGUSR2 (the running trial is given back). Takes over those signals
    and SIGCHLD meanwhile, so it must be called in the main thread. 0: nothing is left undone; 3: the store was away
    when a trial's end had to be written. Raises UsageError and StoreError before it has claimed anything.
    """
    from hpcho.worker.parent import Worker  # noqa: PLC0415 - the child imports this package and must stay light

    return Worker(jobdir, lifeline=lifeline, max_trials=max_trials, idle_exit_s=idle_exit_s).run()
