"""``keep: {best: N}``: of all but the best N trials only results and logs stay in the trial's folder.

Where several numbers are minimised, the whole Pareto set stays too.
"""

from __future__ import annotations

import bisect
import shutil
from typing import TYPE_CHECKING

from hpcho.goals import USUAL, Front, Goals
from hpcho.trial import TrialState

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hpcho.jobdir import JobDir
    from hpcho.store import TrialStore
    from hpcho.trial import Trial

__all__ = ["Keeper"]

STAYS = frozenset({"stdout.log", "stderr.log", "result.json"})


class Keeper:
    """Clears the folders of trials that ended and are not, or no longer, among the best."""

    def __init__(self, jobdir: JobDir, store: TrialStore, best: int | None, goals: Goals = USUAL) -> None:
        self._jobdir = jobdir
        self._store = store
        self._best = best
        self._goals = goals
        self._ranking: list[tuple[bool, bool, float, int]] = []
        self._front = Front(goals)
        self._attached: set[int] = set()
        self._needed: dict[int, bool] = {}
        """Trials that waiting ones are to go on from, and whether their folders are to be cleared after that."""

    def apply(self, changed: Sequence[Trial]) -> None:
        """Take in changed trials and clear what need not stay. Safe to repeat."""
        if self._best is None:
            return
        for trial in changed:
            if trial.parent is not None:
                self._note(trial, trial.parent)
        for trial in changed:
            if trial.state is TrialState.ERROR:
                self._clear_folder(trial.tid)
            elif trial.state is TrialState.DONE:
                self._rank(trial)

    def _note(self, trial: Trial, parent: int) -> None:
        """A promoted trial copies its parent's work when it begins: until it has ended, that stays."""
        if trial.state not in (TrialState.DONE, TrialState.ERROR):
            self._needed.setdefault(parent, False)
        elif self._needed.pop(parent, False):
            self._clear_folder(parent)

    def _rank(self, trial: Trial) -> None:
        assert self._best is not None
        if trial.result is not None and trial.result.attachments:
            self._attached.add(trial.tid)
        if trial.loss is None:
            self._clear(trial.tid)
            return
        entry = self._goals.rank(trial)
        if entry in self._ranking:
            return
        bisect.insort(self._ranking, entry)
        beaten = self._front.add(trial) if self._goals.are_several else []
        left = [tid for *_, tid in self._ranking[self._best :]]
        del self._ranking[self._best :]
        stay = {*self._front.points, *(tid for *_, tid in self._ranking)}
        for tid in {*left, *beaten} - stay:
            self._clear(tid)

    def _clear(self, tid: int) -> None:
        if tid in self._attached:
            self._attached.discard(tid)
            self._store.clear(tid)
        self._clear_folder(tid)

    def _clear_folder(self, tid: int) -> None:
        if tid in self._needed:
            self._needed[tid] = True
            return
        try:
            entries = list(self._jobdir.trial(tid).iterdir())
        except FileNotFoundError:
            return
        for entry in entries:
            if entry.name not in STAYS and not entry.name.startswith("late-"):
                _remove(entry)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
