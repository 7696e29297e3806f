"""From a sampler's name in experiment.yaml to the sampler."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcho.errors import UsageError
from hpcho.samplers.atpe import AtpeSampler
from hpcho.samplers.hyperopt_sampler import HyperoptSampler, RandomSampler

if TYPE_CHECKING:
    from hpcho.experiment.schema import SamplerSpec
    from hpcho.samplers.base import Sampler
    from hpcho.space import Space

__all__ = ["build", "check_workers"]


def build(spec: SamplerSpec, space: Space) -> Sampler:
    """The sampler that ``spec`` names. Raises UsageError when it cannot work here or with this space.

    Cheap but for atpe, whose models are loaded at once: hyperopt is imported at the first suggestion.
    """
    if spec.name == "auto":
        from hpcho.samplers.auto import AutoSampler  # noqa: PLC0415 - `hpcho --help` does without numpy

        return AutoSampler(space)
    if spec.name == "random":
        return RandomSampler(space)
    if spec.name == "atpe":
        return AtpeSampler(space)
    return HyperoptSampler(spec.name, space, spec.options)


def check_workers(name: str, workers: int) -> None:
    """Raise UsageError when ``workers`` at once are more than the sampler ``name`` can do with."""
    if name == AtpeSampler.name and workers > 1:
        raise UsageError(
            f"sampler {name} works with one worker only, and there may be {workers}: it cannot take trials that are "
            "still running into account, and would suggest nearly the same point again. "
            "Write `launcher: {local: {workers: 1}}`, or take sampler tpe."
        )
