"""What runs on a host of ``launcher: ssh`` while the controller is connected: it starts, finds and ends workers there.

``python -m hpcho.launchers.remote JOB_DIR`` is started through ssh. Requests come as lines of JSON on its standard
input, the first of them an Order; each has an answer on standard output, a line that begins with MARK, because what a
login shell greets with may stand there too. It leaves with the connection. The workers stay: each runs in a session of
its own, and is known by its environment, so that the next one finds it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

import hpcho
from hpcho.errors import UsageError
from hpcho.jobdir import JobDir
from hpcho.launchers.processes import kill_strays
from hpcho.trial import Owner, start_ticks

__all__ = ["MARK", "Answer", "Key", "Order", "Request"]

Key = tuple[int, int]
"""A process of this host: its pid, and its start time in clock ticks since boot."""

MARK = "hpcho-remote:"
QUIET_S = 180
"""Without a word from the launcher for so long, the connection is dead, whatever the network says."""
EARLY_S = 10.0
"""A worker that ends with an error sooner than this after its start could not work at all."""
KILLED_S = 5.0
"""How long what was killed may take to go."""
LAST_BYTES, LAST_LINES = 4000, 8


@dataclass(frozen=True)
class Order:
    """What a connection begins with: whose workers these are, and how they are started.

    ``entry``: what Python is given before the job directory. ``host``: the line of the hosts file, which tells two
    names of one machine apart. ``options`` follow the job directory, ``environment`` is set for the worker.
    """

    uuid: str
    host: str
    log: str
    entry: list[str]
    options: list[str]
    environment: dict[str, str]


@dataclass(frozen=True)
class Request:
    """What is to be done, in this order; an answer tells how things are then.

    ``release``: SIGTERM. ``kill``: SIGKILL, and to all that they have started. ``ask``: whether they are alive,
    whoever started them.
    """

    number: int
    release: list[Key] = field(default_factory=list)
    kill: list[Key] = field(default_factory=list)
    start: int = 0
    ask: list[Key] = field(default_factory=list)


@dataclass(frozen=True)
class Ended:
    """A worker that this process has started. ``early``: it could not work at all, and why."""

    worker: Key
    code: int
    early: str | None = None


@dataclass(frozen=True)
class Answer:
    """The workers that are alive here; what is not known of others is left out."""

    number: int
    workers: list[Key]
    gone: list[Key]
    """Of those asked for."""
    ended: list[Ended]
    """Since the last answer."""
    trouble: str | None = None
    """Why a worker could not be started."""


class Agent:
    """Answers requests. ``jobdir`` as the launcher names it."""

    def __init__(self, jobdir: JobDir, order: Order) -> None:
        self._jobdir, self._order = jobdir, order
        self._log = jobdir.logs / order.log
        self._started: dict[Key, tuple[subprocess.Popen[bytes], float, int]] = {}
        self._seen: set[Key] | None = None
        self._sent_away: set[Key] = set()

    def hello(self) -> dict[str, Any]:
        """Where this is, and what keeps workers from working here."""
        return {
            "version": hpcho.__version__,
            "hostname": socket.gethostname(),
            "machine": _machine(),
            "trouble": self._trouble(),
        }

    def answer(self, request: Request) -> Answer:
        """Do it."""
        for key in request.release:
            _send(key, signal.SIGTERM)
        if request.kill:
            self._kill(request.kill)
        trouble = self._start(request.start) if request.start else None
        ended = self._collect()
        workers = self._find()
        if self._seen is None or self._seen - workers:
            kill_strays(self._jobdir)  # whoever was killed from outside could not tell its own children
        self._seen = workers
        here = socket.gethostname()
        gone = [key for key in request.ask if not Owner(here, *key).is_alive_here()]
        return Answer(request.number, sorted(workers), gone, ended, trouble)

    def _trouble(self) -> str | None:
        """What is wrong with the job directory as this host sees it."""
        path = self._jobdir.path
        mend = "all hosts must see it under this path: set job_dir to a folder on a file system that they share"
        try:
            record = self._jobdir.read_record()
        except (OSError, UsageError) as error:
            return f"cannot read the job directory {path} ({error}); {mend}"
        if record is None:
            return f"does not see the job directory {path}; {mend}"
        if record["uuid"] != self._order.uuid:
            return f"has another experiment's job directory at {path}; {mend}"
        try:
            self._jobdir.logs.mkdir(exist_ok=True)
            self._log.open("ab").close()
        except OSError as error:
            return f"cannot write to the job directory ({error}): see who may, and how it is mounted there"
        return None

    def _start(self, count: int) -> str | None:
        """Start workers; what kept it from that."""
        order = self._order
        argv = [sys.executable, *order.entry, str(self._jobdir.path), *order.options]
        for _ in range(count):
            try:
                with self._log.open("ab") as output:
                    begin = output.tell()
                    process = subprocess.Popen(
                        argv,
                        stdin=subprocess.DEVNULL,
                        stdout=output,
                        stderr=output,
                        cwd=self._jobdir.path,
                        env=self._environment(),
                        start_new_session=True,
                    )
            except OSError as error:
                return f"cannot start a worker ({error})"
            self._started[process.pid, start_ticks(process.pid) or 0] = process, time.monotonic(), begin
        return None

    def _environment(self) -> dict[str, str]:
        """A worker's. Programs that an objective starts are found beside this Python: ssh gives a bare PATH."""
        order, path = self._order, os.environ.get("PATH", os.defpath)
        beside = str(Path(sys.executable).parent)
        return {
            **os.environ,
            **order.environment,
            "PATH": path if beside in path.split(os.pathsep) else f"{beside}{os.pathsep}{path}",
            "HPCHO_JOB_DIR": str(self._jobdir.path),
            "HPCHO_SSH_HOST": order.host,
            "HPCHO_UUID": order.uuid,
        }

    def _find(self) -> set[Key]:
        """The workers that were started here for this line of the hosts file, by whatever controller."""
        found = {key for key in self._started if self._is_there(key)}
        for process in psutil.process_iter():
            try:
                environment = process.environ() if process.uids().real == os.getuid() else {}
                leads = environment.get("HPCHO_SSH_HOST") == self._order.host and os.getsid(process.pid) == process.pid
            except (psutil.Error, OSError):
                continue
            # what a worker starts inherits these, and has HPCHO_WORKER besides
            ours = environment.get("HPCHO_JOB_DIR") == str(self._jobdir.path) and "HPCHO_WORKER" not in environment
            started = start_ticks(process.pid) if leads and ours else None
            if started is None:
                continue
            key = process.pid, started
            if environment.get("HPCHO_UUID") == self._order.uuid:
                found.add(key)
            elif key not in self._sent_away:  # of a run that was archived since
                self._sent_away.add(key)
                _send(key, signal.SIGTERM)
        return found

    def _collect(self) -> list[Ended]:
        """What has ended since the last time."""
        ended = []
        for key, (process, started_at, begin) in list(self._started.items()):
            code = process.poll()
            if code is None:
                continue
            del self._started[key]
            is_early = code > 0 and time.monotonic() - started_at <= EARLY_S
            ended.append(Ended(key, code, self._last_lines(begin) if is_early else None))
        return ended

    def _last_lines(self, begin: int) -> str:
        """The end of what workers have written since one was started."""
        try:
            with self._log.open("rb") as file:
                end = file.seek(0, os.SEEK_END)
                file.seek(max(begin, end - LAST_BYTES))
                text = file.read().decode("utf-8", "replace")
        except OSError as error:
            return str(error)
        return "\n".join(text.strip().splitlines()[-LAST_LINES:])

    def _kill(self, keys: list[Key]) -> None:
        for key in keys:
            _send(key, signal.SIGKILL)
        deadline = time.monotonic() + KILLED_S
        while any(map(self._is_there, keys)) and time.monotonic() < deadline:
            time.sleep(0.02)
        kill_strays(self._jobdir)

    def _is_there(self, key: Key) -> bool:
        """Once its first thread has ended a process is a zombie, and is not to be waited for before the others end."""
        if key in self._started:
            return self._started[key][0].poll() is None
        return start_ticks(key[0]) == key[1]


def _send(key: Key, number: int) -> None:
    """Signal this very process, not another with its pid."""
    if start_ticks(key[0]) == key[1]:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(key[0], number)


def _machine() -> str:
    """What two machines, or two boots of one, or two containers, never share, though they may share a host name."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}:{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:  # no Linux
        return str(int(psutil.boot_time()))


def main() -> int:
    """Answer until there are no more requests."""
    agent = None
    with contextlib.suppress(BrokenPipeError):
        for line in sys.stdin:
            signal.alarm(QUIET_S)
            message = json.loads(line)
            if agent is None:
                agent = Agent(JobDir(Path(sys.argv[1])), Order(**message))
                reply = agent.hello()
            else:
                for name in ("release", "kill", "ask"):
                    message[name] = [(pid, started) for pid, started in message[name]]
                reply = _plain(agent.answer(Request(**message)))
            sys.stdout.write(f"{MARK}{json.dumps(reply)}\n")
            sys.stdout.flush()
    return 0


def _plain(answer: Answer) -> dict[str, Any]:
    return {**vars(answer), "ended": [vars(ended) for ended in answer.ended]}


if __name__ == "__main__":
    sys.exit(main())
