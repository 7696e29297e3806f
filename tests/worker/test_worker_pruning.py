"""Workers prune by the cutoffs in the store, and go on where a paused trial was: real workers."""

import importlib.util
import json
import time

import pytest
from worker_job import FAST

from hpcho import checkpoints
from hpcho.experiment.pruners import PrunerSpec
from hpcho.store import base
from hpcho.trial import Cause, Draft, Report, TrialState

SETTINGS = {"name": "asha", "grace": 1, "factor": 3}
ASHA = PrunerSpec(**SETTINGS)
CURVE = """
import json
def objective(params, trial):
    saved = trial.dir / "state.json"
    first = json.loads(saved.read_text()) if saved.exists() else 1
    for step in range(first, 6):
        print("step", step, flush=True)
        trial.report(step, params["x"] + 1 / step)
        if trial.should_prune():
            saved.write_text(json.dumps(step + 1))
            return {returned}
    return {{"loss": params["x"], "whole": True}}
"""


def tell(job, cutoffs, spec=ASHA):
    """What the controller would."""
    job.store.put("cutoffs", {"pruner": spec.model_dump(mode="json"), "cutoffs": {"0": cutoffs}})


def curve(job, returned="None", **settings):
    return job(CURVE.format(returned=returned), **{"pruner": SETTINGS, **settings})


def steps(lab, tid=0):
    return [int(line.split()[1]) for line in lab.file("stdout.log", tid).splitlines() if line.startswith("step")]


@pytest.mark.parametrize(
    ("returned", "loss"),
    [("None", 1.0), ("{'more': 1}", 1.0), ("{'loss': 7.0}", 7.0), ("7.0", 7.0)],
    ids=["nothing", "no loss", "a dict", "a loss"],
)
def test_a_pruned_trial_is_done_with_its_last_loss(job, returned, loss):
    lab = curve(job, returned)
    tell(lab, {"1": 0.5})
    trial = lab.evaluate()
    assert (trial.state, trial.loss, trial.is_ok, trial.is_pruned) == (TrialState.DONE, loss, True, True)
    assert trial.reports == (Report(1, 1.0),)
    assert steps(lab) == [1]


def test_a_trial_that_is_good_enough_goes_on_to_the_next_rung(job):
    lab = curve(job)
    tell(lab, {"1": 1.0, "3": 0.3})
    trial = lab.evaluate()
    assert trial.is_pruned
    assert steps(lab) == [1, 2, 3]


@pytest.mark.parametrize("told", [None, {}, {"9": 0.0}])
def test_without_a_cutoff_a_trial_goes_on(job, told):
    lab = curve(job)
    if told is not None:
        tell(lab, told)
    trial = lab.evaluate()
    assert not trial.is_pruned
    assert trial.result.data == {"whole": True}


def test_the_cutoffs_of_another_pruner_prune_nothing(job):
    lab = curve(job)
    tell(lab, {"1": 0.5}, PrunerSpec(name="median"))
    assert not lab.evaluate().is_pruned


def test_without_a_pruner_nothing_is_asked(job):
    lab = curve(job, pruner="none")
    tell(lab, {"1": 0.5})
    assert not lab.evaluate().is_pruned


def test_the_store_hears_of_a_rung_at_once(job):
    lab = job(
        """
        import time
        def objective(params, trial):
            trial.report(1, 0.5)
            trial.should_prune()
            while not (trial.dir / "seen").exists():
                time.sleep(0.01)
            return 0.5
        """,
        pruner=SETTINGS,
        trial={"heartbeat_s": 3600},
    )
    lab.add()
    process = lab.start("--max-trials", "1")
    try:
        deadline = time.monotonic() + 60
        while not lab.trial().reports and time.monotonic() < deadline:
            time.sleep(0.02)
        assert lab.trial().reports == (Report(1, 0.5),)
        lab.dir.trial(0).mkdir(parents=True, exist_ok=True)
        (lab.dir.trial(0) / "seen").touch()
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.communicate()


