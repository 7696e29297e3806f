"""A worker in a SLURM job: its signals, its end, its memory. The job is made up; processes and signals are real."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from worker_job import FAST, wait_for

from hpcho.store import open_store
from hpcho.trial import Cause, TrialState

JOB = {"SLURM_JOB_ID": "124", "SLURM_ARRAY_JOB_ID": "123", "SLURM_ARRAY_TASK_ID": "4", "SLURMD_NODENAME": "gpu1"}
SLEEP = """
import pathlib, time
def objective(params, trial):
    pathlib.Path("../began").touch()
    time.sleep(60)
"""
STEPS = """
import pathlib, time
def objective(params, trial):
    state = trial.dir / "state"
    step = int(state.read_text()) if state.exists() else 0
    while step < 3:
        step += 1
        state.write_text(str(step))
        pathlib.Path("../began").touch()
        while step == 2 and not trial.should_stop(): time.sleep(0.01)
        if trial.should_stop(): return None
    return step + 0.5
"""


@pytest.fixture
def begin(started, tmp_path):
    """Starts a worker of a made-up job, which is in the middle of trial 0 then. No SLURM answers it."""

    def begin(lab, *options, trials=2, **environ):
        lab.add(trials)
        paths = [path for path in os.environ["PATH"].split(os.pathsep) if not Path(path, "scontrol").exists()]
        process = lab.start(*options, **{**JOB, "PATH": os.pathsep.join(paths), "HPCHO_GRACE_S": "0.2", **environ})
        started(process)
        wait_for((lab.dir.path / "began").exists)
        return process

    return begin


def only_attempt(trial):
    (attempt,) = trial.attempts
    return attempt


def test_the_owner_names_its_task_of_the_array(job, begin):
    lab = job(SLEEP)
    begin(lab).send_signal(signal.SIGKILL)
    assert lab.trial().owner.job == "123_4"


def test_usr2_ends_the_attempt_for_wall_time_and_the_next_worker_goes_on_from_its_checkpoint(job, begin):
    lab = job(STEPS, retries={"infrastructure": 0})
    process = begin(lab, HPCHO_GRACE_S="30")
    wait_for(lambda: lab.file("state") == "2")
    process.send_signal(signal.SIGUSR2)
    assert process.wait(20) == 0
    trial = lab.trial()
    attempt = only_attempt(trial)
    assert (trial.state, attempt.cause, attempt.saved) == (TrialState.NEW, Cause.WALLTIME, True)
    assert attempt.error == "its job 123_4 came to its time limit on gpu1; the trial goes on from its checkpoint"
    assert "leaves: it got SIGUSR2" in lab.log()
    lab.serve(1)
    assert lab.trial().loss == 3.5


def test_the_attempt_that_saved_is_so_in_the_store_file(job, begin):
    lab = job(STEPS)
    process = begin(lab, HPCHO_GRACE_S="30")
    process.send_signal(signal.SIGUSR2)
    process.wait(20)
    again = open_store(lab.dir)
    assert [each.attempts for each in again.changes()[1]] == [each.attempts for each in lab.trials()]
    again.close()


def test_an_attempt_that_saved_nothing_counts_and_says_what_to_do(job, begin):
    lab = job(SLEEP, retries={"infrastructure": 0})
    process = begin(lab)
    process.send_signal(signal.SIGUSR2)
    assert process.wait(20) == 0
    trial = lab.trial()
    assert (trial.state, trial.cause, only_attempt(trial).saved) == (TrialState.ERROR, Cause.WALLTIME, False)
    assert "raise launcher.slurm.walltime, or save under trial.dir when trial.should_stop() is true" in trial.error


def test_term_before_the_end_is_preemption_where_slurm_does_not_answer(job, begin):
    lab = job(SLEEP)
    process = begin(lab)
    process.terminate()
    assert process.wait(20) == 0
    assert lab.trial().state is TrialState.NEW
    attempt = only_attempt(lab.trial())
    assert (attempt.cause, attempt.saved) == (Cause.PREEMPTED, False)
    assert attempt.error == (
        "its job 123_4 was preempted on gpu1; nothing was saved in this attempt, so the trial begins anew"
    )


@pytest.mark.parametrize("stop", ["now", "drain", "over"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2])
def test_a_stop_that_the_run_asked_for_gives_the_trial_back_without_an_attempt(job, begin, stop, number):
    lab = job(SLEEP)
    process = begin(lab)
    lab.store.put("control", {"stop": stop})
    process.send_signal(number)
    assert process.wait(20) == 0
    assert (lab.trial().state, lab.trial().attempts) == (TrialState.NEW, ())


def test_ctrl_c_in_a_job_gives_the_trial_back_without_an_attempt(job, begin):
    lab = job(SLEEP)
    process = begin(lab)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0
    assert (lab.trial().state, lab.trial().attempts) == (TrialState.NEW, ())


def test_signals_that_come_twice_do_not_end_the_grace(job, begin):
    lab = job(SLEEP.replace("time.sleep(60)", "time.sleep(1.5); return 2.0"))
    process = begin(lab, HPCHO_GRACE_S="30")
    for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGUSR2):
        process.send_signal(number)
        time.sleep(0.2)
    assert process.wait(20) == 0
    assert lab.trial().loss == 2.0


def test_an_objective_that_does_not_take_the_trial_may_use_the_grace_to_finish(job, begin):
    lab = job(SLEEP.replace("params, trial", "params").replace("time.sleep(60)", "time.sleep(1.5); return 2.0"))
    process = begin(lab, HPCHO_GRACE_S="30")
    process.send_signal(signal.SIGUSR2)
    assert process.wait(20) == 0
    assert lab.trial().loss == 2.0


def test_a_failure_just_before_the_signal_is_the_jobs(job, begin):
    lab = job(SLEEP.replace("time.sleep(60)", "time.sleep(1); raise RuntimeError('my pool was terminated')"))
    process = begin(lab)
    wait_for(lambda: "terminated" in lab.file("stderr.log") if lab.dir.trial(0).exists() else False)
    process.terminate()
    assert process.wait(20) == 0
    assert lab.trial().cause is Cause.PREEMPTED


def test_a_failure_in_a_job_without_a_signal_is_the_objectives(job, begin):
    lab = job(SLEEP.replace("time.sleep(60)", "raise ValueError"))
    process = begin(lab, "--max-trials", "1", trials=1)
    assert process.wait(20) == 0
    assert lab.trial().cause is Cause.OBJECTIVE


@pytest.mark.slow
def test_a_worker_goes_by_itself_before_its_job_ends(job, begin):
    lab = job(SLEEP)
    process = begin(lab, SLURM_JOB_END_TIME=str(time.time() + 9), HPCHO_GRACE_S="0.5")
    assert process.wait(20) == 0
    assert lab.trial().cause is Cause.WALLTIME
    assert "leaves: its job 123_4 ends in" in lab.log()


def test_a_worker_that_has_nothing_to_do_goes_before_its_job_ends(job, started):
    lab = job(SLEEP)
    process = lab.start(**JOB, HPCHO_WALLTIME_S="9", HPCHO_GRACE_S="1")
    started(process)
    assert process.wait(20) == 0
    assert "leaves: its job 123_4 ends in" in lab.log()


def test_a_trial_that_will_not_fit_is_not_claimed(job, begin):
    lab = job(SLEEP.replace("time.sleep(60)", "return 1.0"))
    lab.store.put("durations", {"p50_s": 100.0, "p90_s": 7000.0, "count": 9})
    process = begin(lab, HPCHO_WALLTIME_S="7000", HPCHO_GRACE_S="1")
    assert process.wait(20) == 0
    # the first was: a trial that is longer than a job would never run else
    assert [trial.state for trial in lab.trials()] == [TrialState.DONE, TrialState.NEW]
    assert "s and trials take 7000 s" in lab.log()


def test_trials_that_fit_are_claimed(job, begin):
    lab = job(SLEEP.replace("time.sleep(60)", "return 1.0"))
    lab.store.put("durations", {"p50_s": 100.0, "p90_s": 6000.0, "count": 9})
    process = begin(lab, "--max-trials", "2", HPCHO_WALLTIME_S="7000", HPCHO_GRACE_S="1")
    assert process.wait(20) == 0
    assert [trial.state for trial in lab.trials()] == [TrialState.DONE, TrialState.DONE]


@pytest.mark.parametrize(("environ", "key"), [(JOB, "slurm"), ({}, "ssh")])
def test_the_memory_limit_of_another_machines_worker_is_told_with_its_key(job, started, environ, key):
    lab = job("import time\ndef objective(params): keep = b'x' * 900_000_000; time.sleep(60)", retries={"oom": 0})
    lab.add()
    process = lab.start("--max-trials", "1", **environ, HPCHO_MEM_GB="0.5")
    started(process)
    assert process.wait(30) == 0
    assert lab.trial().cause is Cause.OOM
    assert f"of 0.5 GB: raise launcher.{key}.mem_gb" in lab.trial().error


def test_trials_see_the_workers_own_gpus(job, started):
    lab = job("import os\ndef objective(params): return {'loss': 0, 'gpus': os.environ['CUDA_VISIBLE_DEVICES']}")
    lab.add()
    step = {"SLURM_STEP_ID": "0", "SLURM_STEP_TASKS_PER_NODE": "2", "SLURM_LOCALID": "1"}
    process = lab.start("--max-trials", "1", **JOB, **step, CUDA_VISIBLE_DEVICES="GPU-a,GPU-b")
    started(process)
    assert process.wait(20) == 0
    assert lab.trial().result.data["gpus"] == "GPU-b"


def test_the_entry_point_takes_its_arguments(tmp_path):
    code = "import json, sys; from hpcho.worker.__main__ import main; sys.exit(main(json.loads(sys.argv[1])))"
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps([str(tmp_path)])], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "no run yet" in done.stderr


def test_fast_trials_leave_no_marks_behind(job):
    lab = job("def objective(params): return 1.0", trial=FAST)
    lab.evaluate()
    assert not lab.dir.trial(0).exists()
