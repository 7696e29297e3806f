"""Which failed attempts are followed by another."""

import pytest

from hpcho.experiment.schema import Retries
from hpcho.retries import may_retry
from hpcho.trial import Attempt, Cause, Trial, TrialState


def trial(*causes):
    attempts = tuple(Attempt(None, 0.0, 1.0, cause) for cause in causes)
    return Trial(tid=0, state=TrialState.RUNNING, version=0, vals={}, attempts=attempts)


@pytest.mark.parametrize(
    ("earlier", "cause", "expected"),
    [
        ([], Cause.OBJECTIVE, False),
        ([], Cause.TIMEOUT, True),
        ([Cause.TIMEOUT], Cause.TIMEOUT, False),
        ([Cause.TIMEOUT, Cause.WORKER], Cause.OOM, True),
        ([Cause.NODE, Cause.PREEMPTED], Cause.WALLTIME, False),
        ([Cause.NODE], Cause.NETWORK, True),
        ([Cause.NODE, Cause.NODE], Cause.WORKER, True),
        ([None], Cause.TIMEOUT, True),
    ],
)
def test_a_cause_counts_against_its_own_limit_and_infrastructure_shares_one(earlier, cause, expected):
    assert may_retry(trial(*earlier), cause, Retries(infrastructure=2)) is expected
