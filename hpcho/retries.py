"""Whether a failed attempt is followed by another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcho.trial import INFRASTRUCTURE

if TYPE_CHECKING:
    from hpcho.experiment.schema import Retries
    from hpcho.trial import Failure, Trial

__all__ = ["may_retry"]


def may_retry(trial: Trial, failure: Failure, retries: Retries) -> bool:
    """Whether the running attempt of ``trial``, ended by ``failure``, leaves the trial another one.

    Earlier attempts that ended for the same cause count against that cause's limit. Infrastructure causes share one
    limit, since to the trial they are all the same, and there an attempt that saved work counts nowhere: the trial
    comes forward with each. ``trial.attempts`` does not hold the running attempt. Pure.
    """
    cause = failure.cause
    if cause not in INFRASTRUCTURE:
        limit: int = getattr(retries, cause.value)
        return sum(attempt.cause is cause for attempt in trial.attempts) < limit
    in_vain = sum(attempt.cause in INFRASTRUCTURE and not attempt.saved for attempt in trial.attempts)
    return failure.saved or in_vain < retries.infrastructure
