"""Results that a worker could not deliver: kept, and adopted by the next controller."""

import pytest
from run_lab import SQUARE_SETTINGS

from hpcho import results
from hpcho.jobdir import JobDir
from hpcho.store import open_store
from hpcho.trial import Cause, Draft, Failure, Owner, Result, Trial, TrialState

pytestmark = pytest.mark.slow


def test_a_late_result_of_an_unfinished_trial_is_adopted_and_not_computed_again(lab):
    lab.write(
        "def objective(params):\n    assert params['x'] != 0.25, 'computed again'\n    return params['x'] ** 2 + 1\n",
        SQUARE_SETTINGS + "points: [{x: 0.5}, {x: 0.25}]\n",
    )
    lab.run("--set", "budget.trials=1")
    jobdir = JobDir(lab.job_dir)
    store = open_store(jobdir)
    _, trials = store.changes()
    space_label = next(iter(trials[0].vals))
    [added] = store.add([Draft({space_label: [0.25]}, origin="point")])
    held = store.claim(Owner.here())
    assert held.tid == added.tid
    store.move(held, TrialState.NEW, failure=Failure(Cause.NODE, "its node is gone"))
    store.close()
    results.save(jobdir.trial(held.tid), held, Result(-7.0, data={"from": "late"}), {})
    lab.run("--set", "budget.trials=3")
    row = {row["tid"]: row for row in lab.trials()}[held.tid]
    assert (row["state"], row["loss"]) == ("done", -7.0)
    assert lab.json("best")["result"]["from"] == "late"


def test_a_late_result_of_a_finished_trial_changes_nothing(square):
    square.run()
    best = square.json("best")
    trial = Trial(tid=0, state=TrialState.RUNNING, version=0, vals={"x": [0.0]})
    results.save(JobDir(square.job_dir).trial(0), trial, Result(-99.0), {})
    square.run("--set", "budget.trials=14")
    assert square.json("best")["loss"] >= 0
    assert square.json("best")["loss"] <= best["loss"]
