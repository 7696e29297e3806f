"""Notices trials that nobody seems to work at, so that a driver does not wait for them in silence."""

from __future__ import annotations

import logging
import socket
import time
from typing import TYPE_CHECKING, Any

from hpcho.trial import Owner

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Silence"]

log = logging.getLogger("hpcho.compat")

SILENT_S = 60.0
"""hpcho's workers give a sign of life every 5 s."""
MUTE_S = 600.0
"""hyperopt's own workers give none while they evaluate: nobody can tell one that is gone from a long trial."""
REPEAT_S = 1800.0
"""The time from one warning to the next that says the same."""


class Silence:
    """What running trials looked like and when they last changed, by this process's own clock."""

    def __init__(self) -> None:
        self._since: dict[int, tuple[Any, float]] = {}
        self._warned: dict[str, float] = {}
        self._queued: frozenset[int] = frozenset()
        self._idle_since: float | None = None

    def look(self, unfinished: Sequence[Mapping[str, Any]]) -> None:
        """Warn of the owners of running trials that are gone or silent, and when nobody takes new ones."""
        now = time.monotonic()
        running = [document for document in unfinished if document["state"] == 1]
        known, self._since = self._since, {}
        for document in running:
            mark = (document["version"], document.get("refresh_time"), _beat(document))
            before = known.get(document["tid"])
            since = before[1] if before is not None and before[0] == mark else now
            self._since[document["tid"]] = (mark, since)
            trouble = _trouble(document, now - since)
            if trouble:
                self._warn(trouble, now)
        queued = frozenset(document["tid"] for document in unfinished if document["state"] == 0)
        self._look_at_queue(queued, bool(running), now)

    def _look_at_queue(self, queued: frozenset[int], is_running: bool, now: float) -> None:
        """Of a driver that looks rarely, trials may begin and end between two looks: they are not queued any more."""
        before, self._queued = self._queued, queued
        if not queued or is_running:
            self._idle_since = None
        elif self._idle_since is None or before - queued:
            self._idle_since = now
        elif now - self._idle_since > SILENT_S:
            self._warn("no worker takes the trials that wait: start some, with this exp_key and on this database", now)

    def _warn(self, text: str, now: float) -> None:
        if now - self._warned.get(text, -REPEAT_S) >= REPEAT_S:
            self._warned[text] = now
            log.warning("%s", text)


def _trouble(document: Mapping[str, Any], silent_s: float) -> str | None:
    """What seems to be wrong with a running trial's owner."""
    name, tid = ((document.get("owner") or ["nobody"])[0]), document["tid"]
    mend = f"if it is gone for good, MongoTrials.requeue([{tid}]) gives the trial to another"
    owner = _owner(name)
    if owner is not None and owner.host == socket.gethostname() and not owner.is_alive_here():
        return f"trial {tid}: its worker {name} is gone; MongoTrials.requeue([{tid}]) gives the trial to another"
    beats = _beat(document) is not None
    if silent_s < (SILENT_S if beats else MUTE_S):
        return None
    if beats:
        return f"trial {tid}: its worker {name} has given no sign of life for a minute; {mend}"
    return f"trial {tid}: nothing from its worker {name} for 10 minutes, as from hyperopt's own in a long trial; {mend}"


def _owner(name: str) -> Owner | None:
    host, _, pid = str(name).rpartition(":")
    return Owner(host, int(pid)) if host and pid.isdecimal() else None


def _beat(document: Mapping[str, Any]) -> Any:
    own = document.get("hpcho")
    return own.get("beat") if isinstance(own, dict) else None
