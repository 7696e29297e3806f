"""``isolate: true``: the child, with the objective loaded, forks a process for each trial and itself evaluates none."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import traceback
from typing import TYPE_CHECKING, Any

from hpcho.worker import bond, streams
from hpcho.worker.evaluate import evaluate

if TYPE_CHECKING:
    from hpcho.objective.base import Objective
    from hpcho.worker.channel import Channel

__all__ = ["serve_forked"]


def serve_forked(objective: Objective, control: Channel, trials: Channel) -> None:
    """Evaluate each trial in a process of its own, until the parent says leave. Raises ChannelClosed."""
    gc.freeze()  # what is loaded now stays: a collection in a trial's process would copy its pages
    server = os.getpid()
    while (message := control.receive())[0] != "leave":
        if message[0] != "trial":
            continue
        trials.clear()  # a "stop" that came too late for the last trial
        streams.flush()
        pid = os.fork()
        if pid == 0:
            _be_trial(objective, message[1], trials, server)
        number = message[1]["number"]
        control.send(("forked", number, pid))
        _, status = os.waitpid(pid, 0)
        # what the trial has started goes with it
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
        control.send(("gone", number, os.waitstatus_to_exitcode(status)))


def _be_trial(objective: Objective, task: dict[str, Any], trials: Channel, server: int) -> None:
    """Evaluate in the forked process, and end it without the exit handlers, which are the server's."""
    code = 1
    try:
        os.setsid()
        bond.die_with(server)
        bond.deafen()
        answer, _ = evaluate(objective, task, trials)
        if answer[0] == "failed":
            answer[1]["spent"] = False  # it was this process's only trial, and the server is untouched
        trials.send(answer)
        code = 0
    except BaseException:  # noqa: BLE001 - nothing may return into the server's code
        traceback.print_exc(file=sys.stderr)
    finally:
        streams.flush()
        os._exit(code)
