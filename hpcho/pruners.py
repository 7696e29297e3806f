"""Stops trials early, by their reports beside those of the others.

A pruner looks at a trial when it comes to certain steps, the milestones, and compares its value there with a cutoff.
Cutoffs are made of all trials' reports by the controller (``Peers``), and are few numbers, so that any number of
workers can look at them; a worker decides (``Judge``) as soon as its trial is at a milestone, and waits for nobody.

asha        Li, Jamieson, Rostamizadeh, Gonina, Ben-tzur, Hardt, Recht and Talwalkar, "A System for Massively Parallel
            Hyperparameter Tuning", MLSys 2020. Milestones (rungs) are at grace * factor^k. Of n trials that have come
            to a rung, the best floor(n / factor) go on. One that is not among them is paused: should it be so later,
            with more trials, it is promoted. Unlike theirs, one that is among the best at once goes on without a pause,
            and while fewer than ``factor`` have come, nobody is paused.
hyperband   Li, Jamieson, DeSalvo, Rostamizadeh and Talwalkar, "Hyperband: A Novel Bandit-Based Approach to
            Hyperparameter Optimization", JMLR 18, 2018, without its barriers: a trial belongs to bracket s with a
            probability in proportion to the ceil((s_max + 1) / (s + 1) * factor^s) trials that bracket begins with, and
            each bracket is asha that leaves out the first s_max - s rungs.
median      Golovin, Solnik, Moitra, Kochanski, Karro and Sculley, "Google Vizier: A Service for Black-Box
            Optimization", KDD 2017. A trial whose best loss so far is worse than the median of the done trials' mean
            losses up to that step is given up. Their rule is asked at every step; here at every step at first and then
            at every tenth part more, so that the cutoffs stay few.
"""

from __future__ import annotations

import bisect
import itertools
import json
import math
import statistics
import zlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from hpcho.experiment.pruners import PrunerSpec
    from hpcho.trial import Report, Trial, Vals

__all__ = ["Judge", "Peers", "Rule", "rule_of"]

DENSITY = 1.1
"""Median: the later milestones lie so many times apart."""

Place = tuple[int, int]
"""A bracket and a milestone."""
Entry = tuple[float, int]
"""A value, and the trial that it is of."""
Cutoffs = dict[str, dict[str, float]]
"""Bracket -> milestone -> the worst value that goes on; keys are text, as in JSON."""


