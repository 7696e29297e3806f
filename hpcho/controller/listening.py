"""How long running trials have been silent, by this process's own stopwatch: no two clocks are compared."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from hpcho.trial import Trial

__all__ = ["Listening"]


class Listening:
    """Hears the heartbeats of running trials, which come every ``heartbeat_s`` seconds."""

    def __init__(self, heartbeat_s: float) -> None:
        self._heartbeat_s = heartbeat_s
        self._listened_s, self._listened_at = 0.0, time.monotonic()
        self._heard: dict[int, tuple[int, int, float]] = {}

    def listen(self) -> None:
        """The store has answered. While it is away nobody can be heard: of such a time one heartbeat counts."""
        now = time.monotonic()
        self._listened_s += min(now - self._listened_at, self._heartbeat_s)
        self._listened_at = now

    def silent_s(self, trial: Trial) -> float:
        """For how long the trial has not changed."""
        heard = self._heard.get(trial.tid)
        if heard is None or heard[:2] != (trial.version, trial.beat):
            heard = self._heard[trial.tid] = (trial.version, trial.beat, self._listened_s)
        return self._listened_s - heard[2]

    def forget_others(self, running: Collection[int]) -> None:
        """Trials with other tids do not run any more."""
        self._heard = {tid: heard for tid, heard in self._heard.items() if tid in running}
