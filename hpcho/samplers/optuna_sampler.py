"""Optuna's samplers as pure ones, by ask and tell."""

from __future__ import annotations

import logging
import math
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import optuna
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.trial import TrialState as State
from optuna.trial import create_trial

from hpcho.errors import UsageError
from hpcho.samplers.history import next_tid, seed_for
from hpcho.samplers.optuna_space import OptunaSpace
from hpcho.trial import Result, Trial, TrialState, Vals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from hpcho.space import Space

__all__ = ["OptunaSampler"]

KEEPS_STATE = frozenset({"CmaEsSampler", "NSGAIISampler", "QMCSampler"})
"""Samplers that keep notes on the trials they have proposed, and find nothing without them."""
ONE_SEED = "QMCSampler"
"""Its points are one sequence, which the seed scrambles; the others get a seed for each trial."""
REHEARSED = 12
"""So many trials are made up: most of Optuna's samplers draw the first ten at random."""


class OptunaSampler:
    """One of Optuna's samplers, with its own defaults.

    It is told of finished trials, of pending ones as running, and of all others as failed. There is no study but in
    memory: it is made anew from the trials where what is known of them is not what has become of them, and after a
    resume. Samplers that keep notes on their proposals propose everything again then, in the order of the trials'
    times, and take what the trials had in its place.
    """

    uses_history = True
    max_workers: int | None = None

    def __init__(self, name: str, space: Space, options: Mapping[str, Any]) -> None:
        """``name``: ``optuna:CLASS``; ``options``: keyword arguments of the class. Raises UsageError."""
        self.name = name
        self._class = getattr(optuna.samplers, name.partition(":")[2])
        self._options = options
        self._space = OptunaSpace(space)
        self._study: _Study | None = None
        self._rehearse()

    def suggest(self, trials: Sequence[Trial], n: int, seed: int) -> list[Vals]:
        """``n`` points after ``trials``; the i-th depends on the trials, ``seed`` and the trial id it will get.

        Raises UsageError with what Optuna said where it cannot go on.
        """
        try:
            return self._suggest(trials, n, seed)
        except Exception as error:
            self._study = None
            raise UsageError(
                f"sampler {self.name} cannot go on: {type(error).__name__}: {error}. Another sampler can: change "
                "`sampler:`, and `hpcho run` goes on with it"
            ) from error

    def _suggest(self, trials: Sequence[Trial], n: int, seed: int) -> list[Vals]:
        with _quiet():
            if self._study is None or not self._study.follow(trials, seed):
                kind = _Study if self._class.__name__ not in KEEPS_STATE else _NotedStudy
                self._study = kind(self._space, partial(self._sampler, seed), seed)
                self._study.follow(trials, seed)
            first = next_tid(trials)
            return [self._study.ask(tid) for tid in range(first, first + n)]

    def _rehearse(self) -> None:
        """Have options and packages that are wrong or missing show at once, and not in the middle of a run.

        Optuna looks at most of them only when there are results to work with.
        """
        try:
            points = self._suggest([], REHEARSED, 0)
            trials = [
                Trial(tid=tid, state=TrialState.DONE, version=1, vals=vals, result=Result(tid % 5), created_at=tid)
                for tid, vals in enumerate(points)
            ]
            self._suggest(trials, 1, 0)
        except ModuleNotFoundError as error:
            raise UsageError(
                f"sampler {self.name} needs {error.name}, which is not installed here. "
                f"Install it with: pip install {error.name}"
            ) from error
        except Exception as error:
            raise UsageError(f"sampler {self.name}: {error}") from error
        self._study = None

    def _sampler(self, seed: int, tid: int) -> Any:
        """The sampler for one trial; those of other experiments have ids below zero."""
        own = seed_for(seed, tid % 2**32) % 2**32
        if self._class.__name__ != ONE_SEED:
            return self._class(seed=own, **self._options)
        others = optuna.samplers.RandomSampler(seed=own)  # of what the sequence does not cover
        return self._class(seed=seed % 2**32, independent_sampler=others, **self._options)


