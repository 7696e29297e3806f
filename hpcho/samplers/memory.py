"""Trials as arrays, so that a sampler need not look at each of them again for each suggestion."""

from __future__ import annotations

from enum import IntEnum
from operator import is_not
from typing import TYPE_CHECKING

import numpy as np

from hpcho.trial import FAILURES, Trial, TrialState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcho.samplers.coordinates import Coordinates

__all__ = ["Kind", "Memory"]


class Kind(IntEnum):
    """What a trial says about its point."""

    NOTHING = 0
    """It was cancelled, or the infrastructure failed."""
    PENDING = 1
    LOSS = 2
    BAD = 3
    """It failed for a reason that may lie in its params, or has no finite loss."""

    @classmethod
    def of(cls, trial: Trial) -> Kind:
        """The kind of a trial as it is."""
        if trial.state in (TrialState.NEW, TrialState.RUNNING):
            return cls.PENDING
        if trial.state is TrialState.DONE:
            return cls.LOSS if trial.loss is not None and np.isfinite(trial.loss) else cls.BAD
        return cls.BAD if trial.state is TrialState.ERROR and trial.cause in FAILURES else cls.NOTHING


class Memory:
    """The trials that were seen last, by position: ``rows`` (see Coordinates), ``kinds``, ``losses``, ``ends``.

    The row of a trial that says nothing is infinite, and so no point's. It is a cache and nothing more: a trial never
    changes, so the very same object means the very same row.
    """

    def __init__(self, coordinates: Coordinates) -> None:
        self._coordinates = coordinates
        self._seen: list[Trial] = []
        self._arrays = (np.empty((0, coordinates.size)), *[np.empty(0)] * 3)

    def update(self, trials: Sequence[Trial]) -> None:
        """See these trials, and only these."""
        count = len(trials)
        if count > len(self._arrays[1]):
            self._arrays = tuple(np.resize(each, (2 * count, *each.shape[1:])) for each in self._arrays)
        known = min(len(self._seen), count)
        changed = np.flatnonzero(np.fromiter(map(is_not, self._seen[:known], trials), bool, known))
        rows, kinds, losses, ends = self._arrays
        for at in (*changed.tolist(), *range(known, count)):
            trial = trials[at]
            kinds[at] = Kind.of(trial)
            rows[at] = np.inf if kinds[at] == Kind.NOTHING else self._coordinates.row(trial.vals)
            losses[at] = trial.loss if kinds[at] == Kind.LOSS else np.nan
            ends[at] = trial.finished_at or 0.0
        if len(changed) or known < count or count < len(self._seen):
            self._seen = list(trials)
        self.rows, self.kinds, self.losses, self.ends = (each[:count] for each in self._arrays)
