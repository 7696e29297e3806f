"""Workers on hosts that ssh reaches.

A thread of its own keeps a connection to every host, with an agent (``remote``) at its other end that starts, lists and
ends workers. The calls of the controller read what that thread knows and tell it what is wanted; they never wait. A
host that cannot be used is told of once, left out, and tried again.

Workers outlive connections and controllers. Each is known by its environment to the agent of the next controller, which
counts it and starts no other in its place. One that nobody calls away leaves when its run has ended, or after
IDLE_EXIT_S without a trial.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import sys
import threading
import time
from typing import TYPE_CHECKING

from hpcho.errors import LauncherError
from hpcho.launchers.base import Crew
from hpcho.launchers.hosts import files, read_hosts
from hpcho.launchers.login import Door, Trouble
from hpcho.launchers.outpost import Outpost
from hpcho.launchers.vigil import Vigil

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from hpcho.experiment.launchers import SshLauncher as SshSpec
    from hpcho.jobdir import JobDir
    from hpcho.launchers.remote import Key
    from hpcho.trial import Failure, Owner

__all__ = ["SshLauncher"]

log = logging.getLogger(__name__)

LOOK_S = 2.0
"""How often each host is asked how its workers are."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 2.0, 60.0
"""How long a host is left alone before it is tried again: twice as long each time."""
STEADY_S = 60.0
"""A host that was in use for so long is tried again soon when it is lost."""
FRESH_S = 3.0
"""A controller that has not said for so long how many workers it wants is not given more."""
PATIENCE_S = 10.0
"""How long hosts where workers of an earlier controller may be are waited for, before others get new ones."""
SILENT_BEATS = 2
HURRY_S = 0.5
"""A worker that has missed so many heartbeats is asked after at once, and so often."""
IDLE_EXIT_S = 600.0
LEAVE_S = 6.0
"""What a worker gets to leave in, beyond the grace of its trial."""
KILL_S = 12.0
"""How long ending what has not left, on every host, may take."""
SHOWN = 3
"""So many troubles are told in full."""


