"""A training that was interrupted goes on where it was: real small trainings."""

import contextlib
import json
import math
import zipfile

import pytest

from hpcho import checkpoints

pytestmark = [pytest.mark.keras, pytest.mark.slow]

STEPS = 4
"""Batches in an epoch."""


@pytest.fixture(autouse=True)
def _imports(monkeypatch):
    """Keras takes seconds to import: only when these tests run, not when they are collected."""
    global keras, np, TrialCallback  # noqa: PLW0603 - as if imported above
    keras = pytest.importorskip("keras", reason="needs keras")
    np = pytest.importorskip("numpy")
    TrialCallback = pytest.importorskip("hpcho.keras").TrialCallback
    monkeypatch.setattr("hpcho.keras.POLL_S", 0.0)
    monkeypatch.setattr("hpcho.keras.SAVING_SHARE", math.inf)  # epochs are shorter here than what saving one takes


class Attempt:
    """The ``trial`` of one attempt; it is stopped when ``until`` says so of its reports."""

    def __init__(self, folder, until=lambda reports: False):
        self.dir = folder
        self.reports = []
        self._until = until

    def report(self, step, loss):
        self.reports.append((step, loss))

    def should_prune(self):
        return False

    def should_stop(self):
        return self._until(self.reports)

    @property
    def steps(self):
        return [step for step, _ in self.reports]


class Lost(Exception):
    """The process is gone."""


class Batches:
    """Counts batches; ``lose`` of them in, the process is gone."""

    def __new__(cls, lose=math.inf):
        class Counting(keras.callbacks.Callback):
            seen = 0

            def on_train_batch_end(self, batch, logs=None):
                self.seen += 1
                if self.seen >= lose:
                    raise Lost

        return Counting()


def build(units=3, optimizer="adam", seed=1):
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            keras.layers.Input((2,)),
            keras.layers.Dense(units),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.1),
            keras.layers.Dense(1),
        ]
    )
    model.compile(optimizer, loss="mse")
    return model


def data():
    x = np.linspace(0, 1, 32, dtype="float32").reshape(16, 2)
    return x, x[:, :1] * 2


def fit(attempt, model=None, *, callbacks=(), epochs=5, **settings):
    """Train with the callback: the model, and what ``fit`` returned."""
    model = model or build()
    x, y = data()
    callback = TrialCallback(attempt, every_s=settings.pop("every_s", 0.0))
    history = model.fit(
        x,
        y,
        batch_size=16 // STEPS,
        epochs=epochs,
        validation_data=(x, y),
        verbose=0,
        callbacks=[callback, *callbacks],
        **settings,
    )
    return model, history


def interrupted(folder, after, **settings):
    """A first attempt, stopped once it has reported ``after`` epochs."""
    first = Attempt(folder, lambda reports: len(reports) >= after)
    return first, *fit(first, **settings)


def state_of(folder, number=1):
    with zipfile.ZipFile(checkpoints.of_training(folder, number)) as archive:
        return json.loads(archive.read("state.json"))


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one.get_weights(), other.get_weights(), strict=True))


def test_it_goes_on_from_the_epoch_that_it_was_in(tmp_path):
    first, stopped, _ = interrupted(tmp_path, 2)
    second, batches = Attempt(tmp_path), Batches()
    model, history = fit(second, build(seed=9), callbacks=[batches])
    assert (first.steps, second.steps) == ([0, 1], [2, 3, 4])
    assert batches.seen == 3 * STEPS
    assert int(model.optimizer.iterations) == 5 * STEPS
    assert int(stopped.optimizer.iterations) == 2 * STEPS
    assert history.epoch == [0, 1, 2, 3, 4]


