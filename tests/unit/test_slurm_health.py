"""Jobs that fail as they start, and nodes on which workers keep dying."""

import pytest

from hpcho.launchers.health import Health
from hpcho.launchers.queue import Job
from hpcho.launchers.scheduler import Account, Row


def ended(state="FAILED", node="gpu1", job="12_0", elapsed_s=5, exit_code=1):
    row = Row(job, state, elapsed_s, node=node)
    return Job(row, is_ours=True, since=0.0, seen_at=0.0, account=Account(state, exit_code))


@pytest.fixture
def health():
    return Health(canary=False)


def ids(jobs):
    return [job.row.id for job in jobs]


def test_a_canary_that_fails_is_enough_while_nothing_has_worked():
    health = Health(canary=True)
    health.judge([ended()])
    assert ids(health.hopeless()) == ["12_0"]


def test_a_canary_that_somebody_kills_is_followed_by_others():
    health = Health(canary=True)
    for number in range(3):
        assert not health.hopeless()
        health.judge([ended(job=f"12_{number}", exit_code=137)])
    assert len(health.hopeless()) == 3
    health = Health(canary=True)
    health.judge([ended(exit_code=137), ended()])
    assert health.hopeless()


def test_what_has_worked_for_an_earlier_controller_counts():
    health = Health(canary=True, has_worked=True)
    health.judge([ended(exit_code=3)] * 5)  # the store was away
    health.judge([ended(), ended(node="gpu2")])
    assert not health.hopeless()
    health.judge([ended()])
    assert len(health.hopeless()) == 3


def test_once_something_has_worked_it_takes_three(health):
    health = Health(canary=True)
    health.takes_trials(["11_0"])
    for number, node in enumerate(["gpu1", "gpu2", "gpu1"]):
        assert not health.hopeless()
        health.judge([ended(job=f"12_{number}", node=node)])
    assert ids(health.hopeless()) == ["12_0", "12_1", "12_2"]


def test_a_trial_taken_in_between_begins_anew(health):
    health.judge([ended(), ended()])
    health.takes_trials(["13_0"])
    health.judge([ended(node="gpu2")])
    assert not health.hopeless()


@pytest.mark.parametrize("state", ["PREEMPTED", "TIMEOUT", "CANCELLED", "NODE_FAIL", "COMPLETED"])
def test_other_ends_are_not_failures_to_start(health, state):
    for _ in range(5):
        health.judge([ended(state)])
    assert not health.hopeless()


def test_failing_late_is_not_failing_to_start(health):
    health.judge([ended(elapsed_s=500)] * 3)
    assert not health.hopeless()


def test_where_others_have_worked_one_node_is_avoided_instead(health):
    health.takes_trials(["11_0"])
    for _ in range(3):
        assert health.excluded == []
        health.judge([ended(), ended()])
        assert not health.hopeless()
    assert health.excluded == ["gpu1"]


def test_without_other_nodes_it_is_hopeless_after_all(health):
    health.takes_trials(["11_0"])
    for _ in range(3):
        health.judge([ended()])
    health.pardon()
    assert health.excluded == []
    for _ in range(3):
        assert not health.hopeless()
        health.judge([ended()])
    assert health.hopeless() or health.excluded == ["gpu1"]


def test_a_node_that_fails_is_avoided_after_three_times_without_a_success(health):
    health.takes_trials(["11_0", "11_1"])
    health.judge([ended("NODE_FAIL", job="11_1")] * 8)  # one failure, though it ended many jobs
    health.judge([ended("NODE_FAIL")])
    health.judge([ended("COMPLETED", job="11_0")])
    health.judge([ended("NODE_FAIL")])
    health.judge([ended("NODE_FAIL")])
    assert health.excluded == []
    health.judge([ended("PREEMPTED", job="12_9"), ended("NODE_FAIL")])
    assert health.excluded == ["gpu1"]


def test_a_store_that_is_away_passes(health):
    health.takes_trials(["11_0"])
    health.judge([ended(exit_code=3, node=node) for node in ("gpu1", "gpu2", "gpu3")])
    assert not health.hopeless()
    fresh = Health(canary=True)
    fresh.judge([ended(exit_code=3)])
    assert fresh.hopeless()  # it has never been there


def test_jobs_that_end_without_a_trial_do_not_follow_each_other_fast(health):
    waits = []
    for _ in range(8):
        waits.append(health.wait_s)
        health.judge([ended("COMPLETED")] * 3)
    assert waits == [0, 2, 4, 8, 16, 32, 60, 60]
    health.takes_trials(["13_0"])
    assert health.wait_s == 0