def test_a_pruned_trial_whose_loss_is_no_number_has_failed(job):
    lab = job(
        """
        def objective(params, trial):
            trial.report(1, float("nan"))
            return None if trial.should_prune() else 0.5
        """,
        pruner=SETTINGS,
    )
    trial = lab.evaluate()
    assert (trial.state, trial.cause) == (TrialState.ERROR, Cause.OBJECTIVE)


@pytest.mark.parametrize("isolate", [False, True])
def test_a_promoted_trial_goes_on_from_what_its_parent_has_saved(job, isolate):
    lab = curve(job, trial={"isolate": isolate})
    tell(lab, {"1": 0.5})
    parent = lab.evaluate()
    (child,) = lab.store.add([Draft(parent.vals, "promoted", parent.tid, parent.reports)])
    lab.serve(1)
    child = lab.trial(child.tid)
    assert (child.state, child.is_pruned, child.parent) == (TrialState.DONE, False, parent.tid)
    assert [report.step for report in child.reports] == [1, 2, 3, 4, 5]
    assert steps(lab, child.tid) == [2, 3, 4, 5]
    assert json.loads(lab.file("state.json", parent.tid)) == 2


def test_a_promoted_trial_whose_parent_was_cleared_begins_anew(job):
    lab = curve(job)
    lab.add()
    (child,) = lab.store.add([Draft({"x": [0.0]}, "promoted", 0, (Report(1, 1.0),))])
    lab.serve(2)
    assert steps(lab, child.tid) == [1, 2, 3, 4, 5]


def test_a_stop_is_heard_between_two_questions(job, started):
    lab = job(
        """
        import time
        def objective(params, trial):
            (trial.dir / "begun").touch()
            step = 0
            while not trial.should_stop():
                step += 1
                trial.report(step, 0.5)
                assert not trial.should_prune()
                time.sleep(0.005)
            return None
        """,
        pruner=SETTINGS,
        trial=FAST,
    )
    lab.add()
    process = lab.start()
    started(process)
    deadline = time.monotonic() + 60
    while not (lab.dir.trial(0) / "begun").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    lab.store.put("control", {"stop": "now"}, expected=base.ANY)
    assert process.wait(60) == 0
    trial = lab.trial()
    assert (trial.state, trial.attempts) == (TrialState.NEW, ())


TRAINING = """
import keras, numpy
from hpcho.keras import TrialCallback

class Say(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        print("step", epoch, flush=True)

def objective(params, trial):
    x = numpy.linspace(0, 1, 16, dtype="float32").reshape(8, 2)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("adam", loss="mse")
    callback = TrialCallback(trial, monitor="loss", every_s=float("inf"))
    history = model.fit(x, x[:, :1], batch_size=2, epochs=6, verbose=0, callbacks=[callback, Say()])
    return {"loss": history.history["loss"][-1], "iterations": int(model.optimizer.iterations)}
"""


@pytest.mark.keras
@pytest.mark.slow
def test_a_keras_training_is_pruned_saved_and_promoted_by_the_callback_alone(job):
    if importlib.util.find_spec("keras") is None:
        pytest.skip("needs keras")
    lab = job(TRAINING, pruner={"name": "asha", "grace": 2})
    spec = PrunerSpec(name="asha", grace=2)
    tell(lab, {"2": -1.0}, spec)
    parent = lab.evaluate()
    assert parent.is_pruned
    assert steps(lab) == [0, 1, 2]
    assert parent.loss == pytest.approx(parent.reports[-1].loss)
    assert checkpoints.has_work(lab.dir.trial(0))
    (child,) = lab.store.add([Draft(parent.vals, "promoted", parent.tid, parent.reports)])
    lab.serve(1)
    child = lab.trial(child.tid)
    assert not child.is_pruned
    assert steps(lab, child.tid) == [3, 4, 5]
    assert child.result.data["iterations"] == 6 * 4
    assert [report.step for report in child.reports] == list(range(6))
    assert not checkpoints.has_work(lab.dir.trial(child.tid))
