"""Trials as arrays, so that a sampler need not look at each of them again for each suggestion."""

from __future__ import annotations

import math
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

from hpcho.goals import USUAL, Goals, measured
from hpcho.trial import FAILURES, Trial, TrialState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcho.samplers.coordinates import Coordinates

__all__ = ["Kind", "Memory", "medians"]


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
PIECE = 500
"""So many trials are compared at once with those that were seen before."""
ENOUGH = 3
"""So many tell what is good and what is not."""


class Memory:
    """The trials seen last, by position: ``rows`` (see Coordinates), ``kinds``, ``losses``, ``ends``, ``tids``.

    ``is_whole`` tells which have a loss and were not pruned. ``numbers`` are what ``goals`` ask for: a column for each
    number that is minimised, one for the excess of each constraint, and whether the trial is feasible; NaN where there
    is none. Where the loss alone is asked for, there are no such columns.

    The row of a trial that says nothing is infinite, and so no point's. It is a cache and nothing more: a trial never
    changes, so the very same object means the very same row.

    A pruned trial's loss is one of fewer steps, and not to be mixed with those of whole trials. To it is added what
    whole trials have gained from that step on, in the median. The outcome is no better than the best of the whole
    trials, and no worse than their median: slow learners look hopeless early, and a model that believes it avoids all
    like them. One that was promoted counts no more once the trial that went on from it is done.
    """

    def __init__(self, coordinates: Coordinates, goals: Goals = USUAL) -> None:
        self._coordinates, self._goals = coordinates, goals
        self._seen: list[Trial] = []
        columns = 0 if goals == USUAL else len(goals.minimise) + len(goals.constraints) + 1
        self._arrays = (np.empty((0, coordinates.size)), *[np.empty(0)] * 6, np.empty((0, columns)))
        self._promoted: set[int] = set()
        """The tids of those that others have gone on from."""
        self._known: tuple[bytes, dict[int, tuple[Trial, np.ndarray | None]]] = (b"", {})
        """The steps of pruned trials, and by tid what whole trials have gained from each of them on."""
        self.ranks = np.empty(0)
        """What trials are sorted by: their losses, unless there are constraints. Aims sets it."""

    def update(self, trials: Sequence[Trial]) -> None:
        """See these trials, and only these."""
        count = len(trials)
        if count > len(self._arrays[1]):
            self._arrays = tuple(np.resize(each, (2 * count, *each.shape[1:])) for each in self._arrays)
        known = min(len(self._seen), count)
        changed = _changed(self._seen, trials, known)
        rows, kinds, losses, ends, tids, told, steps, numbers = self._arrays
        for at in (*changed, *range(known, count)):
            trial = trials[at]
            kinds[at] = Kind.of(trial)
            rows[at] = np.inf if kinds[at] == Kind.NOTHING else self._coordinates.row(trial.vals)
            losses[at] = told[at] = trial.loss if kinds[at] == Kind.LOSS else np.nan
            ends[at] = trial.finished_at or 0.0
            tids[at] = trial.tid
            steps[at] = _last_step(trial) if trial.is_pruned else np.nan
            numbers[at] = self._numbers(trial) if numbers.shape[1] else ()
            if trial.parent is not None and trial.state is TrialState.DONE:
                self._promoted.add(trial.parent)
        if changed or known < count or count < len(self._seen):
            self._seen[known:] = trials[known:]
            for at in changed:
                self._seen[at] = trials[at]
            self._settle_pruned(count)
        self.rows, self.kinds, self.losses, self.ends, self.tids = (each[:count] for each in self._arrays[:5])
        self.numbers = numbers[:count]
        self.is_whole = (self.kinds == Kind.LOSS) & np.isnan(steps[:count])

    def _numbers(self, trial: Trial) -> list[float]:
        goals = self._goals
        found = [measured(trial, name) for name in goals.minimise] + [one.excess(trial) for one in goals.constraints]
        return [math.nan if number is None else number for number in found] + [float(goals.are_met(trial))]

    def _settle_pruned(self, count: int) -> None:
        """Give pruned trials the losses that they count with."""
        rows, kinds, losses, _, tids, told, steps = (each[:count] for each in self._arrays[:7])
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
        key = steps.tobytes()
        if self._known[0] != key:
            self._known = key, {}
        known = self._known[1]
        found: list[np.ndarray] = []
        for trial in whole:
            if trial.tid not in known or known[trial.tid][0] is not trial:
                known[trial.tid] = trial, _gained(trial, steps)
            gained = known[trial.tid][1]
            if gained is not None:
                found.append(gained)
            if len(found) == ALIKE:
                break
        return medians(np.array(found).reshape(len(found), len(steps)))


def _changed(seen: list[Trial], trials: Sequence[Trial], count: int) -> list[int]:
    """The positions of trials that are not the same objects, of the first ``count``.

    Lists are compared piece by piece: where all objects are the same, that is many times faster than one by one.
    """
    found: list[int] = []
    for start in range(0, count, PIECE):
        old, new = seen[start : min(start + PIECE, count)], trials[start : min(start + PIECE, count)]
        if old != new:
            found += [start + i for i, (one, other) in enumerate(zip(old, new, strict=True)) if one is not other]
    return found


def medians(rows: np.ndarray) -> np.ndarray:
    """Of each column, NaN aside; 0 where there is nothing else. As ``np.nanmedian``, in a tenth of the time."""
    ordered, there = np.sort(rows, axis=0), (~np.isnan(rows)).sum(axis=0)  # NaN comes last
    if not len(rows):
        return np.zeros(rows.shape[1])
    columns = np.arange(rows.shape[1])
    middle = (ordered[np.maximum(there - 1, 0) // 2, columns] + ordered[there // 2 * (there > 0), columns]) / 2
    return np.where(there > 0, middle, 0.0)


def _gained(trial: Trial, steps: np.ndarray) -> np.ndarray | None:
    """How a whole trial's loss has changed from each step on; None where its reports do not lead to it."""
    if not trial.reports or trial.reports[-1].loss != trial.loss:
        return None
    losses = {report.step: report.loss for report in trial.reports}  # what was told last counts
    at = np.array(sorted(losses), float)
    there = np.array([losses[int(step)] for step in at])
    place = np.searchsorted(at, steps)
    loss = there[np.minimum(place, len(at) - 1)]
    return np.where((place < len(at)) & np.isfinite(loss), trial.loss - loss, np.nan)


def _last_step(trial: Trial) -> float:
    """Infinite where the reports are lost: then nothing can be added to its loss."""
    return max((report.step for report in trial.reports), default=math.inf)
