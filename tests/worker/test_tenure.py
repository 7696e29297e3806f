"""How long a worker's job lasts, and what a signal in it means."""

import math
import os
import signal
import time
from datetime import datetime

import psutil
import pytest

from hpcho.trial import Cause, Owner
from hpcho.worker.tenure import Durations, Notice, Tenure, read_answer

TERM, USR2, INT = signal.SIGTERM, signal.SIGUSR2, signal.SIGINT
NOW = datetime(2026, 11, 24, 23, 45, 25)  # noqa: DTZ001 - SLURM's times are local


def tenure(job="123_4", left_s=None, **environ):
    """A tenure of a job that ends in ``left_s``."""
    if left_s is not None:
        environ["SLURM_JOB_END_TIME"] = str(time.time() + left_s)
    return Tenure(Owner("node1", os.getpid(), job=job), environ)


def about(seconds):
    """What is so far from now."""
    return pytest.approx(time.monotonic() + seconds, abs=2)


def test_the_end_is_slurms_else_the_wall_time_from_the_workers_start():
    assert tenure(left_s=100, HPCHO_WALLTIME_S="5").end == about(100)
    age = time.time() - psutil.Process().create_time()
    assert tenure(HPCHO_WALLTIME_S="3600").end == about(3600 - age)
    assert tenure().end == math.inf
    assert tenure(HPCHO_WALLTIME_S="soon").end == math.inf


def test_it_goes_by_itself_in_time_for_the_grace():
    assert tenure(left_s=7200, HPCHO_GRACE_S="60").leave_at == about(7200 - 60 - 5)
    assert not tenure(left_s=7200).is_over
    assert tenure(left_s=3).is_over


def test_the_grace_leaves_most_of_a_short_job_to_trials():
    age = time.time() - psutil.Process().create_time()
    assert tenure(left_s=60, HPCHO_GRACE_S="6000").grace_s == pytest.approx((60 + age) / 3, abs=1)


@pytest.mark.parametrize(("duration_s", "fits"), [(7100, True), (7160, False)])
def test_a_trial_fits_with_its_grace(duration_s, fits):
    assert tenure(left_s=7200, HPCHO_GRACE_S="50").fits(duration_s) is fits


@pytest.mark.parametrize("number", [TERM, USR2, INT, signal.SIGHUP, None])
def test_outside_of_a_job_a_signal_is_the_users_will_and_a_second_one_ends_the_grace(number):
    notice = Notice(tenure(job=None, HPCHO_GRACE_S="9"), number)
    assert notice.cause() is None
    assert notice.grace_end == about(9)
    notice.again(TERM)
    assert notice.grace_end <= time.monotonic()


@pytest.mark.parametrize("number", [INT, signal.SIGHUP, None])
def test_ctrl_c_in_a_job_is_the_users_will_too(number):
    assert Notice(tenure(), number).cause() is None


@pytest.mark.parametrize("job", [None, "7"])
def test_usr2_is_the_wall_time_and_the_grace_ends_before_the_job(job):
    notice = Notice(tenure(job, left_s=20, HPCHO_GRACE_S="600", HPCHO_KILL_WAIT_S="5"), USR2)
    assert notice.cause() is Cause.WALLTIME
    assert notice.grace_end == about(min(18, tenure(left_s=20, HPCHO_GRACE_S="600").grace_s))
    notice.again(TERM)
    assert notice.cause() is Cause.WALLTIME
    assert notice.grace_end == about(3)


@pytest.fixture
def scontrol(tmp_path, monkeypatch):
    """Puts a scontrol on the PATH that does so."""

    def put(script):
        program = tmp_path / "scontrol"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    return put


def test_term_near_the_end_is_the_wall_time_unless_slurm_says_otherwise(scontrol):
    scontrol("exit 1")
    assert Notice(tenure(left_s=50), TERM).cause() is Cause.WALLTIME
    scontrol("echo JobState=COMPLETING RunTime=00:00:09 TimeLimit=00:01:00")
    assert Notice(tenure(left_s=50), TERM).cause() is Cause.SCANCEL


def test_term_before_that_is_what_slurm_says(scontrol):
    scontrol('[ "$*" = "-o show job 123_4" ] && echo JobId=9 JobState=COMPLETING PreemptTime=None')
    notice = Notice(tenure(HPCHO_GRACE_S="600"), TERM)
    assert notice.grace_end == about(28)
    assert notice.cause() is Cause.SCANCEL


def test_preemption_with_a_grace_of_its_own_gives_the_trial_that(scontrol):
    scontrol(
        'echo JobState=RUNNING PreemptTime=2026-11-24T23:45:25 EndTime=$(date -d "+90 seconds" +%Y-%m-%dT%H:%M:%S)'
    )
    notice = Notice(tenure(HPCHO_GRACE_S="600", left_s=7200), TERM)
    assert notice.cause() is Cause.PREEMPTED
    assert notice.grace_end == about(88)
    notice.again(TERM)
    assert notice.grace_end == about(28)


@pytest.mark.parametrize("script", ["sleep 60", "exit 1", "echo slurm_load_jobs error"])
def test_a_scheduler_that_does_not_answer_in_time_has_preempted_it(scontrol, script):
    scontrol(f"exec {script}")
    began = time.monotonic()
    assert Notice(tenure(), TERM).cause() is Cause.PREEMPTED
    assert time.monotonic() - began < 20


def test_without_slurms_commands_it_was_preempted(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Notice(tenure(), TERM).cause() is Cause.PREEMPTED


@pytest.mark.parametrize(
    ("said", "cause", "left_s"),
    [
        ("JobState=COMPLETING EndTime=2026-11-24T23:45:09 PreemptTime=2026-11-24T23:45:09", Cause.PREEMPTED, -16),
        ("JobState=RUNNING EndTime=2026-11-24T23:45:35 PreemptTime=2026-11-24T23:45:25", Cause.PREEMPTED, 10),
        ("JobState=PREEMPTED EndTime=Unknown PreemptTime=None", Cause.PREEMPTED, 0),
        ("JobState=COMPLETING PreemptTime=None RunTime=00:00:04 TimeLimit=00:05:00", Cause.SCANCEL, 0),
        ("JobState=RUNNING PreemptTime=None RunTime=00:00:04 TimeLimit=UNLIMITED", Cause.SCANCEL, 0),
        ("JobState=COMPLETING RunTime=1-00:00:03 TimeLimit=1-00:00:00", Cause.WALLTIME, 0),
        ("JobState=RUNNING RunTime=00:04:04 TimeLimit=00:05:00", Cause.WALLTIME, 0),
        ("JobState=COMPLETING RunTime=00:04:04 TimeLimit=00:05:00", Cause.SCANCEL, 0),
        ("JobState=TIMEOUT", Cause.WALLTIME, 0),
        ("JobState=NODE_FAIL", Cause.NODE, 0),
        ("", None, 0),
    ],
)
def test_scontrols_words(said, cause, left_s):
    answer = read_answer(f"JobId=33 JobName=a {said} Command=/x", NOW)
    assert (answer.cause, answer.left_s) == (cause, left_s)


class Records:
    """A store's records."""

    def __init__(self, durations=None):
        self.durations = durations

    def get(self, key):
        assert key == "durations"
        return self.durations


def test_durations_are_the_runs_else_the_workers_own():
    durations = Durations(Records())
    assert durations.likely_s() is None
    durations.own += [float(n) for n in range(1, 11)]
    assert durations.likely_s() == 9.0
    durations = Durations(Records({"p50_s": 1.0, "p90_s": 7.5, "count": 3}))
    durations.own.append(1.0)
    assert durations.likely_s() == 7.5
