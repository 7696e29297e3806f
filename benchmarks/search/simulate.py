"""W asynchronous workers on one clock that nobody waits for: each trial takes a random time, and no time at all."""

from __future__ import annotations

import heapq
import itertools
import random
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from hpcho import space as spaces
from hpcho.experiment.schema import SamplerSpec
from hpcho.trial import Result, Trial, TrialState

if TYPE_CHECKING:
    from collections.abc import Callable

SPREAD = 0.5
"""Standard deviation of the logarithm of a trial's duration."""


@dataclass(frozen=True)
class Search:
    """The best loss of a search, and the milliseconds that a suggestion took."""

    best: float
    ms: float


class Contender(Protocol):
    """A sampler at work on one search."""

    def ask(self, n: int) -> list[tuple[int, dict[str, Any]]]:
        """``n`` points at once: each with the key that ``tell`` will be given, and its params."""

    def tell(self, key: int, loss: float) -> None:
        """A point's loss."""


def search(contender: Contender, objective: Callable[[Any], float], workers: int, evals: int, seed: int) -> Search:
    """``evals`` evaluations by ``workers`` workers. A worker that is free gets a point at once."""
    durations = random.Random(seed)
    running: list[tuple[float, int, float]] = []
    best, spent, asked, now = float("inf"), 0.0, 0, 0.0
    while asked < evals or running:
        free = min(workers - len(running), evals - asked)
        if free:
            began = time.perf_counter()
            points = contender.ask(free)
            spent += time.perf_counter() - began
            asked += free
            for key, params in points:
                heapq.heappush(running, (now + durations.lognormvariate(0, SPREAD), key, objective(params)))
        now, key, loss = heapq.heappop(running)
        best = min(best, loss)
        contender.tell(key, loss)
    return Search(best, 1000 * spent / evals)


class Ours:
    """One of hpcho's samplers; tpe, anneal and random are hyperopt's to the last digit."""

    def __init__(self, name: str, declared: dict[str, Any], seed: int) -> None:
        from hpcho import samplers

        self._space = spaces.build(declared)
        self._sampler = samplers.build(SamplerSpec.model_validate(name), self._space)
        self._trials: list[Trial] = []
        self._seed = seed
        self._clock = itertools.count(1).__next__

    def ask(self, n: int) -> list[tuple[int, dict[str, Any]]]:
        """See Contender."""
        points = self._sampler.suggest(self._trials, n, self._seed)
        first = len(self._trials)
        self._trials += [
            Trial(tid=first + i, state=TrialState.RUNNING, version=1, vals=vals) for i, vals in enumerate(points)
        ]
        return [(first + i, self._space.decode(vals)) for i, vals in enumerate(points)]

    def tell(self, key: int, loss: float) -> None:
        """See Contender."""
        self._trials[key] = replace(
            self._trials[key], state=TrialState.DONE, version=2, result=Result(loss), finished_at=self._clock()
        )


class Optunas:
    """One of Optuna's samplers, with its defaults, by ask and tell."""

    def __init__(self, name: str, declared: dict[str, Any], seed: int) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._study = optuna.create_study(sampler=getattr(optuna.samplers, name)(seed=seed))
        self._parameters = spaces.build(declared).parameters
        self._trials: dict[int, Any] = {}

    def ask(self, n: int) -> list[tuple[int, dict[str, Any]]]:
        """See Contender."""
        asked = []
        for _ in range(n):
            trial = self._study.ask()
            self._trials[trial.number] = trial
            asked.append((trial.number, self._params(trial)))
        return asked

    def tell(self, key: int, loss: float) -> None:
        """See Contender."""
        self._study.tell(self._trials.pop(key), loss)

    def _params(self, trial: Any) -> dict[str, Any]:
        params: dict[str, Any] = {}
        chosen: dict[str, int] = {}
        for p in self._parameters:
            if p.parent is not None and chosen.get(p.parent[0]) != p.parent[1]:
                continue
            if p.kind == "choice":
                chosen[p.label] = trial.suggest_categorical(p.label, range(len(p.options)))
                params[p.name] = p.options[chosen[p.label]]
            elif p.kind == "int":
                step = 1 if p.step is None else int(p.step)
                params[p.name] = trial.suggest_int(p.label, int(p.low or 0), int(p.high or 0), log=p.log, step=step)
            else:
                params[p.name] = trial.suggest_float(p.label, p.low or 0.0, p.high or 0.0, log=p.log, step=p.step)
        return params


def contender(name: str, declared: dict[str, Any], seed: int) -> Contender:
    """``auto``, or another of hpcho's; ``hyperopt:tpe`` (or rand, anneal); ``optuna:TPESampler`` and so on.

    A peer is measured as it is; ``hpcho:optuna:TPESampler`` is the one that hpcho's own ``sampler:`` gives.
    """
    if name.startswith("hpcho:"):
        return Ours(name.removeprefix("hpcho:"), declared, seed)
    library, _, sampler = name.rpartition(":")
    if library == "optuna":
        return Optunas(sampler, declared, seed)
    return Ours({"rand": "random"}.get(sampler, sampler), declared, seed)
