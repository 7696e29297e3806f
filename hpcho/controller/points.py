"""The YAML's ``points:`` which of them are no trials yet."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from hpcho.trial import Draft

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hpcho.space import Space
    from hpcho.trial import Trial

__all__ = ["points_left"]


def points_left(points: Sequence[Mapping[str, Any]], space: Space, trials: Iterable[Trial], seed: int) -> list[Draft]:
    """Drafts of the ``points`` that are not among ``trials``; what they leave out is sampled, alike at every resume.

    A point that has become a trial is known by its params, wherever in the list it stands by now. Pure.
    """
    added = [space.decode(trial.vals) for trial in trials if trial.origin == "point"]
    left = []
    for number, point in enumerate(points):
        vals = space.encode(point, random.Random(f"{seed} point {number}"))
        params = space.decode(vals)
        like = next((one for one in added if all(one.get(name) == params.get(name) for name in point)), None)
        if like is None:
            left.append(Draft(vals, origin="point"))
        else:
            added.remove(like)
    return left
