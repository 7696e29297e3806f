"""The child of a worker: loads the objective once and evaluates one trial after another.

    python -m hpcho.worker.child CONTROL_FD TRIALS_FD PARENT_PID

Messages from the parent: ("start", plan), then ("trial", task) each time, ("stop",) to a running trial, ("leave",).
To the parent: ("ready", takes_trial, unforkable) or ("broken", cause, text) once; what ``context`` and ``evaluate``
send; and with ``isolate`` ("forked", number, pid) and ("gone", number, code) around each trial. CONTROL is for this
process, TRIALS for whichever one evaluates a trial (the same socket where that is this one): a trial's process that is
killed in the middle of a message leaves the other conversation whole.

Starts light: only the objective decides what is imported here.
"""

from __future__ import annotations

import faulthandler
import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpcho import objective as objectives
from hpcho.worker import bond, faults, runtimes
from hpcho.worker.channel import Channel, ChannelClosed
from hpcho.worker.evaluate import evaluate
from hpcho.worker.output import Output

if TYPE_CHECKING:
    from hpcho.objective.base import Objective
    from hpcho.worker.channel import Message

__all__ = ["main"]


def main(control_fd: int, trials_fd: int, parent: int) -> None:
    """Serve the parent until it says leave, hangs up, or the objective has spoilt this process."""
    bond.die_with(parent)
    bond.offer_to_the_kernel()
    bond.deafen()
    os.register_at_fork(after_in_child=bond.hear_again)
    faulthandler.enable(file=2)
    control = _channel(control_fd)
    trials = control if trials_fd == control_fd else _channel(trials_fd)
    output = Output()
    try:
        _, plan = control.receive()
        objective, message = _load(plan)
        output.flush()
        control.send(message)
        if objective is None:
            return
        if plan["isolate"] and message[2] is None:
            from hpcho.worker.isolate import serve_forked  # noqa: PLC0415 - few experiments need it

            serve_forked(objective, control, trials, output)
        else:
            _serve(objective, control, trials, output)
    except ChannelClosed:
        pass  # the parent is gone: there is nobody to tell


def _channel(fd: int) -> Channel:
    os.set_inheritable(fd, False)
    return Channel(socket.socket(fileno=fd))


def _load(plan: dict[str, Any]) -> tuple[Objective | None, Message]:
    """The objective, imported and with its data; or None, and the message that says why not."""
    source = plan["source"]
    # `-m` has put the folder that hpcho itself lies in first; the user's own come first, as for a script
    package = sys.path[0]
    sys.path[0] = source
    if package not in sys.path:
        sys.path.append(package)
    sys.argv[1:] = []
    try:
        os.chdir(source)
        objective = objectives.load(plan["objective"], Path(source))
        objective.prepare()
    except BaseException as error:  # noqa: BLE001 - whatever the user's import does is told, and costs this process
        cause, text = faults.describe(error)
        return None, ("broken", cause.value, text)
    unforkable = runtimes.started() if plan["isolate"] else None
    # an objective that does not say so may look at the trial
    return objective, ("ready", getattr(objective, "takes_trial", True), unforkable)


def _serve(objective: Objective, control: Channel, trials: Channel, output: Output) -> None:
    while (message := control.receive())[0] != "leave":
        if message[0] == "trial":  # a "stop" that came too late for its trial is passed over
            answer, usable = evaluate(objective, message[1], trials, output)
            trials.send(answer)
            if not usable:
                return


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
