"""Params as other programs hold them: plain numbers, truths and text."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hpcho.space import Space
    from hpcho.trial import Trial

__all__ = ["Plain", "plain", "tried"]

Plain = bool | int | float | str


def plain(space: Space, trial: Trial) -> dict[str, Plain]:
    """The trial's params; inactive ones are absent, and what is neither number, truth nor text is JSON."""
    return {name: _plain(value) for name, value in space.decode(trial.vals).items()}


def _plain(value: Any) -> Plain:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, bool | int | float | str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)


def tried(trials: Sequence[Trial]) -> Iterator[Trial]:
    """The trials that were begun at least once."""
    return (trial for trial in trials if trial.claimed_at is not None)