class Rule:
    """What milestones there are, and what counts at them. Pure."""

    def __init__(self, spec: PrunerSpec) -> None:
        self.spec = spec
        self.is_median = spec.name == "median"
        self.promotes = spec.name in ("asha", "hyperband")
        """Whether a trial that was pruned may go on later."""
        self.mark = spec.model_dump(mode="json")
        """Stands beside the cutoffs: those of other settings do not count."""

    def bracket(self, vals: Vals) -> int:
        """The number of the trial's first rung. It hangs on the point alone, so that a promoted trial keeps it."""
        spec = self.spec
        if spec.name != "hyperband":
            return 0
        last = len(list(self._milestones(0)))  # s_max
        sizes = [math.ceil((last + 1) / (s + 1) * spec.factor**s) for s in range(last, -1, -1)]
        point = json.dumps({label: list(values) for label, values in vals.items()}, sort_keys=True, default=str)
        at = zlib.crc32(point.encode()) / 2**32 * sum(sizes)
        return bisect.bisect(list(itertools.accumulate(sizes)), at)

    def milestones(self, bracket: int, step: int) -> list[int]:
        """The milestones that a trial has come to with ``step``, in order."""
        return list(itertools.takewhile(lambda milestone: milestone <= step, self._milestones(bracket)))

    def _milestones(self, bracket: int) -> Iterator[int]:
        spec = self.spec
        at = spec.grace if self.is_median else spec.grace * spec.factor**bracket
        while spec.max_steps is None or at < spec.max_steps:
            yield at
            at = max(at + 1, math.ceil(at * DENSITY)) if self.is_median else at * spec.factor

    def judged(self, reports: Sequence[Report], milestone: int) -> float:
        """The value of a trial that has come to ``milestone``: its loss there, or (median) the best one up to there."""
        passed = _up_to(reports, milestone)
        return min(map(_loss, passed)) if self.is_median else _loss(passed[-1])

    def counted(self, reports: Sequence[Report], milestone: int) -> float:
        """What the trial adds to the cutoff at ``milestone``: its loss there, or (median) the mean loss up to there."""
        passed = _up_to(reports, milestone)
        return statistics.fmean(map(_loss, passed)) if self.is_median else _loss(passed[-1])

    def counts(self, trial: Trial) -> bool:
        """Whether the cutoffs know of the trial yet: asha's rungs do at once, the median when it is done."""
        return bool(trial.reports) and (not self.is_median or trial.is_ok)

    def cutoff(self, entries: Sequence[Entry]) -> float | None:
        """The worst value that goes on, of sorted ones; None while they are too few to say."""
        count = len(entries)
        if count < (self.spec.startup if self.is_median else self.spec.factor):
            return None
        if self.is_median:
            worst = (entries[(count - 1) // 2][0] + entries[count // 2][0]) / 2
        else:
            worst = entries[count // self.spec.factor - 1][0]
        return worst if math.isfinite(worst) else None


def rule_of(spec: PrunerSpec) -> Rule | None:
    """The rule; None for ``none``."""
    return None if spec.name == "none" else Rule(spec)


class Judge:
    """Decides on one trial, in its worker. What earlier attempts, or its parent, have passed is passed for good."""

    def __init__(self, rule: Rule, trial: Trial) -> None:
        self._rule = rule
        self._bracket = rule.bracket(trial.vals)
        self._reports = list(trial.reports)
        self._step = max((report.step for report in trial.reports), default=-1)
        self._settled = set(rule.milestones(self._bracket, self._step))
        self._open: list[int] = []

    def hear(self, report: Report) -> bool:
        """Take in a report; whether the trial has come to a milestone with it."""
        self._reports.append(report)
        if report.step <= self._step:
            return False
        self._step = report.step
        known = self._settled.union(self._open)
        reached = [one for one in self._rule.milestones(self._bracket, report.step) if one not in known]
        self._open += reached
        return bool(reached)

    @property
    def is_open(self) -> bool:
        """Whether there is a milestone at which nothing has been decided yet."""
        return bool(self._open)

    def gives_up(self, record: Mapping[str, Any] | None) -> bool:
        """Whether the trial is not worth going on, as far as the record of the cutoffs says.

        A loss that is no finite number never is. Where there is no cutoff yet, the next call decides.
        """
        known = record["cutoffs"] if record and record["pruner"] == self._rule.mark else {}
        cutoffs = known.get(str(self._bracket), {})
        for milestone in list(self._open):
            value, cutoff = self._rule.judged(self._reports, milestone), cutoffs.get(str(milestone))
            if not math.isfinite(value) or (cutoff is not None and value > cutoff):
                return True
            if cutoff is not None:
                self._open.remove(milestone)
                self._settled.add(milestone)
        return False


class Peers:
    """All trials' values at the milestones, in the controller: the cutoffs, and who may go on after all.

    A trial and those that were promoted from it are one; what it was worth at a milestone first, stands. What a call
    costs hangs on the trials that have changed, and not on how many there are.
    """

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self._values: dict[Place, dict[int, float]] = {}
        self._sorted: dict[Place, list[Entry]] = {}
        self._paused: dict[Place, list[Entry]] = {}
        """Those of them that wait there, to be promoted or not."""
        self._waits: dict[int, Place] = {}
        self._roots: dict[int, int] = {}
        self._heads: dict[int, Trial] = {}
        """The last trial of each that were promoted from one another."""
        self._heard: dict[int, int] = {}
        self._whole: int | None = None
        """The step that a whole trial has ended with."""

    def learn(self, trials: Iterable[Trial]) -> None:
        """Take in trials that have changed, by tid."""
        for trial in trials:
            root = self._roots[trial.tid] = trial.tid if trial.parent is None else self._root(trial.parent)
            head = self._heads.get(root)
            if head is None or head.tid <= trial.tid:
                self._heads[root] = trial
            if self.rule.counts(trial):
                self._count(trial, root)
            self._place(root)

    def record(self) -> dict[str, Any]:
        """What workers decide by: the cutoffs, and whose they are."""
        cutoffs: Cutoffs = {}
        for (bracket, milestone), entries in sorted(self._sorted.items()):
            if self._whole is not None and milestone >= self._whole:
                continue  # a trial that has come so far is whole
            cutoff = self.rule.cutoff(entries)
            if cutoff is not None:
                cutoffs.setdefault(str(bracket), {})[str(milestone)] = cutoff
        return {"pruner": self.rule.mark, "cutoffs": cutoffs}

    def promotable(self) -> Iterator[Trial]:
        """The paused trials that are among the best at their milestone by now; those that have come furthest first."""
        for place in sorted(self._paused, key=lambda place: -place[1]):
            if self._whole is not None and place[1] >= self._whole:
                continue
            entries, paused = self._sorted[place], self._paused[place]
            best = len(entries) // self.rule.spec.factor
            if best:
                for _, root in paused[: bisect.bisect_right(paused, entries[best - 1])]:
                    yield self._heads[root]

    @property
    def paused(self) -> Iterator[Trial]:
        """All that wait to be promoted or not."""
        return (self._heads[root] for root in self._waits)

    def leave(self, trial: Trial) -> None:
        """A paused trial is not to be promoted, ever."""
        root = self._root(trial.tid)
        place = self._waits.pop(root, None)
        if place is not None:
            self._paused[place].remove((self._values[place][root], root))

    def _place(self, root: int) -> None:
        """Note where the last trial of some waits, if it does."""
        head = self._heads[root]
        place = self._furthest(head) if self.rule.promotes and head.is_pruned else None
        if place == self._waits.get(root):
            return
        self.leave(head)
        if place is not None and math.isfinite(self._values[place][root]):
            self._waits[root] = place
            bisect.insort(self._paused.setdefault(place, []), (self._values[place][root], root))

    def _root(self, tid: int) -> int:
        return self._roots.get(tid, tid)

    def _count(self, trial: Trial, root: int) -> None:
        fresh = trial.reports[self._heard.get(trial.tid, 0) :]
        self._heard[trial.tid] = len(trial.reports)
        step = max((report.step for report in fresh), default=-1)
        if trial.is_ok and not trial.is_pruned and self.rule.spec.max_steps is None:
            last = max(report.step for report in trial.reports)
            self._whole = last if self._whole is None else max(self._whole, last)
        bracket = self.rule.bracket(trial.vals)
        for milestone in reversed(self.rule.milestones(bracket, step)):
            values = self._values.setdefault((bracket, milestone), {})
            if root in values:
                break  # and so it is at all earlier ones
            values[root] = self.rule.counted(trial.reports, milestone)
            bisect.insort(self._sorted.setdefault((bracket, milestone), []), (values[root], root))

    def _furthest(self, trial: Trial) -> Place | None:
        bracket = self.rule.bracket(trial.vals)
        reached = self.rule.milestones(bracket, max((report.step for report in trial.reports), default=-1))
        return (bracket, reached[-1]) if reached else None


def _loss(report: Report) -> float:
    """A loss that is no number is the worst."""
    return math.inf if math.isnan(report.loss) else report.loss


def _up_to(reports: Sequence[Report], milestone: int) -> list[Report]:
    """The reports until the trial came to the milestone: each step once, as it was told last, in their order."""
    first = min(report.step for report in reports if report.step >= milestone)
    told = {report.step: report for report in reports if report.step <= first}
    return [told[step] for step in sorted(told)]
