"""How a worker leaves, and what becomes of the trial that it has then."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from worker_job import FAST, is_gone, wait_for

from hpcho.trial import TrialState

SLEEP = """
import pathlib, time
def objective(params, trial):
    pathlib.Path("../began").touch()
    time.sleep(60)
"""
HEEDS = """
import pathlib, time
def objective(params, trial):
    if (trial.dir / "checkpoint").exists(): return 1.0
    pathlib.Path("../began").touch()
    while not trial.should_stop(): time.sleep(0.01)
    (trial.dir / "checkpoint").touch()
    {then}
"""


def begin(lab, started, *options, **environment):
    """A worker that is in the middle of trial 0."""
    lab.add(2)
    process = lab.start(*options, **environment)
    started(process)
    wait_for((lab.dir.path / "began").exists)
    return process


def is_released(trial):
    return trial.state is TrialState.NEW and trial.attempts == () and trial.owner is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR2, signal.SIGHUP])
def test_a_stop_signal_gives_the_trial_back_without_an_attempt(job, started, number):
    lab = job(SLEEP)
    process = begin(lab, started, HPCHO_GRACE_S="0.1")
    process.send_signal(number)
    assert process.wait(20) == 0
    assert is_released(lab.trial())
    assert lab.trial(1).state is TrialState.NEW
    assert f"leaves: it got {number.name}" in lab.log()


@pytest.mark.parametrize("then", ["return 0.5", "raise RuntimeError('stopped')"])
def test_an_objective_that_heeds_the_stop_is_resumed_from_its_checkpoint(job, started, then):
    lab = job(HEEDS.format(then=then))
    process = begin(lab, started, HPCHO_GRACE_S="30")
    process.terminate()
    assert process.wait(20) == 0
    assert is_released(lab.trial())
    lab.serve(1)
    assert lab.trial().loss == 1.0


def test_a_trial_that_finishes_within_the_grace_counts(job, started):
    lab = job(SLEEP.replace("time.sleep(60)", "time.sleep(0.5); return 2.0"))
    process = begin(lab, started, HPCHO_GRACE_S="30")
    process.terminate()
    assert process.wait(20) == 0
    assert lab.trial().loss == 2.0
    assert lab.trial(1).state is TrialState.NEW


@pytest.mark.parametrize("then", ["raise RuntimeError('killed too')", "import os; os._exit(1)"])
def test_whatever_goes_wrong_after_a_stop_gives_the_trial_back(job, started, then):
    lab = job(SLEEP.replace("time.sleep(60)", f"time.sleep(0.5); {then}"))
    process = begin(lab, started, HPCHO_GRACE_S="30")
    process.terminate()
    assert process.wait(20) == 0
    assert is_released(lab.trial())


def test_an_objective_that_does_not_take_the_trial_gets_no_grace(job, started):
    lab = job(SLEEP.replace("params, trial", "params"))
    process = begin(lab, started, HPCHO_GRACE_S="600")
    process.terminate()
    assert process.wait(20) == 0
    assert is_released(lab.trial())


def test_a_second_signal_ends_the_grace(job, started):
    lab = job(SLEEP)
    process = begin(lab, started, HPCHO_GRACE_S="600")
    process.terminate()
    time.sleep(0.2)
    process.terminate()
    assert process.wait(20) == 0
    assert is_released(lab.trial())


def test_a_signal_ends_a_worker_that_has_nothing_to_do(job, started):
    lab = job(SLEEP)
    process = lab.start()
    started(process)
    wait_for(lambda: "begins" in lab.log())
    process.terminate()
    assert process.wait(20) == 0


def test_a_signal_ends_a_worker_that_is_loading(job, started):
    lab = job("import pathlib, time; pathlib.Path('../began').touch(); time.sleep(60)\ndef objective(p): return 1.0")
    process = begin(lab, started)
    process.terminate()
    assert process.wait(20) == 0
    assert is_released(lab.trial())


def test_isolate_gives_the_trial_back_too(job, started):
    lab = job(HEEDS.format(then="return 0.5"), trial={"isolate": True})
    process = begin(lab, started, HPCHO_GRACE_S="30")
    process.terminate()
    assert process.wait(20) == 0
    assert is_released(lab.trial())


def test_the_end_of_the_lifeline_lets_the_running_trial_finish(job, started):
    lab = job(SLEEP.replace("time.sleep(60)", "time.sleep(0.5); return 2.0"))
    lab.add(2)
    reader, writer = os.pipe()
    os.set_inheritable(reader, True)
    process = subprocess.Popen(
        [sys.executable, "-m", "hpcho.worker", str(lab.dir.path), "--lifeline", str(reader)],
        pass_fds=[reader],
        start_new_session=True,
        stdout=subprocess.PIPE,
    )
    started(process)
    os.close(reader)
    wait_for((lab.dir.path / "began").exists)
    os.close(writer)
    assert process.wait(20) == 0
    assert lab.trial().loss == 2.0
    assert lab.trial(1).state is TrialState.NEW


@pytest.mark.parametrize(("stop", "state"), [("drain", TrialState.DONE), ("now", TrialState.NEW)])
def test_the_control_record_drains_or_releases(job, started, stop, state):
    lab = job(SLEEP.replace("time.sleep(60)", "time.sleep(1); return 2.0"), trial=FAST)
    process = begin(lab, started, HPCHO_GRACE_S="0.1")
    lab.store.put("control", {"stop": stop})
    assert process.wait(20) == 0
    assert lab.trial().state is state
    assert lab.trial(1).state is TrialState.NEW


def test_max_trials_and_idle_exit(job):
    lab = job("def objective(params): return 1.0")
    lab.add(3)
    assert lab.serve(1) == 0
    assert [trial.state for trial in lab.trials()] == [TrialState.DONE, TrialState.NEW, TrialState.NEW]
    assert lab.serve(100, idle_exit_s=0.2) == 0
    assert [trial.state for trial in lab.trials()] == [TrialState.DONE] * 3
    assert "there was nothing to do for 0.2 s" in lab.log()


@pytest.mark.parametrize("isolate", [False, True])
def test_no_child_outlives_a_killed_parent_even_in_a_c_call(job, started, isolate):
    code = """
    import ctypes, pathlib
    def objective(params):
        pathlib.Path("../began").touch()
        ctypes.PyDLL(None).sleep(60)
    """
    lab = job(code, trial={"isolate": isolate})
    process = begin(lab, started)
    family = psutil.Process(process.pid).children(recursive=True)
    assert len(family) == (3 if isolate else 2)
    process.kill()
    for each in family:
        wait_for(lambda each=each: is_gone(each.pid), 5)


def test_a_worker_without_an_experiment_says_what_to_do(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "hpcho.worker", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr == f"{tmp_path}: no run yet (it has no experiment.json): `hpcho run` makes one\n"


def test_a_store_of_another_experiment_is_refused(job):
    lab = job("def objective(params): return 1.0")
    lab.store.put("identity", {"uuid": "another"})
    from hpcho.errors import StoreError

    with pytest.raises(StoreError, match="belongs to another experiment"):
        lab.serve(1)


def test_signal_handlers_are_given_back(job):
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)}
    job("def objective(params): return 1.0").evaluate()
    assert {number: signal.getsignal(number) for number in before} == before
