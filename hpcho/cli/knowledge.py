"""What a run begins with where its ``warm_start:`` names other experiments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcho import samplers
from hpcho.cli.output import warn
from hpcho.opening.warm_start import gather

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcho.opening import Opened
    from hpcho.samplers import Knowledge

__all__ = ["gathered", "words"]

IGNORANT = ("random", "optuna:QMCSampler", "optuna:RandomSampler")
"""Samplers that look at no trials."""


def gathered(opened: Opened, *, fresh: bool = False) -> tuple[Knowledge, ...]:
    """What was taken at the first run, or else what is to be taken now; warns of what is of no use.

    ``fresh``: an earlier run does not matter. Raises ExperimentError, StoreError.
    """
    if opened.record is not None and not fresh:
        return samplers.read_knowledge(opened.jobdir)
    knowledge = gather(opened)
    for source in knowledge:
        if not source.points:
            warn(source.words)
    if opened.experiment.sampler.name in IGNORANT and any(source.points for source in knowledge):
        warn(f"warm_start: sampler {opened.experiment.sampler.name} looks at no trials, and makes nothing of these")
    return knowledge


def words(knowledge: Sequence[Knowledge]) -> list[str]:
    """What is used, a line for each source that has something."""
    return [source.words for source in knowledge if source.points]
