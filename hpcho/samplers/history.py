"""Stored trials as hyperopt's suggest functions see them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcho.trial import Trial, TrialState, to_document

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["VISIBLE", "History", "next_tid", "seed_for"]

VISIBLE = frozenset({TrialState.NEW, TrialState.RUNNING, TrialState.DONE})
"""The states that hyperopt's ``Trials`` shows to a sampler."""


class History:
    """Documents of the trials that count, made once for each trial as it is.

    New and running trials have no loss yet, and hyperopt takes them as infinitely bad until they have. So it does with
    a done trial of status "fail", unless its objective gave a loss all the same. Failed (ERROR) and cancelled trials
    are left out: they say nothing about their params.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[Trial, dict[str, Any]]] = {}

    def documents(self, trials: Sequence[Trial]) -> list[dict[str, Any]]:
        """The documents of ``trials``, by tid. Not to be changed; the list is the caller's."""
        known = self._known
        # A Trial never changes, so the very same object has the very same document; anything else is made anew.
        self._known = {
            trial.tid: seen if (seen := known.get(trial.tid)) and seen[0] is trial else (trial, to_document(trial, ""))
            for trial in trials
            if trial.state in VISIBLE
        }
        return [document for _, document in self._known.values()]


def next_tid(trials: Sequence[Trial]) -> int:
    """The id that the next trial will get; ``trials`` are by tid."""
    return trials[-1].tid + 1 if trials else 0


def seed_for(seed: int, tid: int) -> int:
    """The seed of one suggestion: 64 bits that are independent from trial to trial and from seed to seed."""
    import numpy as np  # noqa: PLC0415 - `hpcho --help` does without numpy

    return int(np.random.SeedSequence(seed, spawn_key=(tid,)).generate_state(1, np.uint64)[0])
