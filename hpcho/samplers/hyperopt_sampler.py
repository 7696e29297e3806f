"""hyperopt's tpe, anneal and random search as pure samplers."""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from hpcho.samplers.history import History, next_tid, seed_for
from hpcho.samplers.prior import Prior, plain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpcho.space import Space
    from hpcho.trial import Trial, Vals

__all__ = ["HyperoptSampler", "RandomSampler", "domain_of"]


def domain_of(space: Space) -> Any:
    """The space as hyperopt's suggest functions take it: a ``Domain`` whose objective is never called."""
    from hyperopt.base import Domain  # noqa: PLC0415 - importing hyperopt takes a second

    return Domain(None, space.hyperopt(), pass_expr_memo_ctrl=False)


class HyperoptSampler:
    """``hyperopt.tpe.suggest`` or ``hyperopt.anneal.suggest``, one point after another.

    Each point sees those suggested before it as pending, so that two points suggested at once are the two that would
    have been suggested one by one. ``History`` says what a trial of each state means.
    """

    uses_history = True
    max_workers: int | None = None

    def __init__(self, name: str, space: Space, options: Mapping[str, Any]) -> None:
        """``name``: tpe or anneal; ``options``: keyword arguments of its suggest function."""
        self.name = name
        self._space = space
        self._options = options
        self._history = History()

    def suggest(self, trials: Sequence[Trial], n: int, seed: int) -> list[Vals]:
        """``n`` points after ``trials``; the i-th depends on the trials, ``seed`` and the trial id it will get."""
        import numpy as np  # noqa: PLC0415 - `hpcho --help` does without numpy
        from hyperopt import trials_from_docs  # noqa: PLC0415 - importing hyperopt takes a second

        documents = self._history.documents(trials)
        first = next_tid(trials)
        for tid in range(first, first + n):
            view = trials_from_docs(documents, validate=False)
            # hyperopt takes logarithms of densities that are zero, and means the -inf it gets.
            with np.errstate(all="ignore"):
                documents += self._algorithm([tid], self._domain, view, seed_for(seed, tid))
        return [plain(document["misc"]["vals"]) for document in documents[len(documents) - n :]]

    @cached_property
    def _domain(self) -> Any:
        return domain_of(self._space)

    @cached_property
    def _algorithm(self) -> Any:
        from hyperopt import anneal, tpe  # noqa: PLC0415 - importing hyperopt takes a second

        algorithms = {"tpe": partial(tpe.suggest, verbose=False), "anneal": anneal.suggest}
        return partial(algorithms[self.name], **self._options)


class RandomSampler:
    """``hyperopt.rand.suggest``: each point depends on its seed alone, so history is not even looked at."""

    name = "random"
    uses_history = False
    max_workers: int | None = None

    def __init__(self, space: Space) -> None:
        self._space = space

    def suggest(self, trials: Sequence[Trial], n: int, seed: int) -> list[Vals]:
        """``n`` points; the i-th depends on ``seed`` and the trial id it will get."""
        from numpy.random import default_rng  # noqa: PLC0415 - `hpcho --help` does without numpy

        first = next_tid(trials)
        return [self._prior.draw(default_rng(seed_for(seed, tid))) for tid in range(first, first + n)]

    @cached_property
    def _prior(self) -> Prior:
        return Prior(domain_of(self._space))