def test_weights_and_the_optimizers_state_are_those_that_were_saved(tmp_path):
    _, stopped, _ = interrupted(tmp_path, 2)

    class Look(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                self.weights = [v.numpy() for v in self.model.variables]
                self.optimizer = [v.numpy() for v in self.model.optimizer.variables]

    look = Look()
    fit(Attempt(tmp_path), build(seed=9), callbacks=[look])
    assert all(np.array_equal(a, b) for a, b in zip(look.weights, [v.numpy() for v in stopped.variables], strict=True))
    assert all(
        np.array_equal(a, b)
        for a, b in zip(look.optimizer, [v.numpy() for v in stopped.optimizer.variables], strict=True)
    )


def test_the_history_has_the_earlier_epochs_too(tmp_path):
    first, _, before = interrupted(tmp_path, 3)
    second = Attempt(tmp_path)
    _, history = fit(second)
    assert history.history["val_loss"][:3] == before.history["val_loss"]
    assert [loss for _, loss in first.reports + second.reports] == history.history["val_loss"]
    assert len(history.history["loss"]) == 5


def test_an_interrupted_epoch_is_done_again(tmp_path):
    model = build()
    first = Attempt(tmp_path, lambda reports: int(model.optimizer.iterations) > 2 * STEPS)
    callback_model, _ = fit(first, model, every_s=math.inf)
    assert 2 * STEPS < int(callback_model.optimizer.iterations) < 3 * STEPS
    second, batches = Attempt(tmp_path), Batches()
    _, history = fit(second, callbacks=[batches])
    assert (first.steps, second.steps) == ([0, 1], [2, 3, 4])
    assert batches.seen == 3 * STEPS
    assert len(history.history["val_loss"]) == 5


def test_a_stop_before_a_further_epoch_saves_nothing_more(tmp_path):
    interrupted(tmp_path, 2)
    checkpoint = checkpoints.of_training(tmp_path, 1)
    before = checkpoint.stat()
    checkpoints.begin(tmp_path)
    fit(Attempt(tmp_path, lambda reports: True))
    after = checkpoint.stat()
    assert (after.st_ino, after.st_size, after.st_mtime_ns) == (before.st_ino, before.st_size, before.st_mtime_ns)
    assert not checkpoints.saved(tmp_path)


def test_a_process_that_is_lost_costs_what_came_after_the_last_checkpoint(tmp_path):
    with contextlib.suppress(Lost):
        fit(Attempt(tmp_path), callbacks=[Batches(lose=3 * STEPS + 2)])
    second = Attempt(tmp_path)
    fit(second)
    assert second.steps == [3, 4]


def test_a_cheap_training_writes_nothing(tmp_path):
    fit(Attempt(tmp_path), every_s=60.0)
    assert list(tmp_path.iterdir()) == []


def test_a_training_that_had_finished_is_not_done_again(tmp_path):
    trained, before = fit(Attempt(tmp_path))
    second, batches = Attempt(tmp_path), Batches()
    model, history = fit(second, build(seed=9), callbacks=[batches])
    assert (batches.seen, second.steps) == (0, [])
    assert history.history["val_loss"] == before.history["val_loss"]
    assert same(model, trained)


def test_another_fit_of_the_same_model_begins_where_it_is_told_to(tmp_path):
    interrupted(tmp_path, 3)
    second = Attempt(tmp_path)
    model, _ = fit(second)
    batches = Batches()
    x, y = data()
    model.fit(x, y, epochs=1, batch_size=4, verbose=0, callbacks=[batches])
    assert batches.seen == STEPS


def test_each_fit_of_a_trial_has_a_checkpoint_of_its_own(tmp_path):
    first = Attempt(tmp_path, lambda reports: len(reports) >= 5 + 2)
    fit(first, build(seed=1))
    fit(first, build(seed=2))
    assert [state_of(tmp_path, number)["next_epoch"] for number in (1, 2)] == [5, 2]
    second, batches = Attempt(tmp_path), Batches()
    fit(second, build(seed=1), callbacks=[batches])
    assert batches.seen == 0
    fit(second, build(seed=2), callbacks=[batches])
    assert second.steps == [2, 3, 4]
    third_fold = Batches()
    fit(second, build(seed=3), callbacks=[third_fold])
    assert third_fold.seen == 5 * STEPS


def test_a_stop_reaches_every_later_fit_too(tmp_path):
    attempt = Attempt(tmp_path, lambda reports: len(reports) >= 1)
    callback, (x, y), model = TrialCallback(attempt), data(), build()
    for _ in range(2):
        model.fit(x, y, epochs=3, verbose=0, validation_data=(x, y), callbacks=[callback])
        assert callback.stopped
    assert attempt.steps == [0]


@pytest.mark.parametrize("other", [{"units": 7}, {"optimizer": "sgd"}])
def test_a_checkpoint_of_another_model_is_ignored_with_a_warning(tmp_path, other):
    interrupted(tmp_path, 2)
    second, model = Attempt(tmp_path), build(**other)
    with pytest.warns(
        UserWarning, match="is ignored, and the training begins anew: it is of another model or optimizer"
    ):
        fit(second, model)
    assert second.steps == [0, 1, 2, 3, 4]
    assert int(model.optimizer.iterations) == 5 * STEPS


@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_a_damaged_checkpoint_is_ignored_with_a_warning_and_changes_nothing(tmp_path, damage):
    interrupted(tmp_path, 2)
    path = checkpoints.of_training(tmp_path, 1)
    whole = bytearray(path.read_bytes())
    if damage == "flip":
        with zipfile.ZipFile(path) as archive:
            at = archive.getinfo("0").header_offset
        whole[at + 60] ^= 0xFF  # in the first variable's values
    path.write_bytes(whole[: {"cut": len(whole) // 2, "flip": len(whole), "empty": 0}[damage]])

    class Look(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 0:
                self.weights = self.model.get_weights()

    look, fresh = Look(), build(seed=9)
    before = fresh.get_weights()
    with pytest.warns(UserWarning, match="is ignored, and the training begins anew"):
        fit(Attempt(tmp_path), fresh, callbacks=[look])
    assert all(np.array_equal(a, b) for a, b in zip(look.weights, before, strict=True))


def test_a_checkpoint_that_cannot_be_written_does_not_end_the_training(tmp_path):
    folder = tmp_path / "gone"  # nobody makes it
    attempt = Attempt(folder)
    with pytest.warns(UserWarning, match="no checkpoint could be written to"):
        fit(attempt)
    assert attempt.steps == [0, 1, 2, 3, 4]


def test_what_a_killed_worker_had_begun_to_write_is_removed(tmp_path):
    path = checkpoints.of_training(tmp_path, 1)
    path.with_name(f".{path.name}.node1.77").write_bytes(b"half")
    fit(Attempt(tmp_path), every_s=60.0)
    assert list(tmp_path.iterdir()) == []


def test_bfloat16_and_loss_scaling_are_kept(tmp_path):
    def build():
        model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1, dtype="bfloat16")])
        model.compile(keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam()), loss="mse")
        return model

    interrupted(tmp_path, 2, model=build())
    second, model = Attempt(tmp_path), build()
    fit(second, model)
    assert second.steps == [2, 3, 4]
    assert {each[1] for each in state_of(tmp_path)["variables"]} >= {"bfloat16", "float32"}


def test_optimizers_of_a_model_of_ones_own_are_kept(tmp_path):
    def build():
        class Two(keras.Model):
            def __init__(self):
                super().__init__()
                self.layer = keras.layers.Dense(1)

            def call(self, x):
                return self.layer(x)

        keras.utils.set_random_seed(1)
        model = Two()
        model(data()[0])
        model.second = keras.optimizers.SGD(momentum=0.9)
        model.second.build(model.trainable_variables)
        model.compile("adam", loss="mse")
        return model

    interrupted(tmp_path, 2, model=build())
    second, model = Attempt(tmp_path), build()
    fit(second, model)
    assert second.steps == [2, 3, 4]
    assert len(state_of(tmp_path)["variables"]) == sum(
        len(each.variables) for each in (model, model.optimizer, model.second)
    )


def test_a_stop_ends_a_validation_too(tmp_path):
    validated = []

    class Count(keras.callbacks.Callback):
        def on_test_batch_end(self, batch, logs=None):
            validated.append(batch)

    first = Attempt(tmp_path, lambda reports: bool(validated))
    fit(first, callbacks=[Count()])
    assert (first.reports, validated) == ([], [0, 1])
