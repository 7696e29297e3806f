"""Points to choose from: quasi-random ones, and those around good ones."""

from __future__ import annotations

import math
from itertools import count, islice
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from hpcho.samplers.coordinates import Coordinates

__all__ = ["around", "halton"]

PRIMES = tuple(islice((n for n in count(2) if all(n % k for k in range(2, math.isqrt(n) + 1))), 30))
DIGITS = 20
"""Of a Halton coordinate, in bits: enough for a million points."""
SHARES = np.array([0.0, 0.3, 1.0])
"""Of the parameters that move: a few, some, or all."""
FEW = 1.5
"""So many parameters move at least, on the average."""
GRAINS = 0.8
"""A move's deviation is not less than so many steps of a parameter, or it would lead nowhere."""


def halton(index: int, size: int, seed: int) -> np.ndarray:
    """The ``index``-th of a sequence of points in [0, 1)^size, evenly spread from the first on; ``seed`` scrambles it.

    Beyond 30 coordinates bases come again, with permutations of their own.
    """
    rng = np.random.default_rng([seed, size])
    point = np.empty(size)
    for column in range(size):
        base = PRIMES[column % len(PRIMES)]
        share, value, rest = 1.0, 0.0, index
        for _ in range(math.ceil(DIGITS / math.log2(base))):
            share /= base
            value += share * float(rng.permutation(base)[rest % base])
            rest //= base
        point[column] = value + share * rng.random()
    return np.minimum(point, 1 - 1e-12)


def around(
    rng: np.random.Generator, at: Coordinates, centres: np.ndarray, amount: int, least: float, most: float
) -> np.ndarray:
    """``amount`` points (not settled) near some of ``centres``, a few or all of whose parameters have moved.

    Numbers move by a normal deviate, whose deviation lies between ``least`` and ``most`` of the axis; a choice takes
    another option half of the time. What is inactive at the centre is drawn from the prior.
    """
    base = centres[rng.integers(len(centres), size=amount)]
    prior = at.drawn(rng.random(base.shape))
    share = np.maximum(SHARES[rng.integers(len(SHARES), size=(amount, 1))], FEW / at.size)
    moves = rng.random(base.shape) < share
    deviation = np.exp(rng.uniform(math.log(least), math.log(most), (amount, 1)))
    number = np.abs(base + np.maximum(deviation, GRAINS * at.grains) * rng.normal(size=base.shape))
    number = np.minimum(np.maximum(np.where(number > 1, 2 - number, number), 0.0), 1.0)
    option = np.where(rng.integers(2, size=base.shape), prior, base)
    moved = np.where(moves, np.where(at.numbers, number, option), base)
    return np.where(np.isnan(base), prior, moved)
