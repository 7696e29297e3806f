"""Several numbers to minimise, and constraints, for samplers that know a loss and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hpcho.goals import measured

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcho.goals import Goals
    from hpcho.samplers.base import Sampler
    from hpcho.trial import Trial, Vals

__all__ = ["Aimed"]


class Aimed:
    """A sampler that is shown the first number to be minimised as the loss, and infeasible trials as failed ones."""

    def __init__(self, sampler: Sampler, goals: Goals) -> None:
        self._sampler, self._goals = sampler, goals
        self.name, self.uses_history, self.max_workers = sampler.name, sampler.uses_history, sampler.max_workers
        self._shown: dict[int, tuple[Trial, Trial]] = {}

    def suggest(self, trials: Sequence[Trial], n: int, seed: int) -> list[Vals]:
        """``n`` points after ``trials``; the i-th depends on the trials, ``seed`` and the trial id it will get."""
        known = self._shown
        # The same objects for the same trials: samplers tell by them that nothing has changed.
        self._shown = {
            trial.tid: seen if (seen := known.get(trial.tid)) and seen[0] is trial else (trial, self._aimed(trial))
            for trial in trials
        }
        return self._sampler.suggest([shown for _, shown in self._shown.values()], n, seed)

    def _aimed(self, trial: Trial) -> Trial:
        if trial.result is None or not trial.is_ok or trial.tid < 0:
            return trial  # those of other experiments, with ids below zero, tell their loss alone
        if not self._goals.are_met(trial):
            return replace(trial, result=replace(trial.result, loss=None, status="fail"))
        return replace(trial, result=replace(trial.result, loss=measured(trial, self._goals.minimise[0])))
