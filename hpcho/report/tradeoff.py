"""What one number costs in another: the two that are drawn against each other, and the Pareto set."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpcho.goals import Goals, measured
from hpcho.report.axis import Axis, duration_axis, loss_axis, real

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hpcho.trial import Trial

__all__ = ["Tradeoff", "tradeoff"]


@dataclass(frozen=True, slots=True)
class Tradeoff:
    """Numbers of the successful trials. ``duration_s`` lies across where it is one of the two; loss and time are usual.

    ``front`` has the tids of the Pareto set, by ``across``. ``is_line``: no more than these two are minimised, so that
    a line through the front bounds all other feasible trials.
    """

    across: str
    up: str
    places: Mapping[int, tuple[float, float]]
    """tid -> both numbers, of trials that have both."""
    front: tuple[int, ...]
    is_line: bool

    @property
    def title(self) -> str:
        """``Loss against duration``."""
        words = [name.replace("duration_s", "duration") for name in (self.up, self.across)]
        return f"{words[0][:1].upper()}{words[0][1:]} against {words[1]}"

    def axis(self, name: str) -> tuple[Axis, float]:
        """The axis of one of the two, and its unit in seconds, or 1."""
        values = [pair[name == self.up] for pair in self.places.values()]
        return duration_axis(values) if name == "duration_s" else (loss_axis(values, name), 1.0)


def tradeoff(trials: Iterable[Trial], goals: Goals) -> Tradeoff:
    """The first two numbers that are minimised; where it is the loss alone, loss and duration."""
    goals = goals if goals.are_several else Goals((*goals.minimise, "duration_s"), goals.constraints)
    if goals.minimise == ("duration_s", "duration_s"):
        goals = Goals(("loss", "duration_s"), goals.constraints)
    up, across = goals.minimise[:2] if goals.minimise[0] != "duration_s" else goals.minimise[1::-1]
    trials = list(trials)
    places = {}
    for trial in trials:
        pair = real(measured(trial, across)), real(measured(trial, up))
        if pair[0] is not None and pair[1] is not None:
            places[trial.tid] = pair[0], pair[1]
    front = sorted(goals.front(trials), key=lambda trial: (*places.get(trial.tid, (math.inf, math.inf)), trial.tid))
    return Tradeoff(across, up, places, tuple(trial.tid for trial in front), len(goals.minimise) == 2)  # noqa: PLR2004
