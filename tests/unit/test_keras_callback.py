"""The Keras callback: real small trainings."""

import subprocess
import sys
from pathlib import Path

import pytest

import hpcho

pytestmark = [pytest.mark.keras, pytest.mark.slow]


@pytest.fixture(autouse=True)
def _imports():
    """Keras takes seconds to import: only when these tests run, not when they are collected."""
    global keras, np, TrialCallback  # noqa: PLW0603 - as if imported above
    keras = pytest.importorskip("keras", reason="needs keras")
    np = pytest.importorskip("numpy")
    TrialCallback = pytest.importorskip("hpcho.keras").TrialCallback


class Trial:
    """A trial that is stopped or pruned once it has so many reports, or after so many questions."""

    def __init__(self, folder, stop_after=None, prune_after=None, patience=None):
        self.dir = folder
        self.reports = []
        self._stop_after = stop_after
        self._prune_after = prune_after
        self._patience = patience

    def report(self, step, loss):
        self.reports.append((step, loss))

    def should_prune(self):
        return self._prune_after is not None and len(self.reports) >= self._prune_after

    def should_stop(self):
        if self._patience is not None:
            self._patience -= 1
            return self._patience < 0
        return self._stop_after is not None and len(self.reports) >= self._stop_after


@pytest.fixture
def fit():
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", loss="mse", metrics=["mae"])
    x = np.linspace(0, 1, 32, dtype="float32").reshape(16, 2)
    y = x[:, :1] * 2

    def fit(*callbacks, **settings):
        settings = {"epochs": 4, "validation_data": (x, y), **settings}
        return model.fit(x, y, batch_size=4, verbose=0, callbacks=list(callbacks), **settings)

    return fit


def test_each_epoch_is_reported(fit, tmp_path):
    trial = Trial(tmp_path)
    callback = TrialCallback(trial)
    history = fit(callback).history["val_loss"]
    assert trial.reports == list(enumerate(history))
    assert (callback.pruned, callback.stopped) == (False, False)
    assert list(tmp_path.iterdir()) == []


def test_the_negative_is_reported_where_more_is_better(fit, tmp_path):
    trial = Trial(tmp_path)
    history = fit(TrialCallback(trial, monitor="mae", mode="max"), epochs=2).history["mae"]
    assert trial.reports == [(0, -history[0]), (1, -history[1])]


def test_an_unknown_mode_is_refused(tmp_path):
    with pytest.raises(ValueError, match="mode is 'auto': write 'min' where less is better, 'max' where more is"):
        TrialCallback(Trial(tmp_path), mode="auto")


def test_epochs_without_validation_are_left_out(fit, tmp_path):
    trial = Trial(tmp_path)
    fit(TrialCallback(trial), validation_freq=2)
    assert [step for step, _ in trial.reports] == [1, 3]


def test_a_training_goes_on_counting_where_it_began(fit, tmp_path):
    trial = Trial(tmp_path)
    fit(TrialCallback(trial), initial_epoch=2)
    assert [step for step, _ in trial.reports] == [2, 3]


def test_nothing_to_report_is_said_at_the_end(fit, tmp_path):
    with pytest.warns(UserWarning, match=r"'val_loss' was never there to report: Keras gave loss, mae; name one"):
        fit(TrialCallback(Trial(tmp_path)), validation_data=None)


def test_a_pruned_trial_stops_training(fit, tmp_path):
    trial = Trial(tmp_path, prune_after=2)
    callback = TrialCallback(trial)
    assert len(fit(callback).epoch) == 2
    assert (callback.pruned, callback.stopped) == (True, False)
    assert list(tmp_path.iterdir()) == [callback.checkpoint]


def test_a_pruned_training_goes_on_in_the_trial_that_is_promoted(fit, tmp_path):
    fit(TrialCallback(Trial(tmp_path, prune_after=2)))
    promoted = Trial(tmp_path)
    assert fit(TrialCallback(promoted)).epoch == [0, 1, 2, 3]
    assert [step for step, _ in promoted.reports] == [2, 3]


def test_a_stopped_trial_saves_its_state_and_stops_training(fit, tmp_path):
    callback = TrialCallback(Trial(tmp_path, stop_after=1))
    assert fit(callback).epoch == [0]
    assert (callback.pruned, callback.stopped) == (False, True)
    assert list(tmp_path.iterdir()) == [callback.checkpoint]


def test_a_stop_in_the_last_epoch_lets_the_objective_return_what_it_has(fit, tmp_path):
    callback = TrialCallback(Trial(tmp_path, stop_after=4))
    assert fit(callback).epoch == [0, 1, 2, 3]
    assert not callback.stopped


def test_a_stop_does_not_wait_for_the_epochs_end(fit, tmp_path):
    trial = Trial(tmp_path, patience=0)
    callback = TrialCallback(trial)
    fit(callback)
    assert trial.reports == []
    assert callback.model.optimizer.iterations == 1
    assert list(tmp_path.iterdir()) == []  # the first epoch is done again: there is nothing to go on from


def test_without_keras_the_import_says_what_to_install():
    code = "import sys; sys.modules['keras'] = None; import hpcho.keras"
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(hpcho.__file__).parents[1], check=False
    )
    assert (
        "ImportError: hpcho.keras needs Keras, which is not installed here: pip install 'hpcho[tensorflow]'"
        in ran.stderr
    )