class SshLauncher:
    """Starts workers on the hosts of ``spec``, in the job directory that they all see.

    ``folder``: where relative paths in ``spec`` begin. ``uuid``: the experiment's, by which hosts know its job
    directory. ``heartbeat_s``: seconds between two signs of life of a running trial. ``grace_s``: what a trial gets to
    save its work in when it has to stop. ``entry``: what Python is given to be a worker, before the job directory.
    Raises ExperimentError for what is wrong in the files that ``spec`` names, LauncherError where asyncssh is not
    installed.
    """

    def __init__(
        self,
        spec: SshSpec,
        jobdir: JobDir,
        *,
        folder: Path,
        uuid: str,
        heartbeat_s: float,
        grace_s: float = 5.0,
        entry: Sequence[str] = ("-m", "hpcho.worker"),
    ) -> None:
        self._spec, self._jobdir = spec, jobdir
        self._heartbeat_s, self._grace_s = heartbeat_s, grace_s
        self._file, config = files(spec, folder)
        hosts = read_hosts(self._file)
        door = Door(config)
        order = {
            "uuid": uuid,
            "entry": list(entry),
            "options": ["--idle-exit", f"{IDLE_EXIT_S:g}"],
            "environment": {
                "HPCHO_GRACE_S": f"{grace_s:g}",
                **({"HPCHO_MEM_GB": f"{spec.mem_gb:g}"} if spec.mem_gb else {}),
            },
        }
        python = spec.python or sys.executable
        self._posts = [Outpost(host, door, jobdir, order, python) for host in hosts]
        self._vigil = Vigil(self._posts, heartbeat_s)
        self._earlier = {post for post in self._posts if post.log.exists()}
        """Where workers may be that an earlier controller has started."""
        self._wanted, self._wanted_at = 0, -math.inf
        self._owners: frozenset[Owner] = frozenset()
        self._worked: set[tuple[str | None, int, int]] = set()
        self._is_releasing = False
        self._left = ""
        self._began_at = time.monotonic()
        self._hurried_at, self._closed_at = -math.inf, math.inf
        self._closing = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="hpcho-ssh", daemon=True)
        self._thread.start()

    # -- what the controller calls: reads, and wishes -----------------------------------------------------------------

    @property
    def capacity(self) -> int:
        """How many workers the hosts in use take, those included that are being tried for the first time."""
        return self._spec.workers_per_host * len(self._hopeful())

    @property
    def notice(self) -> str | None:
        """Which hosts are not in use and why; after ``close``, where workers may be left."""
        troubled = [post for post in self._posts if post.trouble is not None]
        if self._left or not troubled:
            return self._left or None
        words = "; ".join(f"{post.host} {post.trouble}" for post in troubled[:SHOWN])
        more = f"; and {len(troubled) - SHOWN} more, see the log" if len(troubled) > SHOWN else ""
        verb = "is" if len(troubled) == 1 else "are"
        return f"{len(troubled)} of {len(self._posts)} hosts {verb} not in use and will be tried again: {words}{more}"

    @property
    def crew(self) -> Crew:
        """Workers on hosts that answer."""
        there = {(post.hostname, *key) for post in self._posts if post.is_open for key in post.workers - post.released}
        free = there - {(owner.host, owner.pid, owner.started) for owner in self._owners}
        idle = len(free & self._worked)
        return Crew(idle=idle, starting=len(free) - idle + sum(post.starting for post in self._posts))

    def top_up(self, wanted: int, owners: Collection[Owner]) -> None:
        """Have ``wanted`` workers. Raises LauncherError when none of the hosts can be used, and none ever could."""
        self._owners = frozenset(owners)
        self._worked |= {(owner.host, owner.pid, owner.started) for owner in owners}
        self._vigil.keep(self._owners)
        is_more = wanted > self._wanted or time.monotonic() - self._wanted_at > FRESH_S
        self._wanted, self._wanted_at = wanted, time.monotonic()
        if wanted > 0:
            self._is_releasing = False
        troubles = [(post, post.trouble) for post in self._posts if post.trouble is not None and not post.has_proved]
        if len(troubles) == len(self._posts) and all(trouble.lasting for _, trouble in troubles):
            words = "\n".join(f"  {post.host} {trouble}" for post, trouble in troubles)
            raise LauncherError(f"none of the hosts in {self._file} can be used:\n{words}")
        if is_more:
            self._wake()

    def death_of(self, owner: Owner, silent_s: float) -> Failure | None:
        """Its host's kernel says so; where that cannot be asked and the worker is silent too, the network is to blame.

        A worker that runs but has been silent for long (its store is out of its reach, or it was suspended) is ended.
        """
        failure = self._vigil.death_of(owner, silent_s)
        now = time.monotonic()
        if failure is None and silent_s > SILENT_BEATS * self._heartbeat_s and now - self._hurried_at > HURRY_S:
            self._hurried_at = now
            self._wake()
        return failure

    def is_watching(self, owner: Owner) -> bool:
        """Whether it is one of ours, on a host that answers."""
        return self._vigil.is_watching(owner)

    def release(self) -> None:
        """SIGTERM to every worker: it gives its trial back and leaves."""
        self._wanted, self._is_releasing = 0, True
        self._wake()

    def close(self) -> None:
        """Release all workers, wait for them, kill what is left with its children, and hang up."""
        if not self._thread.is_alive():
            return
        self._closed_at = time.monotonic()
        self._wanted, self._is_releasing = 0, True
        with contextlib.suppress(RuntimeError):  # the loop has ended by itself
            self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join(self._kill_at - self._closed_at + 2 * KILL_S)
        left = [str(post.host) for post in self._posts if post in self._earlier and not post.is_finished]
        if left:
            self._left = (
                f"not all workers were seen to leave ({', '.join(left)}): those still there leave by themselves, when "
                f"they see that the run is over or after {IDLE_EXIT_S / 60:.0f} min without a trial"
            )
            log.warning(self._left)

    # -- what is known ------------------------------------------------------------------------------------------------

    @property
    def _kill_at(self) -> float:
        """When what has not left is killed."""
        return self._closed_at + self._grace_s + LEAVE_S

    def _hopeful(self) -> list[Outpost]:
        return [post for post in self._posts if post.trouble is None or post.is_doubtful]

    # -- the thread ---------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._tend_all())
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
        finally:
            self._loop.close()

    def _wake(self) -> None:
        """Have every host asked now."""

        def wake() -> None:
            for post in self._posts:
                post.wake.set()

        with contextlib.suppress(RuntimeError):  # after close
            self._loop.call_soon_threadsafe(wake)

    async def _tend_all(self) -> None:
        tasks = {asyncio.ensure_future(self._tend(post)): post for post in self._posts}
        await self._closing.wait()
        for task, post in tasks.items():
            post.wake.set()
            if not post.is_open and post not in self._earlier:
                task.cancel()
        await asyncio.wait(tasks, timeout=max(self._kill_at - time.monotonic(), 0.0) + KILL_S)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _tend(self, post: Outpost) -> None:
        """Keep one host in use, until all is to end."""
        pause_s = FIRST_PAUSE_S
        while True:
            tried_at = time.monotonic()
            try:
                await post.open()
                return await self._serve(post)
            except Trouble as trouble:
                self._set_aside(post, trouble)
            except Exception as error:
                log.exception("%s", post.host)
                self._set_aside(post, Trouble(f"cannot be used: {type(error).__name__}: {error}"))
            finally:
                await post.hang_up()
            if tried_at >= self._closed_at:
                return None  # it was tried once more
            pause_s = FIRST_PAUSE_S if time.monotonic() - tried_at > STEADY_S else pause_s
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._closing.wait(), pause_s)
                if post not in self._earlier:
                    return None
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _serve(self, post: Outpost) -> None:
        """Look at an open host now and then: first to see who is there, before anybody is started. Raises Trouble."""
        await self._look(post)
        while not self._closing.is_set():
            post.wake.clear()
            await self._look(post)
            if not post.is_doubtful and (post.trouble is not None or not post.is_tried):
                log.info("%s is in use", post.host)
                post.trouble, post.is_tried = None, True
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(post.wake.wait(), LOOK_S)
        while True:
            await self._look(post)
            if not post.workers:
                break
            if time.monotonic() >= self._kill_at:
                log.warning("%s: killing %s that did not leave", post.host, _counted(len(post.workers)))
                await self._look(post, kill=post.workers)
                break
            await asyncio.sleep(0.2)
        post.is_finished = not post.workers

    async def _look(self, post: Outpost, kill: Collection[Key] = ()) -> None:
        """One request: what is to be done at a host, and how its workers are. Raises Trouble."""
        start = self._due(post)
        if start:
            log.info("starting %s on %s", _counted(start), post.host)
            self._earlier.add(post)
        answer = await post.ask(
            release=post.workers - post.released if self._is_releasing else (),
            kill=[*kill, *self._vigil.unheard(post)],
            start=start,
            about=self._vigil.about(post),
        )
        self._vigil.note(post, answer)
        warning = post.judge(answer)
        if warning:
            log.warning("%s %s", post.host, warning)

    def _set_aside(self, post: Outpost, trouble: Trouble) -> None:
        """Leave a host out; say so when that is news."""
        post.is_tried = True
        if str(post.trouble) != str(trouble):
            log.warning("%s %s", post.host, trouble)
        post.trouble = trouble

    def _due(self, post: Outpost) -> int:
        """How many workers to start at a host now, so that all get about as many."""
        if self._is_releasing or not post.may_start or time.monotonic() - self._wanted_at > FRESH_S:
            return 0
        if any(not one.is_tried for one in self._earlier) and time.monotonic() - self._began_at < PATIENCE_S:
            return 0
        hosts = max(len(self._hopeful()), 1)
        missing = self._wanted - sum(self._count(one) for one in self._posts)
        most = 1 if post.is_doubtful else self._spec.workers_per_host
        share = min(math.ceil(self._wanted / hosts), most)
        return max(min(missing, share - post.live), 0)

    def _count(self, post: Outpost) -> int:
        """Workers of a host that stand for work; where it cannot be asked, those that hold a trial."""
        if post.is_open:
            return post.live + post.starting
        return sum(owner.host == post.hostname and (owner.pid, owner.started) in post.workers for owner in self._owners)


def _counted(workers: int) -> str:
    return "1 worker" if workers == 1 else f"{workers} workers"
