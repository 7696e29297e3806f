"""A search space made up from trials, where nobody has kept the one that they came from."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpcho.expression import Distribution
from hpcho.space.space import Kind, Leaf, Parameter, Space

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hpcho.trial import Trial

__all__ = ["observed"]

ENOUGH = 10
"""Values that tell their scale."""


@dataclass(frozen=True)
class Seen:
    """Numbers that were seen from ``low`` to ``high``; stored as they are."""

    low: float
    high: float
    is_whole: bool

    def distribution(self, label: str) -> Distribution:
        """Anything between."""
        return Distribution(label, "uniform", (self.low, self.high))

    def decode(self, stored: float) -> float:
        """The number itself; whole numbers as int, whatever hyperopt has stored."""
        return int(stored) if self.is_whole else float(stored)

    def encode(self, value: Any) -> float:
        """The number itself."""
        return float(value)


def observed(trials: Iterable[Trial]) -> Space:
    """The labels of ``trials`` as parameters, from the smallest value seen to the largest.

    What hyperopt keeps of a choice is its option's index: that is the value. A parameter that not every trial has is
    absent from the params of the others.
    """
    values: dict[str, list[float]] = {}
    for trial in trials:
        for label, stored in trial.vals.items():
            values.setdefault(label, []).extend(value for value in stored if isinstance(value, (int, float)))
    return Space([_part(label, found) for label, found in sorted(values.items()) if found])


def _part(label: str, found: list[float]) -> tuple[Parameter, list[Leaf]]:
    scale = Seen(min(found), max(found), all(float(value).is_integer() for value in found))
    node = scale.distribution(label)
    kind: Kind = "int" if scale.is_whole else "float"
    parameter = Parameter(label, label, kind, scale.low, scale.high, log=_is_log(found), node=node, scale=scale)
    return parameter, [Leaf(node, None)]


def _is_log(found: list[float]) -> bool:
    """Whether values are told apart on a logarithmic scale alone: they are positive, and most lie near the foot."""
    ordered = sorted(found)
    high, middle = ordered[int(0.95 * (len(ordered) - 1))], statistics.median(ordered)
    return len(ordered) >= ENOUGH and ordered[0] > 0 and high > 8 * middle
