"""hpcho's own sampler: Bayesian optimisation with a Gaussian process over mixed and conditional spaces.

Where its parts come from:

- Gaussian processes with a length for each parameter, Matern's kernel, fitted by the marginal likelihood: Rasmussen and
  Williams, Gaussian Processes for Machine Learning, 2006; Snoek, Larochelle and Adams, NeurIPS 2012. Prior lengths that
  grow with the root of the number of parameters: Hvarfner, Hellsten and Nardi, ICML 2024.
- Expected improvement: Jones, Schonlau and Welch, Journal of Global Optimization 13, 1998; in logarithms: Ament and
  others, NeurIPS 2023. Lower confidence bounds with a random width: Srinivas and others, ICML 2010; Berk and others,
  "Randomised Gaussian process upper confidence bound", IJCAI 2021.
- Pending trials that count as having the loss expected of them: Ginsbourger, Le Riche and Carraro, "Kriging is
  well-suited to parallelize optimization", 2010.
- Candidates around the best points, of which some parameters move: Regis and Shoemaker, Engineering Optimization 45,
  2013. Losses brought to a scale on which bad ones are compressed: Cowen-Rivers and others (HEBO), JAIR 74, 2022.
- Several numbers to minimise, and constraints: see ``hpcho.samplers.aims``.
- Scrambled Halton points: Halton 1960; random digit permutations: Owen, "A randomized Halton algorithm in R", 2017.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from hpcho.goals import USUAL, Goals
from hpcho.samplers.aims import Aims, Chance
from hpcho.samplers.candidates import around, halton
from hpcho.samplers.coordinates import Coordinates
from hpcho.samplers.elsewhere import Elsewhere
from hpcho.samplers.history import next_tid, seed_for
from hpcho.samplers.memory import Kind, Memory
from hpcho.samplers.process import Posterior, Scales, fit, log_improvement, standardised

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcho.samplers.knowledge import Knowledge
    from hpcho.space import Space
    from hpcho.trial import Trial, Vals

__all__ = ["AutoSampler"]

log = logging.getLogger(__name__)

START = (4, 8)
"""So many trials at least and at most come before the model: one for each parameter between."""
MODELLED, FITTED = 100, 80
"""So many trials the model takes into account, and so many its scales are fitted to: the best, and the latest."""
BAD, PENDING = 32, 200
"""So many failed and so many pending ones, the latest."""
REFIT = 1.2
"""Scales are fitted anew when there are so many times as many losses."""
ENUMERATED = 4096
"""Spaces with no more points than this are looked at as a whole."""
LISTED = 100_000
"""Spaces with no more points than this are listed where every candidate has been tried."""
ELITE, ANYWHERE, NEAR, NEARER = 5, 64, 128, 48
"""Points to look around, and candidates: of the prior, around the elite, and in each refinement of the best four."""
REFINEMENTS = (0.1, 0.03, 0.01)
LEAST_WIDTH = 0.1
"""A bound narrower than this, in deviations, would send several workers to the same place."""
SAME = 1e-9
"""Coordinates nearer than this are the same."""
MODEL_NEEDS = 4
"""Losses without which there is nothing to fit."""
DOUBT = 2.0
"""How many losses it takes until those of other experiments are believed as far as they have held here."""

Belief = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Mean and deviation of the loss at points, which are rows of features."""


