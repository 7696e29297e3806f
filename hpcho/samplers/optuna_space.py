"""A search space in Optuna's terms: a distribution for each label, walked from parents to children."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from hpcho.expression import Choice, Distribution
from hpcho.samplers.coordinates import EDGE, Axis
from hpcho.space.expressions import bounds

if TYPE_CHECKING:
    from collections.abc import Callable

    from optuna.distributions import BaseDistribution

    from hpcho.space import Space
    from hpcho.trial import Vals

__all__ = ["OptunaSpace"]


@dataclass(frozen=True)
class Way:
    """A label's way between what Optuna suggests and what is stored."""

    distribution: BaseDistribution
    stored: Callable[[Any], Any]
    suggested: Callable[[Any], Any]


class OptunaSpace:
    """Points as Optuna has them: params by label, inactive ones absent.

    Bounded numbers are Optuna's own floats and ints, stepped ones by the number of their step. What Optuna has no
    distribution for (hyperopt's normal ones, and logarithmic steps that begin at 0) is its probability under the
    prior, from 0 to 1. A choice is the index of its option; options of weight 0 are left out, and Optuna does not know
    the weights of the others.
    """

    def __init__(self, space: Space) -> None:
        self._leaves = space.leaves
        self._ways = {leaf.label: _way(leaf.node) for leaf in space.leaves}

    def walk(self, suggest: Callable[[str, BaseDistribution], Any]) -> dict[str, list[Any]]:
        """The point that ``suggest`` chooses; it is asked for active labels alone, choices before what they hold."""
        vals: dict[str, list[Any]] = {}
        for leaf in self._leaves:
            way = self._ways[leaf.label]
            is_active = leaf.parent is None or vals[leaf.parent[0]] == [leaf.parent[1]]
            vals[leaf.label] = [way.stored(suggest(leaf.label, way.distribution))] if is_active else []
        return vals

    def params(self, vals: Vals) -> dict[str, Any]:
        """A stored point as Optuna's params."""
        return {label: way.suggested(stored[0]) for label, way in self._ways.items() if (stored := vals.get(label))}

    def distributions(self, labels: dict[str, Any]) -> dict[str, BaseDistribution]:
        """Those of some labels."""
        return {label: self._ways[label].distribution for label in labels}


def _way(node: Distribution | Choice) -> Way:
    if isinstance(node, Choice):
        weights = node.weights or (1.0,) * len(node.options)
        options = [index for index, weight in enumerate(weights) if weight > 0]
        return Way(
            CategoricalDistribution(options), int, lambda stored: int(stored) if int(stored) in options else options[0]
        )
    low, high = bounds(node)
    is_log = "log" in node.name
    if low is None or high is None or node.name.endswith("normal"):
        return _by_probability(node)
    if node.name in ("uniform", "loguniform"):
        return Way(FloatDistribution(low, high, log=is_log), float, lambda stored: min(max(float(stored), low), high))
    is_whole, step = node.name == "randint", float(node.args[2]) if node.name.startswith("q") else 1.0
    first, last = round(low / step), round(high / step)
    if is_log and first < 1:
        return _by_probability(node)
    return Way(
        IntDistribution(first, last, log=is_log),
        int if is_whole else lambda index: float(index * step),
        lambda stored: min(max(round(stored / step), first), last),
    )


def _by_probability(node: Distribution) -> Way:
    axis = Axis.of(node)
    return Way(
        FloatDistribution(EDGE, 1 - EDGE),
        lambda unit: float(axis.stored(np.array(unit))),
        lambda stored: min(max(float(axis.unit(np.array(stored))), EDGE), 1 - EDGE) if math.isfinite(stored) else 0.5,
    )
