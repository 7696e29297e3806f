"""What auto makes of several numbers to minimise, and of constraints.

Where its parts come from:

- One number of several, the largest of their weighted distances from the best, with weights drawn anew for each
  suggestion (an augmented Tchebycheff norm): Knowles, "ParEGO", IEEE Transactions on Evolutionary Computation 10, 2006.
- Expected improvement times the probability that the constraints are kept, each with a Gaussian process of its own:
  Gardner and others, "Bayesian optimization with inequality constraints", ICML 2014.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import log_ndtr

from hpcho.goals import USUAL
from hpcho.samplers.memory import Kind
from hpcho.samplers.process import Posterior, Scales, fit, standardised

if TYPE_CHECKING:
    from hpcho.goals import Goals
    from hpcho.samplers.coordinates import Coordinates
    from hpcho.samplers.memory import Memory

__all__ = ["Aims"]

AUGMENTED = 0.05
"""How much the sum of the weighted distances counts beside the largest one."""
LEAST_FITTED = 4
"""Excesses without which there is nothing to fit."""

Chance = Callable[[np.ndarray], np.ndarray]
"""The logarithm of the probability that points, which are rows of features, are feasible."""


class Aims:
    """Turns what a memory has noted into one loss a trial, another one for each suggestion, and feasibility."""

    def __init__(self, goals: Goals, coordinates: Coordinates) -> None:
        self._goals, self._at = goals, coordinates
        self._fitted: dict[int, tuple[bytes, Scales]] = {}

    def turn(self, memory: Memory, seed: int) -> None:
        """Give the memory the losses that the suggestion to come makes small, and the ranks of the trials by them.

        ``seed`` is the suggestion's. Infeasible trials rank after all feasible ones, those that are least beyond the
        limits first. A trial without one of the numbers to minimise counts as one without a loss.
        """
        if self._goals == USUAL:
            memory.ranks = memory.losses
            return
        count = len(self._goals.minimise)
        if not self._goals.is_loss_alone:
            values = memory.numbers[:, :count]
            is_there = (memory.kinds == Kind.LOSS) & np.isfinite(values).all(axis=1)
            memory.kinds = np.where((memory.kinds == Kind.LOSS) & ~is_there, Kind.BAD, memory.kinds)
            memory.losses = np.full(len(values), np.nan)
            memory.losses[is_there] = _one_of_many(values[is_there], np.random.default_rng([seed, 1]))
            memory.is_whole = memory.is_whole & is_there
        self._is_feasible = memory.numbers[:, -1] > 0
        beyond = sum((_scaled(memory.numbers[:, at]) for at in self._columns), np.zeros(len(memory.losses)))
        worst = np.nanmax(memory.losses, initial=0.0, where=np.isfinite(memory.losses))
        memory.ranks = np.where(self._is_feasible, memory.losses, worst + 1 + beyond)

    def feasible(self, chosen: np.ndarray) -> int:
        """How many of the trials at some positions are feasible; they are the first by rank."""
        return len(chosen) if self._goals == USUAL else int(self._is_feasible[chosen].sum())

    def chance(self, memory: Memory, chosen: np.ndarray, fitted: np.ndarray) -> Chance | None:
        """What the trials at positions ``chosen`` tell of feasibility; None where they tell nothing.

        ``fitted`` are the positions of those that scales are fitted to.
        """
        chances = [self._chance_of(at, memory, chosen, fitted) for at in self._columns]
        known = [chance for chance in chances if chance is not None]
        return (lambda features: np.sum([chance(features) for chance in known], axis=0)) if known else None

    @property
    def _columns(self) -> range:
        count = len(self._goals.minimise)
        return range(count, count + len(self._goals.constraints))

    def _chance_of(self, column: int, memory: Memory, chosen: np.ndarray, fitted: np.ndarray) -> Chance | None:
        excess = memory.numbers[:, column]
        chosen, fitted = chosen[np.isfinite(excess[chosen])], fitted[np.isfinite(excess[fitted])]
        if not len(chosen) or excess[chosen].min() == excess[chosen].max():
            return None
        scales = self._scales(column, memory.rows[fitted], excess[fitted])
        compressed = _compressed(excess[chosen])
        middle, spread = float(compressed.mean()), max(float(compressed.std()), 1e-9)
        features = self._at.features(memory.rows[chosen])
        nobody = features[:0]
        model = Posterior(scales, self._at.column_of, features, (compressed - middle) / spread, nobody)
        limit = -middle / spread

        def chance(points: np.ndarray) -> np.ndarray:
            mean, deviation = model(points)
            return np.asarray(log_ndtr((limit - mean) / deviation))

        return chance

    def _scales(self, column: int, rows: np.ndarray, excess: np.ndarray) -> Scales:
        if len(rows) < LEAST_FITTED or excess.min() == excess.max():
            return Scales.prior(self._at.size)
        key = rows.tobytes() + excess.tobytes()
        known = self._fitted.get(column)
        if known is None or known[0] != key:
            compressed = _compressed(excess)
            compressed = (compressed - compressed.mean()) / max(float(compressed.std()), 1e-9)
            known = self._fitted[column] = key, fit(self._at.features(rows), compressed, self._at.column_of)
        return known[1]


def _one_of_many(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One number a row: the largest of the weighted distances from the best of each column, and a little of all."""
    weights = rng.dirichlet(np.ones(values.shape[1]))
    if not len(values):
        return np.empty(0)
    scaled = np.stack([standardised(column) for column in values.T], axis=1)
    scaled -= scaled.min(axis=0)
    scaled /= np.maximum(scaled.max(axis=0), 1e-9)
    weighted = scaled * weights
    return np.asarray(weighted.max(axis=1) + AUGMENTED * weighted.sum(axis=1))


def _compressed(excess: np.ndarray) -> np.ndarray:
    """Far excesses, on both sides of the limit, compressed: what matters is where it is passed."""
    unit = max(float(np.median(np.abs(excess))), 1e-12)
    return np.asarray(np.sign(excess) * np.log1p(np.abs(excess) / unit))


def _scaled(excess: np.ndarray) -> np.ndarray:
    """How far beyond the limit, 0 within, in units of what is usual; an excess that is missing is a large one."""
    beyond = np.where(np.isnan(excess), np.inf, np.maximum(excess, 0.0))
    there = beyond[(beyond > 0) & np.isfinite(beyond)]
    unit = float(np.median(there)) if len(there) else 1.0
    return np.minimum(beyond / max(unit, 1e-12), 1e6)
