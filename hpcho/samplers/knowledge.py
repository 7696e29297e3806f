"""What other experiments have found, for a sampler to begin with (``warm_start:``)."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from statistics import quantiles
from typing import TYPE_CHECKING, Any

from hpcho.errors import UsageError
from hpcho.trial import Result, Trial, TrialState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpcho.jobdir import JobDir
    from hpcho.samplers.base import Sampler
    from hpcho.trial import Vals

__all__ = ["Informed", "Knowledge", "read_knowledge", "write_knowledge"]

ENOUGH = 4
"""Losses of this experiment, before others' are brought to their scale."""
GROWTH = 1.5
"""The scale is taken anew when there are so many times as many."""


@dataclass(frozen=True)
class Knowledge:
    """Trials of one other experiment that are points of this one's space too.

    ``place`` is what the YAML calls it, ``total`` counts all its trials, and ``unused`` those that are not used, by
    the reason.
    """

    place: str
    total: int
    points: tuple[tuple[Vals, float], ...]
    """Points of this experiment's space, with their losses there."""
    unused: Mapping[str, int] = field(default_factory=dict)

    @property
    def words(self) -> str:
        """How many trials are used, and why others are not."""
        why = ", ".join(f"{count} {reason}" for reason, count in self.unused.items())
        if not self.points:
            return f"warm_start: {self.place} has nothing to begin with: {why or 'no trials'}"
        rest = f"; not used: {why}" if why else ""
        return f"warm_start: {len(self.points)} of {self.total} trials of {self.place} are used{rest}"

    def to_json(self) -> dict[str, Any]:
        """Plain data, for the job directory."""
        return {
            "place": self.place,
            "total": self.total,
            "unused": dict(self.unused),
            "trials": [{"vals": {k: list(v) for k, v in vals.items()}, "loss": loss} for vals, loss in self.points],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Knowledge:
        """What ``to_json`` gave."""
        points = tuple((trial["vals"], trial["loss"]) for trial in data["trials"])
        return cls(data["place"], data["total"], points, data["unused"])


def write_knowledge(jobdir: JobDir, knowledge: Sequence[Knowledge]) -> None:
    """Keep it in the job directory: a source that is moved or goes on does not change a run that began with it."""
    if knowledge:
        text = json.dumps([source.to_json() for source in knowledge], ensure_ascii=False)
        jobdir.knowledge.write_text(text + "\n", encoding="utf-8")


def read_knowledge(jobdir: JobDir) -> tuple[Knowledge, ...]:
    """What the run in ``jobdir`` began with. Raises UsageError when it cannot be read."""
    try:
        return tuple(map(Knowledge.from_json, json.loads(jobdir.knowledge.read_text(encoding="utf-8"))))
    except FileNotFoundError:
        return ()
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{jobdir.knowledge} is damaged ({error}): bring it back from a copy, or move it away to go on without"
        ) from error


class Informed:
    """A sampler that is shown others' trials before this experiment's own, as finished ones.

    Their ids are negative, so that they come first and take no trial's place. Samplers compare losses, and another data
    set's may all be smaller: once there are a few losses here, each source's are brought to the same median and spread.
    """

    def __init__(self, sampler: Sampler, knowledge: Sequence[Knowledge]) -> None:
        self._sampler, self._knowledge = sampler, knowledge
        self.name, self.uses_history, self.max_workers = sampler.name, sampler.uses_history, sampler.max_workers
        self._shown: tuple[tuple[float, ...], list[Trial]] | None = None

    def suggest(self, trials: Sequence[Trial], n: int, seed: int) -> list[Vals]:
        """``n`` points after ``trials``; the i-th depends on them, what is known, ``seed`` and its trial id."""
        return self._sampler.suggest([*self._others(_first_losses(trials)), *trials], n, seed)

    def _others(self, losses: tuple[float, ...]) -> list[Trial]:
        """The same objects while the scale is the same: samplers tell by them that nothing has changed."""
        if self._shown is None or self._shown[0] != losses:
            points = [
                (vals, loss)
                for source in self._knowledge
                for (vals, _), loss in zip(source.points, _brought_to(losses, source), strict=True)
            ]
            self._shown = losses, [_trial(at - len(points), *point) for at, point in enumerate(points)]
        return self._shown[1]


def _trial(tid: int, vals: Vals, loss: float) -> Trial:
    return Trial(tid=tid, state=TrialState.DONE, version=0, vals=vals, origin="warm_start", result=Result(loss))


def _first_losses(trials: Sequence[Trial]) -> tuple[float, ...]:
    """Losses of the trials that finished first, so many that they stay the same for some time; none of a few."""
    done = [(trial.finished_at or 0.0, trial.tid, trial.loss) for trial in trials if trial.loss is not None]
    count, following = 0, ENOUGH
    while following <= len(done):
        count, following = following, int(following * GROWTH)
    return tuple(loss for _, _, loss in sorted(done)[:count])


def _brought_to(losses: Sequence[float], source: Knowledge) -> list[float]:
    """The source's losses, on the scale of ``losses``; as they are where there are too few of either."""
    theirs = [loss for _, loss in source.points]
    if len(losses) < ENOUGH or len(theirs) < ENOUGH:
        return theirs
    (here, spread), (there, their_spread) = _scale(losses), _scale(theirs)
    ratio = spread / their_spread if their_spread > 0 else 0.0
    return [here + (loss - there) * ratio for loss in theirs]


def _scale(losses: Sequence[float]) -> tuple[float, float]:
    """The median, and the distance from it to the best tenth: bad losses say little of how the good ones differ."""
    deciles = quantiles(losses, n=10, method="inclusive")
    return deciles[4], deciles[4] - deciles[0]
