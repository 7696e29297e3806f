"""From a sampler's name in experiment.yaml to the sampler."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hpcho.errors import UsageError
from hpcho.goals import USUAL, Goals
from hpcho.samplers.aimed import Aimed
from hpcho.samplers.atpe import AtpeSampler
from hpcho.samplers.hyperopt_sampler import HyperoptSampler, RandomSampler
from hpcho.samplers.knowledge import Informed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcho.experiment.schema import SamplerSpec
    from hpcho.samplers.base import Sampler
    from hpcho.samplers.knowledge import Knowledge
    from hpcho.space import Space

__all__ = ["build", "check_workers"]


THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")


def build(spec: SamplerSpec, space: Space, knowledge: Sequence[Knowledge] = (), *, goals: Goals = USUAL) -> Sampler:
    """The sampler that ``spec`` names. Raises UsageError when it cannot work here or with this space.

    ``knowledge``: what other experiments have found, which is of no use to those that look at no trials, nor where
    something else than the loss is minimised. Of ``goals`` all but auto see the first, and infeasible trials as failed.
    atpe's models and what auto needs of scipy are loaded at once, hyperopt at the first suggestion.
    """
    knowledge = knowledge if goals.is_loss_alone else ()
    if spec.name == "auto":
        return _auto(space, knowledge, goals)
    sampler = _uninformed(spec, space)
    if goals != USUAL and sampler.uses_history:
        sampler = Aimed(sampler, goals)
    return Informed(sampler, knowledge) if knowledge and sampler.uses_history else sampler


def _uninformed(spec: SamplerSpec, space: Space) -> Sampler:
    if spec.name == "random":
        return RandomSampler(space)
    if spec.name == "atpe":
        return AtpeSampler(space)
    if spec.name.startswith("optuna:"):
        return _optuna(spec, space)
    return HyperoptSampler(spec.name, space, spec.options)


def _auto(space: Space, knowledge: Sequence[Knowledge], goals: Goals) -> Sampler:
    """hpcho's own sampler, with one thread for its linear algebra.

    Its matrices are small: several threads would wait for one another, the longer the busier the workers keep the
    cores. The libraries read their number when they are loaded, so this holds where numpy was not imported before.
    """
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update({name: value or "1" for name, value in before.items()})
    try:
        from hpcho.samplers.auto import AutoSampler  # noqa: PLC0415 - `hpcho --help` does without numpy
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]  # workers inherit the environment, and may have all threads they want
    return AutoSampler(space, knowledge, goals)


def _optuna(spec: SamplerSpec, space: Space) -> Sampler:
    try:
        from hpcho.samplers.optuna_sampler import OptunaSampler  # noqa: PLC0415 - an extra, and slow to import
    except ImportError as error:
        raise UsageError(
            f"sampler {spec.name} needs Optuna, version 4.4 or newer, which cannot be imported here: {error}. "
            'Install it with: pip install "hpcho[optuna]"'
        ) from error
    return OptunaSampler(spec.name, space, spec.options)


def check_workers(name: str, workers: int) -> None:
    """Raise UsageError when ``workers`` at once are more than the sampler ``name`` can do with."""
    if name == AtpeSampler.name and workers > 1:
        raise UsageError(
            f"sampler {name} works with one worker only, and there may be {workers}: it cannot take trials that are "
            "still running into account, and would suggest nearly the same point again. "
            "Write `launcher: {local: {workers: 1}}`, or take sampler auto."
        )
