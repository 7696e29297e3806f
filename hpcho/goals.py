"""What a search is after: the numbers to make small (``minimise:``) and the limits to keep (``constraints:``).

A number is the loss, ``duration_s``, or one that the objective has returned beside its loss: ``params_m``, or
``test.error`` for one inside a mapping. A trial keeps to a constraint only where the number is there and finite, and is
compared with others only where all numbers to be minimised are. They say nothing about how trials are made: goals may
change between two runs of one experiment.
"""

from __future__ import annotations

import math
import operator
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hpcho.trial import Trial

__all__ = ["USUAL", "Constraint", "Front", "Goals", "measured", "name_flaw", "undominated"]

SIGNS: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
NAME = re.compile(r"[^\s<>=]+")
CONSTRAINT = re.compile(r"\s*([^\s<>=]+)\s*(<=|>=|<|>)\s*([^\s<>=]+)\s*")
BLOCK = 512
"""So many points are compared at once."""


@dataclass(frozen=True)
class Constraint:
    """A limit that a number of the trial keeps to: ``params_m < 10``."""

    name: str
    sign: str
    limit: float

    @classmethod
    def read(cls, text: str) -> Constraint:
        """``NAME < NUMBER``, with any of the SIGNS. Raises ValueError, which says how to write it."""
        found = CONSTRAINT.fullmatch(text)
        if found is None:
            raise ValueError("must be NAME < NUMBER, with <, <=, > or >= in the middle: params_m < 10, say")
        name, sign, number = found.groups()
        try:
            limit = float(number)
        except ValueError:
            limit = math.nan
        if not math.isfinite(limit):
            swapped = f"; write the name first: {number} {sign.translate(str.maketrans('<>', '><'))} {name}"
            raise ValueError(f"must end in a number, and {number} is none{swapped if _is_number(name) else ''}")
        return cls(name, sign, limit)

    def __str__(self) -> str:
        return f"{self.name} {self.sign} {self.limit:g}"

    def is_met(self, trial: Trial) -> bool:
        """Whether the trial has the number and keeps to the limit."""
        value = measured(trial, self.name)
        return value is not None and SIGNS[self.sign](value, self.limit)

    def excess(self, trial: Trial) -> float | None:
        """How far the trial is beyond the limit, below zero where it is within; None where the number is missing."""
        value = measured(trial, self.name)
        return None if value is None else value - self.limit if self.sign[0] == "<" else self.limit - value


@dataclass(frozen=True)
class Goals:
    """What to minimise, the most important first, and the constraints."""

    minimise: tuple[str, ...] = ("loss",)
    constraints: tuple[Constraint, ...] = ()

    @classmethod
    def read(cls, minimise: Sequence[str], constraints: Sequence[str]) -> Goals:
        """As experiment.yaml has them. Raises ValueError for a constraint that is none."""
        return cls(tuple(minimise), tuple(map(Constraint.read, constraints)))

    @property
    def are_several(self) -> bool:
        """Whether there may be more than one best trial."""
        return len(self.minimise) > 1

    @property
    def is_loss_alone(self) -> bool:
        """Whether nothing but the loss is minimised; there may be constraints."""
        return self.minimise == ("loss",)

    @property
    def names(self) -> tuple[str, ...]:
        """The numbers that are minimised or limited, each once."""
        return tuple(dict.fromkeys([*self.minimise, *(limit.name for limit in self.constraints)]))

    def values(self, trial: Trial) -> dict[str, float] | None:
        """What is minimised, by name; None where a number is missing or not finite, or the trial not successful."""
        found = {name: measured(trial, name) for name in self.minimise}
        there = {name: value for name, value in found.items() if value is not None}
        return there if len(there) == len(found) else None

    def are_met(self, trial: Trial) -> bool:
        """Whether the trial is feasible: it keeps to all constraints, and all that is minimised is there."""
        is_there = all(measured(trial, name) is not None for name in self.minimise)
        return is_there and all(limit.is_met(trial) for limit in self.constraints)

    def rank(self, trial: Trial) -> tuple[bool, bool, float, int]:
        """Sorts trials by what is minimised first, as ``hpcho.trial.rank`` does; infeasible ones come last."""
        value = measured(trial, self.minimise[0])
        return not self.are_met(trial), trial.is_pruned, math.inf if value is None else value, trial.tid

    def front(self, trials: Iterable[Trial]) -> tuple[Trial, ...]:
        """The Pareto set: feasible trials than which no other is better in one number and as good in all others.

        Sorted by what is minimised first. Pruned trials are left out: they were ended early, and so took less time.
        """
        chosen = [trial for trial in trials if trial.is_ok and not trial.is_pruned and self.are_met(trial)]
        points = [tuple((self.values(trial) or {}).values()) for trial in chosen]
        return tuple(chosen[at] for at in undominated(points))

    def shortfalls(self, trial: Trial) -> list[str]:
        """Why a successful trial is not feasible, in words: ``no number size``, ``n < 10 is not kept``."""
        words = [f"no number {name}" for name in self.names if measured(trial, name) is None]
        beyond = [limit for limit in self.constraints if (limit.excess(trial) is not None) and not limit.is_met(trial)]
        return words + [f"{limit} is not kept" for limit in beyond]

    def account(self, trials: Iterable[Trial]) -> list[str]:
        """How many of the successful trials are not feasible, and why; a trial may be counted more than once."""
        done = [trial for trial in trials if trial.is_ok]
        counts = Counter(words for trial in done for words in self.shortfalls(trial))
        return [f"{words}: {count} of {len(done)} trials" for words, count in counts.items()]