class AutoSampler:
    """A few scrambled quasi-random points, then the points that a Gaussian process of the losses holds most promising.

    Each suggestion knows the finished trials, those that failed (a bad loss, unless the infrastructure was the cause),
    and the pending ones, those suggested before it at once with it included. Half of the suggestions maximise the
    expected improvement, half a confidence bound of random width, by the toss of a coin that is the trial's own; as far
    as the losses are noise, points are quasi-random still. No point is suggested twice before all are used up. The cost
    has a bound, since the model sees so many trials only.

    What other experiments have found takes the place of the first points: the model then is of how the losses differ
    from what each of them lets one expect, the better ones of those counting more.
    """

    name = "auto"
    uses_history = True
    max_workers: int | None = None

    def __init__(self, space: Space, knowledge: Sequence[Knowledge] = (), goals: Goals = USUAL) -> None:
        self._space, self._knowledge, self._goals = space, knowledge, goals
        self._fitted: tuple[np.ndarray, Scales] | None = None
        self._has_warned = False

    def suggest(self, trials: Sequence[Trial], n: int, seed: int) -> list[Vals]:
        """``n`` points after ``trials``; the i-th depends on the trials, ``seed`` and the trial id it will get."""
        memory, at, first = self._memory, self._at, next_tid(trials)
        memory.update(trials)
        pending = memory.rows[memory.kinds == Kind.PENDING]
        points: list[Vals] = []
        for tid in range(first, first + n):
            row = self._next(tid, seed, pending)
            pending = np.concatenate([pending, row[None]])
            points.append(at.vals(row))
        return points

    @cached_property
    def _at(self) -> Coordinates:
        return Coordinates(self._space)

    @cached_property
    def _memory(self) -> Memory:
        return Memory(self._at, self._goals)

    @cached_property
    def _aims(self) -> Aims:
        return Aims(self._goals, self._at)

    @cached_property
    def _elsewhere(self) -> Elsewhere:
        return Elsewhere(self._knowledge, self._at)

    @cached_property
    def _every(self) -> np.ndarray | None:
        """All points, where they are few."""
        return self._at.every() if self._at.count() <= ENUMERATED else None

    def _next(self, tid: int, seed: int, pending: np.ndarray) -> np.ndarray:
        own = seed_for(seed, tid)
        rng = np.random.default_rng(own)
        self._aims.turn(self._memory, own)
        free = self._free(pending)
        if not self._at.size or not self._can_model():
            return self._start(tid, seed, rng, free, pending)
        fitted = self._fitted_to()
        scales = self._scales(fitted)
        if rng.spawn(1)[0].random() < _noise_share(scales):
            return self._start(tid, seed, rng, free, pending)
        belief, best, rivals, chance = self._model(scales, fitted, pending)
        score = self._score(rng, belief, rivals, chance)
        if free is not None:
            return np.asarray(free[np.argmax(score(free))])
        elite = best[:ELITE]
        if self._elsewhere.count:
            elite = np.concatenate([elite, self._elsewhere.best])
        return self._search(rng, score, elite, pending)

    def _can_model(self) -> bool:
        """Whether there are results enough to learn from, of which not all say the same."""
        memory, others = self._memory, self._elsewhere.count
        losses = memory.losses[memory.kinds == Kind.LOSS]
        bad = int((memory.kinds == Kind.BAD).sum())
        enough = min(max(self._at.size, START[0]), START[1])
        return len(losses) + bad + others >= enough and bool(
            others or (len(losses) and (bad or losses.min() < losses.max()))
        )

    def _free(self, pending: np.ndarray) -> np.ndarray | None:
        """The points that nobody has tried, where all can be listed.

        Once they are used up: those that nobody is trying now, and at last all of them.
        """
        every = self._every
        if every is None:
            return None
        free = _others(every, np.concatenate([self._memory.rows, pending]))
        if len(free):
            return free
        self._warn(len(every))
        idle = _others(every, pending)
        return idle if len(idle) else every

    def _untried(self, rng: np.random.Generator, pending: np.ndarray) -> np.ndarray | None:
        """A random point that nobody has tried, where those looked at have all been; None when there may be none."""
        at, taken = self._at, np.concatenate([self._memory.rows, pending])
        is_listed = at.count() <= LISTED
        pool = at.every() if is_listed else at.settled(at.drawn(rng.random((LISTED // 10, at.size))))
        free = _others(pool, taken)
        if len(free):
            return np.asarray(free[rng.integers(len(free))])
        self._warn(len(pool) if is_listed else None)
        return None

    def _warn(self, count: int | None) -> None:
        """Say once that points repeat; ``count``: how many there are."""
        if not self._has_warned:
            self._has_warned = True
            words = "no point is found that has not" if count is None else f"every point of the space ({count}) has"
            log.warning("%s been tried: from now on they repeat", words)

    def _is_taken(self, row: np.ndarray, pending: np.ndarray) -> bool:
        return _is_among(row, self._memory.rows) or _is_among(row, pending)

    def _first_untried(self, rng: np.random.Generator, pool: np.ndarray, pending: np.ndarray) -> np.ndarray:
        """The first of some rows that nobody has tried, or else another point; the very first where there is none."""
        found = next((row for row in pool if not self._is_taken(row, pending)), None)
        if found is None:
            found = self._untried(rng, pending)
        return np.asarray(pool[0] if found is None else found)

    def _start(
        self, tid: int, seed: int, rng: np.random.Generator, free: np.ndarray | None, pending: np.ndarray
    ) -> np.ndarray:
        """A quasi-random point; where it is taken, a random one."""
        at = self._at
        row = at.settled(at.drawn(halton(tid, at.size, seed)[None]))[0]
        if not self._is_taken(row, pending):
            return np.asarray(row)
        pool = at.settled(at.drawn(rng.random((ANYWHERE, at.size)))) if free is None else rng.permutation(free)
        return self._first_untried(rng, pool, pending)

    def _model(
        self, scales: Scales, fitted: np.ndarray, pending: np.ndarray
    ) -> tuple[Belief, np.ndarray, np.ndarray, Chance | None]:
        """What is known of the loss, the best rows, best first, those to improve on, and what is known of feasibility.

        The pending ones are to be improved on, too: others are at work on what is expected of them.
        """
        memory = self._memory
        chosen = _best_and_latest(np.flatnonzero(memory.kinds == Kind.LOSS), memory.ranks, MODELLED)
        best = memory.rows[chosen]
        rivals = np.concatenate([best[: min(ELITE, self._aims.feasible(chosen))], pending[-PENDING:]])
        return self._belief(scales, chosen, pending), best, rivals, self._aims.chance(memory, chosen, fitted)

    def _belief(self, scales: Scales, chosen: np.ndarray, pending: np.ndarray) -> Belief:
        """What is known of the loss, by the trials at some positions and those that failed."""
        memory, at = self._memory, self._at
        bad = np.flatnonzero(memory.kinds == Kind.BAD)[-BAD:]
        losses = standardised(memory.losses[chosen])
        losses = np.append(losses, np.full(len(bad), losses.max(initial=0.0) + 0.5))
        features = at.features(memory.rows[np.append(chosen, bad)])
        waiting = at.features(pending[-PENDING:])
        if not self._elsewhere.count:
            return Posterior(scales, at.column_of, features, losses, waiting)
        rest, expected = self._without_expected(features, losses, len(chosen))
        posterior = Posterior(scales, at.column_of, features, rest, waiting, doubt=DOUBT)

        def belief(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            mean, deviation = posterior(points)
            return mean + expected(points), deviation

        return belief

    def _without_expected(
        self, features: np.ndarray, losses: np.ndarray, known: int
    ) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
        """What is left of losses where other experiments' are taken off, and these at any point.

        How far they hold is judged by the first ``known`` ones.
        """
        elsewhere = self._elsewhere
        theirs = elsewhere.expected(features)
        constant, factors = elsewhere.weights(theirs[:known], losses[:known])
        return losses - constant - theirs @ factors, lambda at: constant + elsewhere.expected(at) @ factors

    def _fitted_to(self) -> np.ndarray:
        """The positions of the trials that were the first to finish, so many that scales hold for a while.

        What a pruned one counts with changes as others finish: it is left out.
        """
        memory = self._memory
        done = np.flatnonzero(memory.is_whole)
        if len(done) < MODEL_NEEDS:
            return done
        count = following = MODEL_NEEDS
        while following <= len(done):
            count, following = following, max(following + 1, int(following * REFIT))
        first = done[np.argsort(memory.ends[done], kind="stable")][:count]
        return _best_and_latest(first, memory.ranks, FITTED)

    def _scales(self, chosen: np.ndarray) -> Scales:
        """Fitted anew only where the trials that they are fitted to are others."""
        memory, at = self._memory, self._at
        if len(chosen) < MODEL_NEEDS:
            return self._elsewhere.scales if self._elsewhere.count else Scales.prior(at.size)
        key = np.array([memory.tids[chosen], memory.losses[chosen]])
        if self._fitted is None or not np.array_equal(self._fitted[0], key):
            features, losses = at.features(memory.rows[chosen]), standardised(memory.losses[chosen])
            if self._elsewhere.count:
                losses = self._without_expected(features, losses, len(losses))[0]
            self._fitted = key, fit(features, losses, at.column_of)
        return self._fitted[1]

    def _score(
        self, rng: np.random.Generator, belief: Belief, rivals: np.ndarray, chance: Chance | None
    ) -> Callable[[np.ndarray], np.ndarray]:
        """How promising points are, in the eyes of this suggestion."""
        features = self._at.features
        is_improvement, width = bool(rng.integers(2)), LEAST_WIDTH + rng.exponential()
        # The loss to improve on is the one expected at the best points, since one that was seen may be luck.
        # Where there are none, an average loss is.
        least = belief(features(rivals))[0].min() if len(rivals) else 0.0

        def score(rows: np.ndarray) -> np.ndarray:
            points = features(rows)
            mean, deviation = belief(points)
            found = log_improvement(least, mean, deviation) if is_improvement else width * deviation - mean
            return found if chance is None else found + chance(points)

        return score

    def _search(
        self,
        rng: np.random.Generator,
        score: Callable[[np.ndarray], np.ndarray],
        elite: np.ndarray,
        pending: np.ndarray,
    ) -> np.ndarray:
        """The best point that nobody has tried, of candidates that gather around the most promising ones."""
        at = self._at
        anywhere = at.drawn(rng.random((ANYWHERE, at.size)))
        pool = at.settled(np.concatenate([anywhere, around(rng, at, elite, NEAR, 0.005, 0.3)]))
        scores = score(pool)
        for scale in REFINEMENTS:
            top = pool[np.argsort(-scores)[:4]]
            more = at.settled(around(rng, at, top, NEARER, scale / 5, scale))
            pool, scores = np.concatenate([pool, more]), np.append(scores, score(more))
        return self._first_untried(rng, pool[np.argsort(-scores)], pending)


def _noise_share(scales: Scales) -> float:
    """How much of the losses' variance is noise: as far as they say nothing, points are drawn as at the start."""
    noise = math.exp(scales.noise)
    return noise / (1 + noise)


def _keys(rows: np.ndarray) -> np.ndarray:
    """A number for each row, equal for equal points, and for no others but by a chance of one in 2^64."""
    exact = np.rint(np.nan_to_num(rows, nan=-1.0, posinf=-2.0) / SAME).astype(np.int64)
    factors = np.random.default_rng(0).integers(2**62, size=rows.shape[1]) * 2 + 1
    return np.asarray((exact * factors).sum(axis=1))  # wraps around


def _others(rows: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """Those of ``rows`` that are not among ``taken``."""
    return np.asarray(rows[~np.isin(_keys(rows), _keys(taken))])


def _is_among(row: np.ndarray, rows: np.ndarray) -> bool:
    """Whether a point is one of others. Looks at one column after the other, since the first tells most apart."""
    same = np.arange(len(rows))
    for column, value in enumerate(row):
        others = rows[same, column]
        same = same[np.isnan(others) if np.isnan(value) else np.abs(others - value) < SAME]
        if not len(same):
            return False
    return True


def _best_and_latest(trials: np.ndarray, losses: np.ndarray, most: int) -> np.ndarray:
    """Positions of at most so many trials: half of them the best, the others the latest; by loss."""
    if len(trials) > most:
        is_best = np.zeros(len(trials), bool)
        is_best[np.argpartition(losses[trials], most // 2)[: most // 2]] = True
        trials = np.concatenate([trials[is_best], trials[~is_best][-(most - most // 2) :]])
    return np.asarray(trials[np.argsort(losses[trials], kind="stable")])
