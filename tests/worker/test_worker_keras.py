"""A Keras training that its worker had to leave goes on in the next worker: real workers, a made-up job."""

import importlib.util
import signal
from pathlib import Path

import pytest
from worker_job import FAST, wait_for

from hpcho import checkpoints
from hpcho.trial import Cause, TrialState

pytestmark = [pytest.mark.keras, pytest.mark.slow]

JOB = {"SLURM_JOB_ID": "124", "HPCHO_GRACE_S": "30"}
TRAINING = """
import pathlib, time
import keras, numpy
from hpcho.keras import TrialCallback

class Slow(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        print("epoch", epoch, flush=True)
    def on_train_batch_end(self, batch, logs=None):
        if not pathlib.Path("../fast").exists(): time.sleep(0.1)

def objective(params, trial):
    x = numpy.linspace(0, 1, 16, dtype="float32").reshape(8, 2)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("adam", loss="mse")
    callbacks = [TrialCallback(trial, monitor="loss", every_s={every_s}), Slow()]
    history = model.fit(x, x[:, :1], batch_size=2, epochs=6, verbose=0, callbacks=callbacks)
    iterations = int(model.optimizer.iterations)
    return {{"loss": min(history.history["loss"]), "epochs": len(history.epoch), "iterations": iterations}}
"""


@pytest.fixture(autouse=True)
def _needs():
    if importlib.util.find_spec("keras") is None:
        pytest.skip("needs keras")


def go_on(lab, began):
    """The next worker finishes the trial; the epochs that it has trained."""
    (lab.dir.path / "fast").touch()
    lab.serve(1)
    trial = lab.trial()
    assert trial.state is TrialState.DONE
    assert trial.result.data["epochs"] == 6
    assert sorted({report.step for report in trial.reports}) == list(range(6))
    assert not list(lab.dir.trial(0).glob("*.checkpoint"))
    first, second = lab.file("stdout.log").split("--- next attempt")
    assert len(first.splitlines()) >= began
    return trial, [int(line.split()[1]) for line in second.splitlines() if line.startswith("epoch")]


def begin(lab, started, epochs):
    """A worker that has reported so many epochs of trial 0 and is in the middle of the next one."""
    lab.add()
    process = lab.start(**JOB)
    started(process)
    wait_for(lambda: len(lab.trial().reports) >= epochs, 60)
    return process


def test_a_training_that_the_wall_time_ends_goes_on_from_its_epoch(job, started):
    lab = job(TRAINING.format(every_s=60), trial=FAST, retries={"infrastructure": 0})
    process = begin(lab, started, 2)
    process.send_signal(signal.SIGUSR2)
    assert process.wait(30) == 0
    (attempt,) = lab.trial().attempts
    assert (attempt.cause, attempt.saved) == (Cause.WALLTIME, True)
    reported = len(lab.trial().reports)
    assert reported < 6
    trial, epochs = go_on(lab, reported)
    assert epochs == list(range(reported, 6))
    assert 6 * 4 <= trial.result.data["iterations"] < 7 * 4  # those of the epoch that was interrupted, too


def test_a_training_whose_worker_was_killed_goes_on_from_its_last_checkpoint(job, started):
    lab = job(TRAINING.format(every_s=0), trial=FAST)
    process = begin(lab, started, 2)
    process.kill()
    process.wait(20)
    folder = lab.dir.trial(0)
    assert checkpoints.saved(folder)
    held = lab.trial()
    lab.store.move(held, TrialState.NEW)
    _, epochs = go_on(lab, 2)
    assert epochs[0] >= 1
    assert epochs[-1] == 5


def test_the_digits_example_goes_on_where_it_was(tmp_path):
    pytest.importorskip("sklearn", reason="needs scikit-learn")
    path = Path(__file__).parents[2] / "examples" / "digits" / "train.py"
    spec = importlib.util.spec_from_file_location("digits_train", path)
    train = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(train)

    class Attempt:
        tid, dir = 0, tmp_path

        def __init__(self, most):
            self.steps, self._most = [], most

        def report(self, step, loss):
            self.steps.append(step)

        def should_prune(self):
            return False

        def should_stop(self):
            return len(self.steps) >= self._most

    params = {"layers": 1, "units": 16, "activation": "relu", "dropout": 0.1, "lr": 3e-3, "batch": 64, "epochs": 4}
    first, second = Attempt(2), Attempt(9)
    train.objective({**params, "optimizer": "adam"}, train.data(), first)
    result = train.objective({**params, "optimizer": "adam"}, train.data(), second)
    assert (first.steps, second.steps) == ([0, 1], [2, 3])
    assert result["loss"] < 2.3