class Front:
    """The Pareto set of the trials so far, one after the other; the same as ``Goals.front`` of all of them."""

    def __init__(self, goals: Goals, trials: Iterable[Trial] = ()) -> None:
        self._goals = goals
        self.points: dict[int, tuple[float, ...]] = {}
        """By tid: what is minimised."""
        for trial in trials:
            self.add(trial)

    def add(self, trial: Trial) -> list[int]:
        """Take the trial in where it belongs there; the tids of those that leave for it. Safe to repeat."""
        values = self._goals.values(trial)
        if values is None or trial.is_pruned or not self._goals.are_met(trial):
            return []
        point = tuple(values.values())
        if any(dominates(other, point) for other in self.points.values()):
            return []
        beaten = [tid for tid, other in self.points.items() if dominates(point, other)]
        for tid in beaten:
            del self.points[tid]
        self.points[trial.tid] = point
        return beaten


USUAL = Goals()
"""The loss alone, without constraints."""


def measured(trial: Trial, name: str) -> float | None:
    """The finite number ``name`` of a successful trial, else None."""
    if not trial.is_ok or trial.result is None:
        return None
    value: Any = trial.result.data
    if name == "loss":
        value = trial.result.loss
    elif name == "duration_s":
        value = None if trial.duration_s is None else max(trial.duration_s, 0.0)
    elif name in value:
        value = value[name]
    else:
        for key in name.split("."):
            value = value.get(key) if isinstance(value, Mapping) else None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else None


def name_flaw(name: str) -> str | None:
    """What is wrong with the name of a number; None where nothing is."""
    if NAME.fullmatch(name):
        return None
    return "must be loss, duration_s, or the name of a number that the objective returns beside its loss"


def dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether ``one`` is as good in all numbers, and better in one."""
    return all(a <= b for a, b in zip(one, other, strict=True)) and tuple(one) != tuple(other)


def undominated(points: Sequence[Sequence[float]]) -> list[int]:
    """Places of the points that no other dominates, sorted by their numbers; of equal ones all or none.

    Of two numbers it takes one pass over the sorted points (n log n), of more one comparison a point with those that
    stand so far.
    """
    order = sorted(range(len(points)), key=lambda at: (*points[at], at))
    if not points or len(points[0]) > 2:  # noqa: PLR2004 - two numbers
        return _undominated_of_many(points, order)
    found: list[int] = []
    for at in order:
        if not found or points[at][-1] < points[found[-1]][-1] or tuple(points[at]) == tuple(points[found[-1]]):
            found.append(at)
    return found


def _undominated_of_many(points: Sequence[Sequence[float]], order: Sequence[int]) -> list[int]:
    """``order`` is by the numbers: a later point dominates no earlier one."""
    import numpy as np  # noqa: PLC0415 - `hpcho --help` does without numpy

    found: list[int] = []
    standing = np.empty((0, len(points[0]) if points else 0))
    for at in order:
        point = np.asarray(points[at], float)
        is_beaten = ((standing[: len(found)] <= point).all(axis=1) & (standing[: len(found)] < point).any(axis=1)).any()
        if not is_beaten:
            if len(found) == len(standing):
                standing = np.concatenate([standing, np.empty((BLOCK, len(point)))])
            standing[len(found)] = point
            found.append(at)
    return found


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
