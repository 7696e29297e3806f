"""Publishes the cutoffs that workers prune by, and has paused trials go on once they are among the best."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from hpcho import checkpoints
from hpcho.pruners import Peers, rule_of
from hpcho.trial import Draft, TrialState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcho.experiment.schema import PrunerSpec
    from hpcho.jobdir import JobDir
    from hpcho.store import TrialStore
    from hpcho.trial import Trial

__all__ = ["Pruning"]

log = logging.getLogger(__name__)


class Pruning:
    """The controller's part of the pruner; everything it knows it has from the trials."""

    def __init__(self, spec: PrunerSpec, jobdir: JobDir, store: TrialStore) -> None:
        rule = rule_of(spec)
        self._peers = None if rule is None else Peers(rule)
        self._jobdir = jobdir
        self._store = store
        self._told: dict[str, Any] | None = None
        self._has_news = True

    @property
    def is_on(self) -> bool:
        """Whether there is a pruner."""
        return self._peers is not None

    def apply(self, changed: Sequence[Trial]) -> None:
        """Take in changed trials. Safe to repeat."""
        if self._peers is None:
            return
        self._peers.learn(changed)
        self._has_news = True
        for trial in changed:
            if trial.parent is not None and trial.state in (TrialState.DONE, TrialState.ERROR):
                checkpoints.discard(self._jobdir.trial(trial.parent))

    def publish(self) -> None:
        """Tell the workers what they do not know yet. Raises StoreError."""
        if self._peers is None or not self._has_news:
            return
        record = self._peers.record()
        if record != self._told:
            self._store.put("cutoffs", record)
            self._told = record
        self._has_news = False

    def promoted(self, most: int) -> list[Draft]:
        """Up to so many trials that go on where paused ones are."""
        if self._peers is None:
            return []
        drafts: list[Draft] = []
        left: list[Trial] = []
        for trial in self._peers.promotable():
            if len(drafts) >= most:
                break
            if checkpoints.has_work(self._jobdir.trial(trial.tid)):
                drafts.append(Draft(trial.vals, "promoted", trial.tid, trial.reports))
            else:
                left.append(trial)
                log.info("trial %d could be promoted, but has saved nothing to go on from", trial.tid)
        for trial in left:
            self._peers.leave(trial)
        return drafts

    def conclude(self) -> None:
        """The run is over, and nobody promotes the paused trials any more: remove what Keras has saved for that."""
        for trial in self._peers.paused if self._peers is not None else ():
            checkpoints.discard(self._jobdir.trial(trial.tid))
