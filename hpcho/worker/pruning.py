"""Whether the trial at hand is given up, by the cutoffs that the controller keeps in the store."""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING, Any

from hpcho.errors import StoreError
from hpcho.pruners import Judge

if TYPE_CHECKING:
    from hpcho.pruners import Rule
    from hpcho.store import TrialStore
    from hpcho.trial import Report, Trial

__all__ = ["Pruning"]

log = logging.getLogger(__name__)


class Pruning:
    """One trial's. ``max_age_s``: how old what is known of the cutoffs may be, unless a milestone was just reached."""

    def __init__(self, rule: Rule, trial: Trial, store: TrialStore, max_age_s: float) -> None:
        self._judge = Judge(rule, trial)
        self._tid = trial.tid
        self._store = store
        self._max_age_s = max_age_s
        self._read_at = -math.inf
        self._record: dict[str, Any] | None = None
        self._has_given_up = False
        self.is_at_milestone = False
        """Whether a milestone was reached since the last question: the store must hear of it first."""

    def hear(self, report: Report) -> None:
        """Take in a report of the trial's."""
        self.is_at_milestone = self._judge.hear(report) or self.is_at_milestone

    def gives_up(self) -> bool:
        """Whether the trial is not worth going on. Once that is so, it stays so; a store that is away ends no trial."""
        if not self._has_given_up and self._judge.is_open:
            self._read(0.0 if self.is_at_milestone else self._max_age_s)
            self._has_given_up = self._judge.gives_up(self._record)
            if self._has_given_up:
                log.info("trial %d is pruned", self._tid)
        self.is_at_milestone = False
        return self._has_given_up

    def _read(self, max_age_s: float) -> None:
        now = time.monotonic()
        if now - self._read_at < max_age_s:
            return
        self._read_at = now
        try:
            self._record = self._store.get("cutoffs")
        except StoreError as error:
            log.warning("trial %d: the cutoffs cannot be read for now: %s; it goes on", self._tid, error)
