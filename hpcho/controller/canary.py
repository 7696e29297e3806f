"""One worker goes first: what cannot work fails once, cheaply, before a whole array of jobs does."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from hpcho.trial import TrialState

if TYPE_CHECKING:
    from hpcho.standing import Ledger

__all__ = ["Canary"]

GOING_S = 120.0
"""A trial that has been evaluated for so long is going well: a first trial may take hours, and the others not wait."""


class Canary:
    """Holds the other workers back until a trial has ended well, has reported a loss, or has run for a while."""

    def __init__(self, *, is_wanted: bool) -> None:
        self._has_passed = not is_wanted
        self._seen: dict[tuple[int, int], float] = {}

    def has_passed(self, ledger: Ledger) -> bool:
        """Whether the others may come."""
        if not self._has_passed:
            self._has_passed = ledger.states[TrialState.DONE] > 0 or self._is_going(ledger)
        return self._has_passed

    def _is_going(self, ledger: Ledger) -> bool:
        now = time.monotonic()
        running = ledger.running.values()
        self._seen = {(t.tid, t.version): self._seen.get((t.tid, t.version), now) for t in running}
        return any(trial.reports for trial in running) or any(now - since >= GOING_S for since in self._seen.values())
