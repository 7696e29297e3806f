"""The controller's seat: at most one process decides for an experiment.

The seat is a record in the store, taken and kept by compare-and-set. On the same host the kernel says whether the
holder lives; of another host's holder the beat tells: one that does not change for LEASE_S has left. The comparison is
of counters, against this process's own monotonic clock.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from hpcho.standing import is_taken
from hpcho.trial import Owner

if TYPE_CHECKING:
    from hpcho.store import TrialStore

__all__ = ["LEASE_S", "Seat"]

BEAT_S = 2.0
LEASE_S = 20.0


class Seat:
    """One process's hold on the seat."""

    def __init__(self, store: TrialStore) -> None:
        self._store = store
        self._mine: dict[str, Any] | None = None
        self._beaten_at = 0.0

    def take(self, patience_s: float = 0.0) -> bool:
        """Take the seat if it is free; wait up to ``patience_s`` for another host's holder to show no life."""
        deadline = time.monotonic() + patience_s
        seen = self._store.get("seat")
        while seen is not None and is_taken(seen):
            if Owner.from_json(seen["owner"]).host == Owner.here().host or time.monotonic() >= deadline:
                return False
            time.sleep(0.5)
            now = self._store.get("seat")
            if now != seen:
                return False
            if time.monotonic() >= deadline:
                break
        mine = {"owner": Owner.here().to_json(), "beat": 0}
        if not self._store.put("seat", mine, expected=seen):
            return False
        self._mine, self._beaten_at = mine, time.monotonic()
        return True

    def keep(self) -> bool:
        """Show life, at most every BEAT_S; False when the seat was lost to another process."""
        if self._mine is None:
            return False
        now = time.monotonic()
        if now - self._beaten_at < BEAT_S:
            return True
        following = {**self._mine, "beat": self._mine["beat"] + 1}
        if not self._store.put("seat", following, expected=self._mine):
            self._mine = None
            return False
        self._mine, self._beaten_at = following, now
        return True

    def leave(self) -> None:
        """Give the seat up; harmless when it is not held."""
        if self._mine is not None:
            self._store.put("seat", None, expected=self._mine)
            self._mine = None
