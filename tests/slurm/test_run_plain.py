"""`hpcho run` on a cluster without accounting, where an array has at most 4 tasks."""

import time

import pytest
from slurm_lab import NOTE, opened

END_S = 15
NAP = (
    NOTE
    + """
def objective(params, trial):
    note("begun", tid=trial.tid, task=int(os.environ["SLURM_ARRAY_TASK_ID"]), node=os.environ["SLURMD_NODENAME"])
    time.sleep(1)
    note("ended", tid=trial.tid)
    return params["x"] ** 2
"""
)
SETTINGS = """
objective: {python: "objective.py:objective"}
space: {x: {float: [-5, 5]}}
sampler: {name: random, seed: 1}
budget: {trials: 60}
trial: {heartbeat_s: 1}
launcher: {slurm: {workers: 10, walltime: "00:05:00", grace_s: 5}}
"""


@pytest.fixture
def lab(plain):
    with opened(plain) as lab:
        lab.write(NAP, SETTINGS)
        yield lab


def test_ten_workers_come_in_arrays_of_four_and_leave_an_empty_queue(lab):
    run = lab.start("run")
    lab.until(lambda: len(lab.cluster.squeue()) == 10)
    said = lab.until_ended(run)
    over_at = max(note["at"] for note in lab.notes())
    lab.until(lambda: not lab.cluster.squeue())
    assert time.time() - over_at < END_S
    assert "Finished: 60 trials are done" in said
    trials = lab.trials()
    assert [(trial["state"], trial["attempts"]) for trial in trials] == [("done", 1)] * 60
    assert max(note["task"] for note in lab.notes() if note["what"] == "begun") == 3
    scripts = [path.read_text() for path in lab.job_dir.glob("jobs/*_submission.sh")]
    assert sorted(script.partition("--array=")[2].partition("%")[0] for script in scripts) == [
        "0-0",
        "0-0",
        "0-3",
        "0-3",
    ]
    lab.until(lambda: not lab.processes())


def test_a_node_that_fails_is_told_of_and_its_trials_go_elsewhere(lab):
    run = lab.start("run")
    lab.until(lambda: len({note["node"] for note in lab.notes() if note["what"] == "begun"}) == 2)
    lab.cluster.nodedown("plain1")
    said = lab.until_ended(run)
    assert "was interrupted and is tried again (node): node plain1 failed under its job " in said
    trials = lab.trials()
    assert [trial["state"] for trial in trials] == ["done"] * 60
    lost = [loss for trial in trials for loss in trial["interruptions"]]
    assert lost
    assert {loss["cause"] for loss in lost} == {"node"}
    status = lab.hpcho("status").stdout
    assert f"interrupted  node {len(lost)}  (tried again)" in status
    lab.until(lambda: not lab.cluster.squeue())
