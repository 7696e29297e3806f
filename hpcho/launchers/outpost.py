"""One host of ``launcher: ssh``: the connection to it, the agent at its other end, and what is known of its workers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import shlex
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import hpcho
from hpcho.launchers.login import Trouble
from hpcho.launchers.processes import exit_words
from hpcho.launchers.remote import EARLY_S, MARK, Answer, Ended, Order, Request

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from asyncssh import SSHClientConnection, SSHClientProcess

    from hpcho.jobdir import JobDir
    from hpcho.launchers.hosts import Host
    from hpcho.launchers.login import Door
    from hpcho.launchers.remote import Key

__all__ = ["Outpost"]

AGENT = "hpcho.launchers.remote"
"""The module that Python is told to run there."""
HELLO_S = 60.0
"""How long Python may take to start there, from a slow disk."""
ANSWER_S = 30.0
HANG_UP_S = 2.0
EARLY_EXITS = 3
"""So many workers in a row that could not work at all, and starting more is no use."""
STORE_AWAY = 3
"""A worker's exit code when it could not reach the store."""
PAUSE_S = 30.0
"""How long no worker is started where one could not be, while others work there."""
LAST_CHARS = 2000


class Outpost:
    """What is known of a host. Belongs to the loop; others may read its plain attributes."""

    def __init__(self, host: Host, door: Door, jobdir: JobDir, order: dict[str, Any], python: str) -> None:
        self.host = host
        self._door = door
        self._order = Order(host=host.line, log=f"workers-{re.sub(r'[^A-Za-z0-9_.-]', '_', host.line)}.log", **order)
        self.log = jobdir.logs / self._order.log
        self._python = python
        self._command = f"cd /; exec {_quoted(python)} -m {AGENT} {shlex.quote(str(jobdir.path))}"
        self.is_open = False
        self.is_tried = False
        self.trouble: Trouble | None = None
        """Why it is not in use; None too while it is tried for the first time."""
        self.has_proved = False
        """Whether a worker could work there."""
        self.is_finished = False
        """Whether its workers were all seen to leave."""
        self.hostname: str | None = None
        self.machine: str | None = None
        self._is_known = False
        """Whether it has told, since it was opened, what workers there are."""
        self.workers: frozenset[Key] = frozenset()
        self.released: frozenset[Key] = frozenset()
        self.starting = 0
        self.wake = asyncio.Event()
        self._early, self._last_early, self._is_store = 0, "", False
        self._started_at = self._not_before = 0.0
        self._number = 0
        self._connection: SSHClientConnection | None = None
        self._process: SSHClientProcess[str] | None = None
        self._said = ""
        self._reading: asyncio.Task[None] | None = None

    @property
    def live(self) -> int:
        """Workers that are there, and were not told to leave."""
        return len(self.workers - self.released)

    @property
    def may_start(self) -> bool:
        """Whether another worker may be started there now."""
        return self.is_open and self._is_known and time.monotonic() >= self._not_before

    @property
    def is_doubtful(self) -> bool:
        """Whether its last workers could not work, so that one at a time is tried."""
        return self._early == EARLY_EXITS - 1 and self.trouble is not None

    async def open(self) -> None:
        """Log in, and see whether workers can work there. Raises Trouble."""
        import asyncssh  # noqa: PLC0415 - an extra; and slow to import

        self._connection = await self._door.login(self.host)
        try:
            self._process = await self._connection.create_process(
                self._command, request_pty=False, encoding="utf-8", errors="replace"
            )
        except (asyncssh.Error, OSError) as error:
            raise Trouble(f"runs no commands ({error}): see `{self._door.command(self.host)} true`") from error
        self._said = ""
        self._reading = asyncio.ensure_future(self._read_errors(self._process))
        hello = await self._exchange(asdict(self._order), HELLO_S)
        if hello is None:
            raise await self._no_agent()
        there, here = hello["version"], hpcho.__version__
        if there != here:
            raise Trouble(f"has hpcho {there} in {self._python}: install {here} there, as it is here", lasting=True)
        if hello["trouble"]:
            raise Trouble(hello["trouble"], lasting=True)
        self.hostname, self.machine = hello["hostname"], hello["machine"]
        self.is_open = True

    async def ask(self, release: Collection[Key], kill: Collection[Key], start: int, about: Sequence[Key]) -> Answer:
        """Have things done there; see Request. Raises Trouble."""
        self._number += 1
        request = Request(self._number, sorted(release), sorted(kill), start, list(about))
        self.released |= frozenset(release)
        if start:
            self._started_at = time.monotonic()
        self.starting = start
        try:
            reply = await self._exchange(asdict(request), ANSWER_S)
        finally:
            self.starting = 0
        if reply is None:
            raise Trouble("has hung up")
        answer = _answer(reply)
        self._is_known, self.workers = True, frozenset(answer.workers)
        self.released &= self.workers
        return answer

    def judge(self, answer: Answer) -> str | None:
        """What an answer says of this host: a warning, if any. Raises Trouble when no worker can work there."""
        for ended in answer.ended:
            if ended.early is None:
                self._early, self.has_proved = 0, True
            else:
                self._early += 1
                self._last_early, self._is_store = self._early_words(ended), ended.code == STORE_AWAY
        if self.workers and time.monotonic() - self._started_at > EARLY_S:
            self._early, self.has_proved = 0, True
        if answer.trouble or (self._early >= EARLY_EXITS and self.workers):
            self._not_before = time.monotonic() + PAUSE_S
            return answer.trouble or self._last_early
        if self._early >= EARLY_EXITS:
            self._early = EARLY_EXITS - 1  # the next time, one is enough
            raise Trouble(self._last_early, lasting=not self._is_store)
        return None

    async def hang_up(self) -> None:
        """End the connection; the agent there leaves, workers stay."""
        import asyncssh  # noqa: PLC0415 - as in open

        was_open, self.is_open, self._is_known = self.is_open, False, False
        with contextlib.suppress(asyncio.TimeoutError, asyncssh.Error, OSError):
            if was_open and self._process is not None:
                self._process.stdin.write_eof()
                await asyncio.wait_for(self._process.wait(), HANG_UP_S)
        if self._reading is not None:
            self._reading.cancel()
        with contextlib.suppress(asyncio.TimeoutError, asyncssh.Error, OSError):
            if self._connection is not None:
                self._connection.close()
                await asyncio.wait_for(self._connection.wait_closed(), HANG_UP_S)
        self._connection = self._process = self._reading = None

    def _early_words(self, ended: Ended) -> str:
        last = f": the last lines of {self.log}:\n{ended.early}" if ended.early else f", see {self.log}"
        return f"has workers that end as soon as they start ({exit_words(ended.code)}){last}"

    async def _exchange(self, message: dict[str, Any], patience_s: float) -> dict[str, Any] | None:
        """One request and its reply; None when the other end has closed. Raises Trouble."""
        import asyncssh  # noqa: PLC0415 - as in open

        try:
            return await asyncio.wait_for(self._converse(message), patience_s)
        except asyncio.TimeoutError as error:
            raise Trouble(f"has given no answer for {patience_s:.0f} s") from error
        except (asyncssh.Error, OSError) as error:
            raise Trouble(f"has lost the connection ({error})") from error

    async def _converse(self, message: dict[str, Any]) -> dict[str, Any] | None:
        assert self._process is not None
        self._process.stdin.write(json.dumps(message) + "\n")
        while line := await self._process.stdout.readline():
            if line.startswith(MARK):  # else a login shell's greeting
                reply: dict[str, Any] = json.loads(line[len(MARK) :])
                return reply
        return None

    async def _read_errors(self, process: SSHClientProcess[str]) -> None:
        while text := await process.stderr.read(LAST_CHARS):
            self._said = (self._said + text)[-LAST_CHARS:]

    async def _no_agent(self) -> Trouble:
        """Why the agent has not even said hello."""
        assert self._process is not None
        done = await self._process.wait(check=False)
        assert self._reading is not None
        await asyncio.wait([self._reading], timeout=1.0)
        last = self._said.strip().rpartition("\n")[2]
        mend = "launcher.ssh.python names the Python of the hosts"
        if done.exit_status in (126, 127):
            return Trouble(f"has no Python at {self._python} ({last}): {mend}", lasting=True)
        if "No module named" in last:
            return Trouble(
                f"has no hpcho {hpcho.__version__} in {self._python} ({last}): install it there, or {mend}",
                lasting=True,
            )
        how = f"exit status {done.exit_status}" if done.exit_status is not None else f"signal {done.exit_signal}"
        return Trouble(f"cannot run {self._python} -m {AGENT} ({how}): {last or 'it said nothing'}", lasting=True)


def _quoted(python: str) -> str:
    """For a shell there, whose ``~`` is meant."""
    return f"~/{shlex.quote(python[2:])}" if python.startswith("~/") else shlex.quote(python)


def _answer(reply: dict[str, Any]) -> Answer:
    ended = [Ended((one["worker"][0], one["worker"][1]), one["code"], one["early"]) for one in reply["ended"]]
    return Answer(
        reply["number"],
        [(pid, started) for pid, started in reply["workers"]],
        [(pid, started) for pid, started in reply["gone"]],
        ended,
        reply["trouble"],
    )
