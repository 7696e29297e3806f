"""Workers as processes of this machine.

Each worker is started in a session of its own, so that Ctrl-C at the terminal reaches the controller alone, and holds
the reading end of a pipe whose writing end only the controller has: when the controller is gone, however it went, the
worker sees the end of the pipe, finishes the trial it has and leaves.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpcho.errors import LauncherError
from hpcho.launchers.base import Crew
from hpcho.launchers.processes import exit_words, kill_strays
from hpcho.trial import Cause, Failure, Owner, start_ticks

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from hpcho.jobdir import JobDir

__all__ = ["LocalLauncher"]

log = logging.getLogger(__name__)

EARLY_S = 10.0
"""A worker that leaves with an error sooner than this after its start could not work at all."""
EARLY_EXITS = 3
"""So many of those in a row, and starting more is no use."""
CLOSE_S = 10.0
"""How long ``close`` waits for workers to leave before it kills them."""


@dataclass
class _Worker:
    process: subprocess.Popen[bytes]
    owner: Owner
    started_at: float
    is_released: bool = False
    has_worked: bool = False
    is_busy: bool = False


class LocalLauncher:
    """Starts ``command`` (the worker's entry point), at most ``capacity`` times at once."""

    notice = None

    def __init__(self, command: Sequence[str], jobdir: JobDir, *, capacity: int) -> None:
        self.capacity = capacity
        self._command = list(command)
        self._jobdir = jobdir
        self._workers: dict[Owner, _Worker] = {}
        self._deaths: dict[Owner, int] = {}
        self._early_exits = 0
        self._not_before = 0.0
        self._reader, self._writer = os.pipe()

    @property
    def crew(self) -> Crew:
        """Processes that are alive and hold no trial."""
        free = [worker for worker in self._workers.values() if not worker.is_busy and worker.process.poll() is None]
        idle = sum(worker.has_worked for worker in free)
        return Crew(idle=idle, starting=len(free) - idle)

    def top_up(self, wanted: int, owners: Collection[Owner]) -> None:
        """Start workers until ``wanted`` are alive; those of an earlier controller that still finish a trial are some.

        Raises LauncherError when they fail as they start.
        """
        self._collect()
        for owner, worker in self._workers.items():
            worker.is_busy = owner in owners
            worker.has_worked |= worker.is_busy
        wanted -= sum(owner.is_alive_here() for owner in owners if owner not in self._workers)
        if self._early_exits >= EARLY_EXITS:
            raise LauncherError(
                f"workers cannot start: {EARLY_EXITS} in a row ended with an error. The last lines of "
                f"{self._jobdir.logs / 'workers.log'}:\n{self._last_lines()}"
            )
        if time.monotonic() < self._not_before:
            return
        while len(self._workers) < wanted:
            try:
                self._start()
            except OSError as error:
                # too many processes or files, or no memory, for the moment: what runs goes on, and this is tried again
                log.warning("cannot start a worker now (%s); trying again", error)
                self._not_before = time.monotonic() + 2.0
                return

    def death_of(self, owner: Owner, silent_s: float) -> Failure | None:
        """Why a worker of this host is gone, its pid and start time told apart from a later process's."""
        del silent_s  # the kernel is never wrong, nor late
        self._collect()
        if owner in self._workers or owner.host != Owner.here().host or owner.is_alive_here():
            return None
        code = self._deaths.get(owner)
        how = "" if code is None else f", {exit_words(code)}"
        return Failure(Cause.NODE, f"the worker process {owner} is gone{how}")

    def is_watching(self, owner: Owner) -> bool:
        """A process that hangs is not gone; silence must tell of it."""
        del owner
        return False

    def release(self) -> None:
        """SIGTERM to every worker: it gives its trial back and leaves."""
        for worker in self._workers.values():
            # once: a second signal would end the grace that the objective has to save its work
            if not worker.is_released:
                worker.is_released = True
                with contextlib.suppress(ProcessLookupError):
                    worker.process.send_signal(signal.SIGTERM)

    def close(self) -> None:
        """Release all workers, wait CLOSE_S at most, then kill what is left with its children."""
        self.release()
        deadline = time.monotonic() + CLOSE_S
        for worker in self._workers.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.process.wait(max(deadline - time.monotonic(), 0.0))
        for worker in self._workers.values():
            if worker.process.poll() is None:
                worker.process.kill()
                worker.process.wait()
        self._collect()
        for end in (self._reader, self._writer):
            with contextlib.suppress(OSError):
                os.close(end)
        kill_strays(self._jobdir)

    def _start(self) -> None:
        self._jobdir.logs.mkdir(exist_ok=True)
        with (self._jobdir.logs / "workers.log").open("ab") as output:
            process = subprocess.Popen(
                [*self._command, "--lifeline", str(self._reader)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self._jobdir.path,
                env={**os.environ, "HPCHO_JOB_DIR": str(self._jobdir.path)},
                pass_fds=[self._reader],
                start_new_session=True,
            )
        owner = Owner(Owner.here().host, process.pid, start_ticks(process.pid) or 0, Owner.here().job)
        self._workers[owner] = _Worker(process, owner, time.monotonic())

    def _collect(self) -> None:
        """Take exited workers off the list."""
        for owner, worker in list(self._workers.items()):
            code = worker.process.poll()
            if code is None:
                if time.monotonic() - worker.started_at > EARLY_S:
                    self._early_exits = 0
                continue
            del self._workers[owner]
            self._deaths[owner] = code
            if code > 0 and time.monotonic() - worker.started_at <= EARLY_S:
                self._early_exits += 1
            if code < 0:
                # killed from outside: its own children could not be told
                kill_strays(self._jobdir)

    def _last_lines(self, count: int = 15) -> str:
        try:
            text = (self._jobdir.logs / "workers.log").read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            return str(error)
        return "\n".join(text.splitlines()[-count:])
