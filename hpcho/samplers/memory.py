"""Trials as arrays, so that a sampler need not look at each of them again for each suggestion."""

from __future__ import annotations

import math
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


ALIKE = 100
"""What a pruned trial might have come to is estimated by so many whole trials, the latest."""
ENOUGH = 3
"""So many tell what is good and what is not."""


class Memory:
    """The trials that were seen last, by position: ``rows`` (see Coordinates), ``kinds``, ``losses``, ``ends``.

    ``is_whole`` tells which have a loss and were not pruned.

    The row of a trial that says nothing is infinite, and so no point's. It is a cache and nothing more: a trial never
    changes, so the very same object means the very same row.

    A pruned trial's loss is one of fewer steps, and not to be mixed with those of whole trials. To it is added what
    whole trials have gained from that step on, in the median. The outcome is no better than the best of the whole
    trials, and no worse than their median: slow learners look hopeless early, and a model that believes it avoids all
    like them. One that was promoted counts no more once the trial that went on from it is done.
    """

    def __init__(self, coordinates: Coordinates) -> None:
        self._coordinates = coordinates
        self._seen: list[Trial] = []
        self._arrays = (np.empty((0, coordinates.size)), *[np.empty(0)] * 6)
        self._promoted: set[int] = set()
        """The tids of those that others have gone on from."""
        self._curves: dict[int, tuple[Trial, np.ndarray, np.ndarray]] = {}
        """By tid: steps in order, and the losses there."""

    def update(self, trials: Sequence[Trial]) -> None:
        """See these trials, and only these."""
        count = len(trials)
        if count > len(self._arrays[1]):
            self._arrays = tuple(np.resize(each, (2 * count, *each.shape[1:])) for each in self._arrays)
        known = min(len(self._seen), count)
        changed = np.flatnonzero(np.fromiter(map(is_not, self._seen[:known], trials), bool, known))
        rows, kinds, losses, ends, tids, told, steps = self._arrays
        for at in (*changed.tolist(), *range(known, count)):
            trial = trials[at]
            kinds[at] = Kind.of(trial)
            rows[at] = np.inf if kinds[at] == Kind.NOTHING else self._coordinates.row(trial.vals)
            losses[at] = told[at] = trial.loss if kinds[at] == Kind.LOSS else np.nan
            ends[at] = trial.finished_at or 0.0
            tids[at] = trial.tid
            steps[at] = _last_step(trial) if trial.is_pruned else np.nan
            if trial.parent is not None and trial.state is TrialState.DONE:
                self._promoted.add(trial.parent)
        if len(changed) or known < count or count < len(self._seen):
            self._seen = list(trials)
            self._settle_pruned(count)
        self.rows, self.kinds, self.losses, self.ends = (each[:count] for each in self._arrays[:4])
        self.is_whole = (self.kinds == Kind.LOSS) & np.isnan(steps[:count])

    def _settle_pruned(self, count: int) -> None:
        """Give pruned trials the losses that they count with."""
        rows, kinds, losses, _, tids, told, steps = (each[:count] for each in self._arrays)
        pruned = np.flatnonzero(~np.isnan(steps) & (kinds == Kind.LOSS))
        if not len(pruned):
            return
        is_over = np.isin(tids[pruned], list(self._promoted))
        over, pruned = pruned[is_over], pruned[~is_over]
        kinds[over], rows[over], losses[over] = Kind.NOTHING, np.inf, np.nan
        whole = np.flatnonzero((kinds == Kind.LOSS) & np.isnan(steps))
        finals = losses[whole]
        least, middle = (finals.min(), np.median(finals)) if len(finals) >= ENOUGH else (-np.inf, np.inf)
        unique, which = np.unique(steps[pruned], return_inverse=True)
        gains = self._gains([self._seen[at] for at in whole[: -3 * ALIKE - 1 : -1].tolist()], unique)
        losses[pruned] = np.clip(told[pruned] + gains[which], least, middle)

    def _gains(self, whole: Sequence[Trial], steps: np.ndarray) -> np.ndarray:
        """By how much the losses of whole trials change in the median from each step on; negative where they sink.

        Where the objective returns something else than it reports, there is nothing to go by, and it is 0.
        """
        found: list[np.ndarray] = []
        for trial in whole:
            if trial.reports and trial.reports[-1].loss == trial.loss and len(found) < ALIKE:
                at, there = self._curve(trial)
                place = np.searchsorted(at, steps)
                loss = there[np.minimum(place, len(at) - 1)]
                found.append(np.where((place < len(at)) & np.isfinite(loss), trial.loss - loss, np.nan))
        if not found:
            return np.zeros(len(steps))
        gains = np.array(found)
        gains[:, np.isnan(gains).all(axis=0)] = 0.0
        return np.asarray(np.nanmedian(gains, axis=0))

    def _curve(self, trial: Trial) -> tuple[np.ndarray, np.ndarray]:
        known = self._curves.get(trial.tid)
        if known is None or known[0] is not trial:
            losses = {report.step: report.loss for report in trial.reports}  # what was told last counts
            at = np.array(sorted(losses), float)
            known = self._curves[trial.tid] = trial, at, np.array([losses[int(step)] for step in at])
        return known[1:]


def _last_step(trial: Trial) -> float:
    """Infinite where the reports are lost: then nothing can be added to its loss."""
    return max((report.step for report in trial.reports), default=math.inf)
