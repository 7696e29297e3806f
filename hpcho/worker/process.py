"""The child as its parent sees it: started, spoken to, ended, and never left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psutil

from hpcho.worker import memory
from hpcho.worker.channel import Channel, ChannelClosed, Message

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from hpcho.worker.stem import Starter

__all__ = ["Child", "Plan", "kill_marked"]

LEAVE_S = 5.0
"""How long a child may take for its exit handlers."""
END_S = 5.0
"""How long to wait for what must come at once: the exit of a process that has hung up, or was killed."""


@dataclass(frozen=True)
class Plan:
    """What children are started with. ``mark`` is their HPCHO_WORKER, which whatever they start inherits.

    ``devices``: further variables of their environment, see ``hpcho.worker.devices``.
    """

    objective: dict[str, Any]
    source: Path
    isolate: bool
    job_dir: Path
    mark: str
    devices: Mapping[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """The child's."""
        ours = {"HPCHO_JOB_DIR": str(self.job_dir), "HPCHO_WORKER": self.mark, "PYTHONUTF8": "1"}
        ours["PYTHONSAFEPATH"] = ""  # the child is found through its working directory
        return {**os.environ, **self.devices, **ours}

    @property
    def message(self) -> Message:
        """The first message to the child."""
        return ("start", {"objective": self.objective, "source": str(self.source), "isolate": self.isolate})


class Child:
    """A running child, made by ``starter``. Raises OSError where no process can be started.

    With ``isolate`` its ``trial_pid`` is the process that it has forked for the present trial; else it is its own.
    """

    def __init__(self, plan: Plan, starter: Starter) -> None:
        self._plan = plan
        self._starter = starter
        self._trial_pid: int | None = None
        self._trial_code: int | None = None
        self.hung_up = False
        self.evaluated = 0
        """How many trials it was given."""
        self.first_rss = 0
        """Its resident bytes after the first of them."""
        self.is_spent = False
        """Whether it must not be given another."""
        self.is_gone = False
        """Whether it was ended."""
        self.takes_trial = True
        """Whether the objective may look at ``trial.should_stop()``."""
        theirs: list[int] = []
        with contextlib.ExitStack() as on_error, contextlib.ExitStack() as after:
            self._control = self._trials = _channel(on_error, after, theirs)
            if plan.isolate:
                self._trials = _channel(on_error, after, theirs)
            self._process = starter.start(theirs)
            on_error.pop_all()
        self.pid = self._process.pid
        self._send(self._control, plan.message)

    @property
    def trial_pid(self) -> int:
        """The process that evaluates the present trial."""
        return self._trial_pid or self.pid

    @property
    def fds(self) -> tuple[int, ...]:
        """What to wait on for messages and for its end; SIGCHLD may tell of that too."""
        return (*{self._control.fileno(), self._trials.fileno()}, *self._process.fds)

    def begin(self, task: dict[str, Any]) -> None:
        """Give it a trial."""
        self._trial_pid = self._trial_code = None
        self.evaluated += 1
        if self._plan.isolate:
            self._forget_last_trial()
        self._send(self._control, ("trial", {**task, "number": self.evaluated}))

    def ask_to_stop(self) -> None:
        """Tell the running trial."""
        self._send(self._trials, ("stop",))

    def tell(self, message: Message) -> None:
        """Say something to the running trial."""
        self._send(self._trials, message)

    def read(self) -> list[Message]:
        """The messages that have come, those about forked processes taken out."""
        messages = []
        # control first: the news that a trial's process is gone comes after its last message on the other
        for channel in dict.fromkeys((self._control, self._trials)):
            try:
                messages += channel.poll()
            except ChannelClosed:
                self.hung_up = True
        return [message for message in messages if not self._note(message)]

    def is_alive(self) -> bool:
        """Whether the process runs. A system call."""
        return self._process.wait() is None

    def trial_exit(self) -> int | None:
        """The exit code (negative: a signal) of the process that evaluates, None while it runs.

        A child that has hung up is ended: nothing more can come from it.
        """
        if self._trial_code is not None:
            return self._trial_code
        code = self._process.wait(END_S if self.hung_up else 0.0)
        if code is None and self.hung_up:
            self.kill()
            return -signal.SIGKILL
        return code

    def kill_trial(self) -> None:
        """End the running trial with everything it has started; the child itself is kept where it only forked it."""
        if self._trial_pid is None:
            self.kill()
            return
        _kill(self._trial_pid, self._plan.mark, spare={self.pid, *self._starter.spare})
        deadline = time.monotonic() + END_S
        while self._trial_code is None and not self.hung_up and time.monotonic() < deadline:
            time.sleep(0.005)
            self.read()
        if self._trial_code is None:
            self.kill()

    def kill(self) -> None:
        """End it with everything it has started."""
        _kill(self.pid, self._plan.mark, spare=self._starter.spare)
        if self._process.wait(END_S) is None:
            self._starter.close()  # it hangs in the kernel, and whoever waits for it with it
        self._close()

    def leave(self) -> None:
        """Let it exit, its exit handlers included, for LEAVE_S at most; what it left running in its session ends."""
        self._send(self._control, ("leave",))
        if self._process.wait(LEAVE_S) is None:
            self.kill()
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._close()

    def _close(self) -> None:
        self.is_spent = self.is_gone = True
        self._control.close()
        self._trials.close()

    def _note(self, message: Message) -> bool:
        if message[0] not in {"forked", "gone"}:
            return False
        kind, number, value = message
        if number == self.evaluated:  # and not the trial before, whose result may come before this news of it
            if kind == "forked":
                self._trial_pid = value
            else:
                self._trial_code = value
        return True

    def _forget_last_trial(self) -> None:
        """Its process may have died in the middle of a message."""
        try:
            self._trials.clear()
        except ChannelClosed:
            self.hung_up = True

    def _send(self, channel: Channel, message: Message) -> None:
        try:
            channel.send(message)
        except ChannelClosed:
            self.hung_up = True


def kill_marked(mark: str, spare: set[int]) -> None:
    """Kill the processes with this HPCHO_WORKER in their environment, however far they are from who started them."""
    for process in psutil.process_iter():
        if process.pid not in spare:
            with contextlib.suppress(psutil.Error, OSError):
                if process.environ().get("HPCHO_WORKER") == mark:
                    process.kill()


def _kill(pid: int, mark: str, spare: set[int]) -> None:
    """The process, its group, its descendants, and those that have left both."""
    descendants = memory.kin(pid)
    for kill in (os.killpg, os.kill):  # a process that was just forked has no group of its own yet
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)
    for process in descendants:
        with contextlib.suppress(psutil.Error):
            process.kill()
    kill_marked(mark, {*spare, os.getpid(), pid})


def _channel(on_error: contextlib.ExitStack, after: contextlib.ExitStack, theirs: list[int]) -> Channel:
    """Our end; the other end's file descriptor is added to ``theirs``."""
    ours, other = socket.socketpair()
    on_error.callback(ours.close)
    after.callback(other.close)
    theirs.append(other.fileno())
    return Channel(ours)