class _Study:
    """What a sampler that looks at trials alone needs to know of them: a study that has them under their order."""

    def __init__(self, space: OptunaSpace, sampler: Callable[[int], Any], seed: int) -> None:
        """``sampler`` makes the one for a trial id."""
        self._space, self._sampler, self._seed = space, sampler, seed
        self.study = optuna.create_study()
        self._known: dict[int, _Known] = {}
        self._count = 0

    def follow(self, trials: Sequence[Trial], seed: int) -> bool:
        """Learn what is new in ``trials`` (by tid); False when this study has known something else."""
        if seed != self._seed or len(trials) < len(self._known):
            return False
        changed = []
        for (tid, known), trial in zip(self._known.items(), trials, strict=False):
            if known.trial is trial:
                continue
            if tid != trial.tid or not known.may_become(trial):
                return False
            if known.outcome != _outcome(trial):
                changed.append(trial)
            known.trial = trial
        self._learn(changed, trials[len(self._known) :])
        return True

    def ask(self, tid: int) -> Vals:
        """The next point, which is pending from now on."""
        self.study.sampler = self._sampler(tid)
        asked = self.study.ask()
        vals = self._space.walk(partial(_suggested, asked))
        # What the sampler has noted on this trial may say more than its params do: only a failed one is left of it.
        self.study.tell(asked, state=State.FAIL)
        self._count += 1
        self._add(tid, None, vals, (State.RUNNING, None))
        return vals

    def _learn(self, changed: Sequence[Trial], new: Sequence[Trial]) -> None:
        for trial in changed:
            self._tell(trial)
        for trial in new:
            self._add(trial.tid, trial, trial.vals, _outcome(trial))

    def _tell(self, trial: Trial) -> None:
        known, outcome = self._known[trial.tid], _outcome(trial)
        state, loss = outcome
        self.study.tell(known.number, loss, state=state)
        known.outcome = outcome

    def _add(self, tid: int, trial: Trial | None, vals: Vals, outcome: _Outcome) -> None:
        params = self._space.params(vals)
        distributions = self._space.distributions(params)
        state, loss = outcome
        self.study.add_trial(create_trial(state=state, value=loss, params=params, distributions=distributions))
        self._known[tid] = _Known(trial, vals, outcome, self._count)
        self._count += 1


class _NotedStudy(_Study):
    """A study in which the sampler has proposed every trial itself, so that its notes are there."""

    def ask(self, tid: int) -> Vals:
        """The next point, which is pending from now on."""
        return self._propose(tid, None).vals

    def _learn(self, changed: Sequence[Trial], new: Sequence[Trial]) -> None:
        """In the order of times: the sampler is told of a trial before it proposes those that were added later."""
        ended = sorted(
            [*changed, *(trial for trial in new if _outcome(trial)[0] is not State.RUNNING)],
            key=lambda trial: (trial.finished_at or 0.0, trial.tid),
        )
        for trial in new:
            while ended and ended[0].tid in self._known and (ended[0].finished_at or 0.0) <= trial.created_at:
                self._tell(ended.pop(0))
            self.study.enqueue_trial(self._space.params(trial.vals))
            self._propose(trial.tid, trial)
        for trial in ended:
            self._tell(trial)

    def _propose(self, tid: int, trial: Trial | None) -> _Known:
        self.study.sampler = self._sampler(tid)
        asked = self.study.ask()
        _ = asked.relative_params  # this is when notes are taken, and a trial whose params are given does without
        vals = self._space.walk(partial(_suggested, asked))
        self._known[tid] = _Known(trial, vals if trial is None else trial.vals, (State.RUNNING, None), asked.number)
        return self._known[tid]


_Outcome = tuple[State, "float | None"]


@dataclass
class _Known:
    """What a study knows of a trial; ``trial`` is None of one that was only suggested yet."""

    trial: Trial | None
    vals: Vals
    outcome: _Outcome
    number: int
    """Its own in the study."""

    def may_become(self, trial: Trial) -> bool:
        """Whether what is known is an earlier state of ``trial``, or the same."""
        is_open = self.outcome[0] is State.RUNNING
        return (is_open or self.outcome == _outcome(trial)) and _same_point(self.vals, trial.vals)


def _same_point(one: Vals, other: Vals) -> bool:
    return all(list(one.get(label, ())) == list(other.get(label, ())) for label in {*one, *other})


def _outcome(trial: Trial) -> _Outcome:
    """What Optuna is told of a trial: infinite losses are failures to it."""
    if trial.state in (TrialState.NEW, TrialState.RUNNING):
        return State.RUNNING, None
    if trial.loss is not None and math.isfinite(trial.loss):
        return State.COMPLETE, trial.loss
    return State.FAIL, None


def _suggested(trial: Any, label: str, distribution: Any) -> Any:
    """A value of Optuna's for a label."""
    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(label, distribution.choices)
    suggest = trial.suggest_int if isinstance(distribution, IntDistribution) else trial.suggest_float
    return suggest(label, distribution.low, distribution.high, log=distribution.log)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what Optuna says of itself (that a feature is experimental, that a parameter is sampled by itself) away."""
    logger = logging.getLogger("optuna")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
