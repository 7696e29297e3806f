"""The child of a worker: loads the objective once and evaluates one trial after another.

    python -m hpcho.worker.child PARENT_PID child CONTROL_FD [TRIALS_FD]
    python -m hpcho.worker.child PARENT_PID stem FD                         what children are forked from, see ``stem``

Messages from the parent: ("start", plan), then ("trial", task) each time, ("stop",) to a running trial, ("leave",).
To the parent: ("ready", takes_trial, unforkable) or ("broken", cause, text) once; what ``context`` and ``evaluate``
send; and with ``isolate`` ("forked", number, pid) and ("gone", number, code) around each trial. CONTROL is for this
process, TRIALS for whichever one evaluates a trial (the same socket where that is this one): a trial's process that is
killed in the middle of a message leaves the other conversation whole.

Starts light: only the objective decides what is imported here.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hpcho.objective.python  # noqa: F401 - what most children need, so that a stem has it once for all
from hpcho import objective as objectives
from hpcho.worker import bond, faults, runtimes, streams
from hpcho.worker.channel import Channel, ChannelClosed
from hpcho.worker.evaluate import evaluate

if TYPE_CHECKING:
    from hpcho.objective.base import Objective
    from hpcho.worker.channel import Message

__all__ = ["be_child", "be_stem", "main"]


def main(parent: int, role: str, *fds: int) -> None:
    """Be what ``role`` says for the process ``parent``, and go with it."""
    bond.die_with(parent)
    bond.offer_to_the_kernel()
    bond.deafen()
    if role == "stem":
        be_stem(*fds)
    else:
        be_child(*fds)


def be_stem(fd: int) -> None:
    """Fork a child for each request, one after another, until the parent hangs up. Returns in each child, at its end.

    A request is one byte with the child's file descriptors. To the parent: ("started", pid), later ("gone", code); or
    ("refused", (errno, text)).
    """
    stem = os.getpid()
    gc.freeze()  # a collection in a child would copy the pages of what is loaded now
    end = socket.socket(fileno=fd)
    end.set_inheritable(False)
    channel = Channel(end)
    while fds := socket.recv_fds(end, 1, 2)[1]:
        try:
            pid = os.fork()
        except OSError as error:
            pid = -1
            channel.send(("refused", (error.errno, error.strerror)))
        if pid == 0:
            end.close()
            os.setsid()
            bond.die_with(stem)
            be_child(*fds)
            return
        for each in fds:
            os.close(each)
        if pid > 0:
            channel.send(("started", pid))
            channel.send(("gone", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])))


def be_child(control_fd: int, trials_fd: int | None = None) -> None:
    """Serve the parent until it says leave, hangs up, or the objective has spoilt this process."""
    os.register_at_fork(after_in_child=bond.hear_again)
    faulthandler.enable(file=2)
    control = _channel(control_fd)
    trials = control if trials_fd is None else _channel(trials_fd)
    streams.settle()
    try:
        _, plan = control.receive()
        objective, message = _load(plan)
        streams.flush()
        control.send(message)
        if objective is None:
            return
        if plan["isolate"] and message[2] is None:
            from hpcho.worker.isolate import serve_forked  # noqa: PLC0415 - few experiments need it

            serve_forked(objective, control, trials)
        else:
            _serve(objective, control, trials)
    except ChannelClosed as error:
        # in vain where the parent is gone; it is there where the objective has closed what was not its own
        sys.exit(
            f"no connection to the worker: {error}. Does the objective close file descriptors that it has not opened?"
        )


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
        objective = _found(plan["objective"], Path(source))
        objective.prepare()
    except BaseException as error:  # noqa: BLE001 - whatever the user's import does is told, and costs this process
        cause, text = faults.describe(error)
        return None, ("broken", cause.value, text)
    unforkable = runtimes.started() if plan["isolate"] else None
    # an objective that does not say so may look at the trial
    return objective, ("ready", objective.takes_trial, unforkable)


def _found(spec: dict[str, Any], source: Path) -> Objective:
    if "fmin" in spec:
        from hpcho.worker.domain import DomainObjective  # noqa: PLC0415 - only hyperopt's own fmin needs it

        return DomainObjective(Path(spec["fmin"]))
    return objectives.load(spec, source)


def _serve(objective: Objective, control: Channel, trials: Channel) -> None:
    while (message := control.receive())[0] != "leave":
        if message[0] == "trial":  # a "stop" that came too late for its trial is passed over
            answer, usable = evaluate(objective, message[1], trials)
            trials.send(answer)
            if not usable:
                return


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:]))
