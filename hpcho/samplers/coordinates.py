"""A search space as a cube: what a Gaussian process and a quasi-random sequence can reckon with."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtr, ndtri

from hpcho.expression import Choice, Distribution

if TYPE_CHECKING:
    from hpcho.space import Space
    from hpcho.trial import Vals

__all__ = ["Coordinates"]

EDGE = 1e-9
"""How near an unbounded distribution's coordinate comes to 0 and 1: six deviations."""


LARGEST = 709.0
"""The logarithm of about the largest float."""


@dataclass(frozen=True)
class Axis:
    """A number's way between what is stored and its probability under the prior, 0 to 1."""

    low: float
    high: float
    """Bounds of a uniform distribution, or mean and deviation of a normal one, of the logarithm if ``log``."""
    log: bool
    normal: bool
    step: float | None
    whole: bool

    @classmethod
    def of(cls, node: Distribution) -> Axis:
        """The axis of one of hyperopt's distributions."""
        name, args = node.name, node.args
        if name == "randint":
            low, high = (0.0, args[0]) if len(args) == 1 else args
            return cls(low - 0.5, high - 0.5, log=False, normal=False, step=1.0, whole=True)
        step = 1.0 if name == "uniformint" else args[2] if name.startswith("q") else None
        return cls(args[0], args[1], "log" in name, name.endswith("normal"), step, whole=False)

    @property
    def count(self) -> float:
        """How many values there are."""
        if self.step is None or self.normal:
            return math.inf
        first, last = self.stored(np.array([0.0, 1.0]))
        return float(round((last - first) / self.step) + 1)

    @property
    def grain(self) -> float:
        """The share of the axis that one value takes, on the average."""
        return 1 / self.count

    def stored(self, unit: np.ndarray) -> np.ndarray:
        """What is stored at coordinates from 0 to 1."""
        if self.normal:
            found = self.low + self.high * ndtri(np.minimum(np.maximum(unit, EDGE), 1 - EDGE))
        else:
            found = self.low + (self.high - self.low) * unit
        found = np.exp(np.minimum(found, LARGEST)) if self.log else found
        if self.step is None:
            return np.asarray(found)
        found = np.rint(found / self.step) * self.step
        if self.whole:  # the very edges round to even numbers, which may lie outside
            found = np.minimum(np.maximum(found, math.ceil(self.low)), math.floor(self.high))
        return np.asarray(found)

    def unit(self, stored: np.ndarray) -> np.ndarray:
        """The coordinates of what is stored."""
        number = np.log(np.maximum(stored, (self.step or 0) / 4 or 1e-300)) if self.log else stored
        if self.normal:
            return np.asarray(ndtr((number - self.low) / self.high))
        # np.clip takes as long as all the rest
        return np.minimum(np.maximum((number - self.low) / ((self.high - self.low) or 1.0), 0.0), 1.0)


