"""Trials as arrays, so that a sampler need not look at each of them again for each suggestion."""

from __future__ import annotations

from enum import IntEnum
from itertools import islice
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

    The row of a trial that says nothing is infinite, and so no point's. It is a cache and nothing more: a trial never
    changes, so the very same object means the very same row.

    A pruned trial's loss is one of fewer steps, and not to be mixed with those of whole trials. To it is added what
    whole trials have gained from that step on, in the median. The outcome is no better than the best of the whole trials, and
    no worse than their median: slow learners look hopeless early, and a model that believes it avoids all like them.
    One that was promoted counts no more once the trial that went on from it is done.
    """

    def __init__(self, coordinates: Coordinates) -> None:
        self._coordinates = coordinates
        self._seen: list[Trial] = []
        self._arrays = (np.empty((0, coordinates.size)), *[np.empty(0)] * 3)
        self._pruned: set[int] = set()
        """Positions."""
        self._promoted: set[int] = set()
        """The tids of those that others have gone on from."""

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
            (self._pruned.add if trial.is_pruned else self._pruned.discard)(at)
            if trial.parent is not None and trial.state is TrialState.DONE:
                self._promoted.add(trial.parent)
        if len(changed) or known < count or count < len(self._seen):
            self._seen = list(trials)
            self._settle_pruned(count)
        self.rows, self.kinds, self.losses, self.ends = (each[:count] for each in self._arrays)

    def _settle_pruned(self, count: int) -> None:
        """Give pruned trials the losses that they count with. Costs little more than there are of them."""
        rows, kinds, losses, _ = (each[:count] for each in self._arrays)
        pruned = [at for at in sorted(self._pruned) if at < count]
        if not pruned:
            return
        is_whole = kinds == Kind.LOSS
        is_whole[pruned] = False
        finals = losses[is_whole]
        least, middle = (finals.min(), np.median(finals)) if len(finals) >= ENOUGH else (-np.inf, np.inf)
        # where the objective reports something else than it returns, there is nothing to go by
        latest = (self._seen[at] for at in np.flatnonzero(is_whole)[::-1].tolist())
        alike = list(islice((trial for trial in latest if _reports_its_loss(trial)), ALIKE))
        gains: dict[int, float] = {}
        for at in pruned:
            trial = self._seen[at]
            if trial.tid in self._promoted:
                kinds[at], rows[at], losses[at] = Kind.NOTHING, np.inf, np.nan
            elif trial.loss is not None and trial.reports:
                step = trial.reports[-1].step
                if step not in gains:
                    gains[step] = _gain(alike, step)
                losses[at] = min(max(trial.loss + gains[step], least), middle)


def _reports_its_loss(trial: Trial) -> bool:
    return bool(trial.reports) and trial.reports[-1].loss == trial.loss


def _gain(trials: Sequence[Trial], step: int) -> float:
    """By how much losses change in the median from ``step`` to the end; negative where they sink."""
    found = []
    for trial in trials:
        there = next((report.loss for report in trial.reports if report.step >= step), None)
        if there is not None and trial.loss is not None and np.isfinite(there):
            found.append(trial.loss - there)
    return float(np.median(found)) if found else 0.0
