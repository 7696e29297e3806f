"""What SLURM does to a worker's job, and what the worker calls it: a real job each, and the sqlite store."""

import json

import pytest
from testbed import until

MAKE = """
from pathlib import Path
import sys
sys.path.insert(0, {lab!r})
from worker_job import Job
lab = Job(Path("job"), '''
import time
def objective(params, trial):
    state = trial.dir / "state"
    n = int(state.read_text()) if state.exists() else 0
    while not trial.should_stop():
        n += 1
        time.sleep(0.05)
    state.write_text(str(n))
''', trial={{"heartbeat_s": 0.5}}, retries={{"infrastructure": 0}})
lab.add()
"""
SHOW = """
import json
from pathlib import Path
from hpcho.jobdir import JobDir
from hpcho.store import open_store
(trial,) = open_store(JobDir(Path("job"))).changes()[1]
print(json.dumps({"state": trial.state.label, "attempts": [attempt.to_json() for attempt in trial.attempts]}))
"""
SCRIPT = """#!/bin/sh
export HPCHO_GRACE_S=20 HPCHO_KILL_WAIT_S=5 HPCHO_WALLTIME_S=60
exec srun {python} -m hpcho.worker job
"""


@pytest.fixture
def lab(cluster, request):
    tests = request.config.rootpath / "tests"
    cluster.run([*cluster.python, "-c", MAKE.format(lab=str(tests / "worker"))])
    cluster.write("job.sh", SCRIPT.format(python=cluster.python[0]))
    return cluster


def trial(cluster):
    return json.loads(cluster.run([*cluster.python, "-c", SHOW]).stdout)


def begin(cluster, *options):
    job = cluster.submit("--time=1", "--no-requeue", *options, "job.sh")
    until(lambda: trial(cluster)["state"] == "running")
    return job


def test_a_cancelled_task_of_an_array(lab):
    job = begin(lab, "--array=5")
    lab.run(["scancel", job])
    until(lambda: trial(lab)["state"] == "new")
    (attempt,) = trial(lab)["attempts"]
    assert (attempt["cause"], attempt["saved"], attempt["owner"]["job"]) == ("scancel", True, f"{job}_5")


def test_a_preempted_job(lab):
    begin(lab, "--partition=gpu", "--nodelist=gpu2", "--exclusive")
    lab.submit("--partition=urgent", "--nodelist=gpu2", "--exclusive", "--time=1", "--wrap=true")
    until(lambda: trial(lab)["state"] == "new")
    (attempt,) = trial(lab)["attempts"]
    assert (attempt["cause"], attempt["saved"]) == ("preempted", True)
    assert attempt["error"].endswith("was preempted on gpu2; the trial goes on from its checkpoint")


@pytest.mark.parametrize("signal", ["--signal=USR2@40", "--signal=TERM@1"])
def test_a_job_at_its_wall_time_whether_slurm_tells_of_it_or_not(lab, signal):
    begin(lab, signal)
    until(lambda: trial(lab)["state"] == "new")
    (attempt,) = trial(lab)["attempts"]
    assert (attempt["cause"], attempt["saved"]) == ("walltime", True)