class Coordinates:
    """Points as rows of an array, one column for each label of the space, in its order.

    A number's column holds its coordinate from 0 to 1, a choice's the index of its option; NaN: inactive.
    """

    def __init__(self, space: Space) -> None:
        leaves = space.leaves
        self.labels = space.labels
        self.size = len(leaves)
        place = {leaf.label: column for column, leaf in enumerate(leaves)}
        self.axes = [Axis.of(leaf.node) if isinstance(leaf.node, Distribution) else None for leaf in leaves]
        self.weights = [_weights(leaf.node) if isinstance(leaf.node, Choice) else None for leaf in leaves]
        self._steps = [None if weights is None else np.cumsum(weights)[:-1] for weights in self.weights]
        self.parents = [leaf.parent and (place[leaf.parent[0]], leaf.parent[1]) for leaf in leaves]
        self.numbers = np.array([axis is not None for axis in self.axes], dtype=bool)
        self.grains = np.array([axis.grain if axis else 0.0 for axis in self.axes])
        widths = [1 if weights is None else len(weights) for weights in self.weights]
        self.column_of = np.repeat(np.arange(self.size), widths)
        """Of each feature, the column that it comes from."""
        self._option_of = np.concatenate([np.arange(width) for width in widths] or [np.empty(0, int)])
        self._is_number = self.numbers[self.column_of]

    def row(self, vals: Vals) -> np.ndarray:
        """A stored point's coordinates."""
        found = np.full(self.size, np.nan)
        for column, (label, axis) in enumerate(zip(self.labels, self.axes, strict=True)):
            if stored := vals.get(label):
                found[column] = stored[0] if axis is None else float(axis.unit(np.array(stored[0])))
        return found

    def vals(self, row: np.ndarray) -> dict[str, list[Any]]:
        """The point at a settled row, in plain Python numbers."""
        point: dict[str, list[Any]] = {}
        for label, axis, unit in zip(self.labels, self.axes, row, strict=True):
            if math.isnan(unit):
                point[label] = []
            elif axis is None:
                point[label] = [int(unit)]
            else:
                stored = float(axis.stored(np.array(unit)))
                # a range beyond 2^53 ends between two floats
                point[label] = [min(int(stored), math.ceil(axis.high) - 1) if axis.whole else stored]
        return point

    def drawn(self, uniform: np.ndarray) -> np.ndarray:
        """Points of the prior from numbers that are uniform in [0, 1); not settled."""
        rows = uniform.copy()
        for column, steps in enumerate(self._steps):
            if steps is not None:
                rows[:, column] = np.searchsorted(steps, uniform[:, column], side="right")
        return rows

    def settled(self, rows: np.ndarray) -> np.ndarray:
        """The rows with every number at a value that it can have, and NaN where a label is inactive."""
        rows = rows.copy()
        for column, axis in enumerate(self.axes):
            if axis is not None and axis.step is not None:
                rows[:, column] = axis.unit(axis.stored(rows[:, column]))
            parent = self.parents[column]
            if parent is not None:
                rows[rows[:, parent[0]] != parent[1], column] = np.nan
        return rows

    def features(self, rows: np.ndarray) -> np.ndarray:
        """Columns for a kernel: numbers as they are, choices as one column an option; two options are 1 apart.

        What is inactive lies in the middle of a number's axis, and between all options of a choice.
        """
        wide = rows[:, self.column_of]
        numbers = np.where(np.isnan(wide), 0.5, wide)
        return np.where(self._is_number, numbers, (wide == self._option_of) * math.sqrt(0.5))

    def count(self) -> float:
        """How many different points there are."""
        return self._count(None)

    def _count(self, parent: tuple[int, int] | None) -> float:
        total = 1.0
        for column, (axis, weights) in enumerate(zip(self.axes, self.weights, strict=True)):
            if self.parents[column] == parent:
                if axis is not None:
                    total *= axis.count
                elif weights is not None:
                    total *= sum(self._count((column, option)) for option, weight in enumerate(weights) if weight > 0)
        return total

    def every(self) -> np.ndarray:
        """All points of a space whose ``count`` is finite, settled, none twice."""
        rows = np.full((1, self.size), np.nan)
        for column, (axis, weights) in enumerate(zip(self.axes, self.weights, strict=True)):
            if axis is not None:
                values = (np.arange(int(axis.count)) + 0.0) * (axis.step or 1.0) + axis.stored(np.array(0.0))
                options = axis.unit(values)
            else:
                options = np.flatnonzero(np.asarray(weights) > 0).astype(float)
            parent = self.parents[column]
            here = np.ones(len(rows), bool) if parent is None else rows[:, parent[0]] == parent[1]
            grown = np.repeat(rows[here], len(options), axis=0)
            grown[:, column] = np.tile(options, int(here.sum()))
            rows = np.concatenate([rows[~here], grown])
        return rows


def _weights(choice: Choice) -> tuple[float, ...]:
    return choice.weights or (1 / len(choice.options),) * len(choice.options)
