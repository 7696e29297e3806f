"""Which workers of ssh hosts are gone: what their hosts' kernels say and, where those cannot be asked, silence."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from hpcho.launchers.processes import exit_words
from hpcho.trial import Cause, Failure

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from hpcho.launchers.outpost import Outpost
    from hpcho.launchers.remote import Answer, Key
    from hpcho.trial import Owner

__all__ = ["Vigil"]

log = logging.getLogger(__name__)

LOST_BEATS = 10
"""A worker is given up after so many silent heartbeats, where its host cannot be asked."""
MUTE_BEATS = 3
"""One that runs and is silent is watched for so many more, by this process's own clock, before it is ended."""


class Vigil:
    """Answers the controller's thread from what the hosts have told; the loop asks them and notes what they say."""

    def __init__(self, posts: Sequence[Outpost], heartbeat_s: float) -> None:
        self._posts = posts
        self._heartbeat_s = heartbeat_s
        self._asked: dict[Owner, None] = {}
        self._gone: dict[Owner, set[str | None]] = {}
        self._codes: dict[tuple[str, Key], int] = {}
        self._mute: dict[Owner, float] = {}
        self._unheard: frozenset[tuple[str, Key]] = frozenset()

    # -- for the controller's thread ----------------------------------------------------------------------------------

    def keep(self, owners: Collection[Owner]) -> None:
        """Forget all others."""
        self._asked = {owner: None for owner in self._asked if owner in owners}
        self._mute = {owner: since for owner, since in self._mute.items() if owner in owners}

    def death_of(self, owner: Owner, silent_s: float) -> Failure | None:
        """See Launcher.death_of. One that runs but has been silent for long is ended, and then gone for sure."""
        machines = self._machines(owner.host)
        if not machines or owner.is_silent:
            return None
        if machines <= self._gone.get(owner, set()):
            return self._death(owner)
        self._asked[owner] = None
        is_lost = silent_s >= LOST_BEATS * self._heartbeat_s
        if not self._is_answering(owner.host):
            return self._vanished(owner, silent_s) if is_lost else None
        if is_lost and self.is_watching(owner):
            self._bear_silence(owner, silent_s)
        else:
            self._mute.pop(owner, None)
        return None

    def is_watching(self, owner: Owner) -> bool:
        """Whether it is one of ours, on a host that answers."""
        return self._is_answering(owner.host) and any(
            post.hostname == owner.host and _key(owner) in post.workers for post in self._posts
        )

    def _machines(self, hostname: str) -> set[str | None]:
        """The machines of that name: two that share one are told apart."""
        return {post.machine for post in self._posts if post.hostname == hostname}

    def _is_answering(self, hostname: str) -> bool:
        """Whether there are machines of that name, and all can be asked."""
        machines = self._machines(hostname)
        return bool(machines) and machines == {
            post.machine for post in self._posts if post.hostname == hostname and post.is_open
        }

    def _death(self, owner: Owner) -> Failure:
        if (owner.host, _key(owner)) in self._unheard:
            return Failure(Cause.NODE, f"the worker process {owner} ran, but gave no sign of life, and was ended")
        code = self._codes.get((owner.host, _key(owner)))
        how = "" if code is None else f", {exit_words(code)}"
        return Failure(Cause.NODE, f"the worker process {owner} is gone{how}")

    def _vanished(self, owner: Owner, silent_s: float) -> Failure:
        troubles = {
            f"{post.host} {post.trouble}" for post in self._posts if post.hostname == owner.host and post.trouble
        }
        why = f" ({'; '.join(sorted(troubles))})" if troubles else ""
        return Failure(
            Cause.NETWORK, f"no sign of life from the worker {owner} for {silent_s:.0f} s, and its host is away{why}"
        )

    def _bear_silence(self, owner: Owner, silent_s: float) -> None:
        """The store may have been away for all of us: only silence that goes on before our eyes counts."""
        now = time.monotonic()
        one = owner.host, _key(owner)
        if now - self._mute.setdefault(owner, now) >= MUTE_BEATS * self._heartbeat_s and one not in self._unheard:
            log.warning("the worker %s runs but has given no sign of life for %.0f s: ending it", owner, silent_s)
            self._unheard |= {one}

    # -- for the loop -------------------------------------------------------------------------------------------------

    def about(self, post: Outpost) -> list[Key]:
        """Whom a host is to be asked about."""
        return [_key(owner) for owner in list(self._asked) if owner.host == post.hostname]

    def unheard(self, post: Outpost) -> list[Key]:
        """Which of its workers are to be ended, because they run and give no sign of life."""
        return [key for key in post.workers if (post.hostname, key) in self._unheard]

    def note(self, post: Outpost, answer: Answer) -> None:
        """What a host has said."""
        assert post.hostname is not None
        for ended in answer.ended:
            self._codes[post.hostname, ended.worker] = ended.code
        gone = set(answer.gone)
        for owner in list(self._asked):
            if owner.host == post.hostname and _key(owner) in gone:
                self._gone.setdefault(owner, set()).add(post.machine)


def _key(owner: Owner) -> Key:
    return owner.pid, owner.started
