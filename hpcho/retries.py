"""Whether a failed attempt is followed by another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcho.trial import INFRASTRUCTURE, Cause

if TYPE_CHECKING:
    from hpcho.experiment.schema import Retries
    from hpcho.trial import Trial

__all__ = ["may_retry"]


def may_retry(trial: Trial, cause: Cause, retries: Retries) -> bool:
    """Whether the running attempt of ``trial``, ended by ``cause``, leaves the trial another one.

    Earlier attempts that ended for the same cause count against that cause's limit; infrastructure causes share one
    limit, since to the trial they are all the same. ``trial.attempts`` does not hold the running attempt. Pure.
    """
    alike = INFRASTRUCTURE if cause in INFRASTRUCTURE else {cause}
    limit: int = retries.infrastructure if cause in INFRASTRUCTURE else getattr(retries, cause.value)
    return sum(attempt.cause in alike for attempt in trial.attempts) < limit
