"""What a sampler is: a pure proposal of new points from the trials there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcho.trial import Trial, Vals

__all__ = ["Sampler"]


class Sampler(Protocol):
    """Proposes points. Data in, data out: the same arguments give the same points."""

    name: str
    uses_history: bool
    """Whether finished trials influence the next point. Where not, any number may be suggested ahead."""
    max_workers: int | None
    """More workers than this at once break the sampler; None: any number."""

    def suggest(self, trials: Sequence[Trial], n: int, seed: int) -> list[Vals]:
        """``n`` new points after ``trials`` (all states, by tid); the i-th depends on ``seed`` and its own index.

        Trials that are new or running are known to be pending. Cancelled ones say nothing; failed ones say something
        to auto only, and only where the infrastructure was not the cause.
        """
