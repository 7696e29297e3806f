"""Which failed attempts are followed by another."""

import pytest

from hpcho.experiment.schema import Retries
from hpcho.retries import may_retry
from hpcho.trial import Attempt, Cause, Failure, Trial, TrialState


def trial(*causes, saved=False):
    attempts = tuple(Attempt(None, 0.0, 1.0, cause, saved=saved) for cause in causes)
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
    assert may_retry(trial(*earlier), Failure(cause, ""), Retries(infrastructure=2)) is expected


def test_an_infrastructure_failure_that_saved_work_is_always_retried():
    earlier = trial(*[Cause.WALLTIME] * 9)
    assert may_retry(earlier, Failure(Cause.WALLTIME, "", saved=True), Retries(infrastructure=0))
    assert not may_retry(earlier, Failure(Cause.WALLTIME, ""), Retries(infrastructure=2))


def test_attempts_that_saved_work_do_not_count():
    earlier = trial(*[Cause.WALLTIME] * 9, saved=True)
    assert may_retry(earlier, Failure(Cause.NODE, ""), Retries(infrastructure=1))
    assert not may_retry(earlier, Failure(Cause.NODE, ""), Retries(infrastructure=0))


def test_saved_work_does_not_excuse_the_objective():
    assert not may_retry(trial(Cause.TIMEOUT, saved=True), Failure(Cause.TIMEOUT, "", saved=True), Retries())
