"""A Keras callback that connects a training to its trial.

It goes among the callbacks of ``fit``: ``model.fit(..., callbacks=[TrialCallback(trial)])``, where ``trial`` is the
objective's argument of that name.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import socket
import time
import warnings
import zipfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol
from weakref import WeakKeyDictionary

from hpcho import checkpoints

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

try:
    import keras
except ModuleNotFoundError as error:
    if error.name != "keras":
        raise
    raise ImportError(
        "hpcho.keras needs Keras, which is not installed here: pip install 'hpcho[tensorflow]'"
    ) from error

import numpy as np  # Keras needs it too

__all__ = ["TrialCallback"]

POLL_S = 1.0
SAVING_SHARE = 0.05
"""Of a training's time, at most, for checkpoints that nobody asked for."""
STATE = "state.json"


class RunningTrial(Protocol):
    """What the callback needs of an objective's ``trial`` argument."""

    @property
    def dir(self) -> Path:
        """The trial's folder, kept across a resume."""

    def report(self, step: int, loss: float) -> None:
        """Tell the loss after ``step``."""

    def should_prune(self) -> bool:
        """Whether the trial is given up."""

    def should_stop(self) -> bool:
        """Whether the worker was told to stop."""


class TrialCallback(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Reports ``monitor`` after each epoch, ends the training when the trial is pruned or stopped, and resumes it.

    A pruned training is saved, too: should its trial be promoted, another one goes on from there, as on a resume.

    A trial's loss is minimised: ``mode="max"`` (an accuracy, say) reports the negative of ``monitor``. The step is the
    epoch as Keras counts it, from 0; an epoch without the monitored value (``validation_freq``) is not reported.

    When the worker was told to stop, the training ends within a second or one batch. ``pruned`` and ``stopped`` say
    afterwards why ``fit`` returned early.

    **Resuming.** The model's variables, its optimizers' and the number of the next epoch are saved under ``trial.dir``:
    on a stop, and after an epoch whenever ``every_s`` seconds have passed since the last time, so that a machine that
    is lost costs no more than these (``math.inf``: only on a stop). When the trial is tried again, ``fit`` goes on from
    there, with the history of the earlier epochs in what it returns; an epoch that was interrupted is done again. What
    was saved is removed once the trial is done. The objective has nothing to do for this: it builds and compiles the
    same model and calls ``fit`` as before. Where the model is another, what was saved is ignored, with a warning.

    An objective that calls ``fit`` several times (folds, fine-tuning) gives each call this callback: they are told
    apart by their order. What other callbacks know (EarlyStopping's best epoch and its weights, say), and the order in
    which the data is shuffled, is not saved: they begin anew on a resume.
    """

    def __init__(
        self,
        trial: RunningTrial,
        monitor: str = "val_loss",
        mode: Literal["min", "max"] = "min",
        every_s: float = 60.0,
    ) -> None:
        super().__init__()
        if mode not in ("min", "max"):
            raise ValueError(f"TrialCallback: mode is {mode!r}: write 'min' where less is better, 'max' where more is")
        self.pruned = False
        self.stopped = False
        self._trial = trial
        self._monitor = monitor
        self._sign = -1.0 if mode == "max" else 1.0
        self._every_s = every_s
        self._trainings = _TRAININGS.setdefault(trial, _Trainings())
        self._seen: set[str] = set()
        self._next_poll = 0.0
        self._next_epoch: int | None = None
        self._kept_epoch: int | None = None
        self._past = _Past()
        self._is_resumed = False

    @property
    def checkpoint(self) -> Path:
        """Where the training is saved: a file of hpcho's own."""
        return checkpoints.of_training(self._trial.dir, max(self._trainings.begun, 1))

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Go on from what an earlier attempt has saved."""
        del logs
        self._trainings.begun += 1
        self.pruned = self.stopped = self._is_resumed = False
        self._next_poll = 0.0
        self._next_epoch = self._kept_epoch = None
        self._past = _Past()
        for draft in self.checkpoint.parent.glob(f".{self.checkpoint.name}.*"):  # of a worker that was killed
            draft.unlink(missing_ok=True)
        if not self.checkpoint.exists():
            return
        try:
            self._past = _fitting(self.model, self.checkpoint)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with the file
            self._warn(f"{self.checkpoint} is ignored, and the training begins anew: {error}")
            return
        _load(self.model, self.checkpoint)
        self._is_resumed = True
        self._kept_epoch = self.model._initial_epoch = self._past.next_epoch  # noqa: SLF001 - as BackupAndRestore does

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Know where in the training it is."""
        del logs
        self._next_epoch = epoch
        if self._kept_epoch is None:
            self._kept_epoch = epoch
        self._settle_in()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Look for a stop once a second: an epoch may be longer than the time that is left."""
        del batch, logs
        now = time.monotonic()
        if now >= self._next_poll:
            self._next_poll = now + POLL_S
            self._stop_if_told()

    def on_test_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """The same during validation, whose outcome is of no use then."""
        self.on_train_batch_end(batch, logs)
        if self.stopped:
            self.model.stop_evaluating = True

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Report, then look for a reason to end; save where it is time."""
        if self.stopped:
            return  # in the middle of the epoch: its value is not an epoch's
        logs = logs or {}
        self._seen.update(logs)
        if self._monitor in logs:
            self._trial.report(epoch, self._sign * float(logs[self._monitor]))
        self._past.add(epoch, logs)
        self._next_epoch = epoch + 1
        # a training that has come to its end anyway needs no stop: its objective may still return what it has found
        if epoch + 1 < self.params.get("epochs", math.inf) and not self.model.stop_training:
            self._stop_if_told()
            if not self.stopped and self._trial.should_prune():
                self.pruned = True
                self.model.stop_training = True
        # what was pruned may be promoted
        if self.pruned or (not self.stopped and time.monotonic() >= self._trainings.saved_at + self._pause_s()):
            self._save()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Say so when there was nothing to report in the whole training."""
        del logs
        self._settle_in()
        if self._seen and self._monitor not in self._seen:
            warnings.warn(
                f"TrialCallback: {self._monitor!r} was never there to report: "
                f"Keras gave {', '.join(sorted(self._seen))}; "
                "name one of these as monitor, or give fit validation_data",
                stacklevel=2,
            )

    def _settle_in(self) -> None:
        """Once ``fit`` has taken over the epoch: leave no trace for the next ``fit``, and give it its history."""
        if self._is_resumed:
            self._is_resumed = False
            self.model._initial_epoch = None  # noqa: SLF001 - as in on_train_begin
            history = self.model.history
            history.epoch = list(self._past.epochs)
            history.history.update({name: list(values) for name, values in self._past.logs.items()})

    def _stop_if_told(self) -> None:
        if self.stopped or not self._trial.should_stop():
            return
        self.stopped = True
        self.model.stop_training = True
        # without a further epoch there is nothing to gain: saved anyway, a trial would seem to come forward for ever
        if self._next_epoch != self._kept_epoch:
            self._save()

    def _pause_s(self) -> float:
        """Between two checkpoints: as the user wants, but for models that take long to save."""
        return max(self._every_s, self._trainings.saving_s / SAVING_SHARE)

    def _save(self) -> None:
        """Write a checkpoint. Whatever keeps it from being written must not end the training."""
        began = time.monotonic()
        assert self._next_epoch is not None
        self._past.next_epoch = self._next_epoch
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # where they are errors, one would cost the checkpoint
                _save(self.model, self._past, self.checkpoint)
        except Exception as error:  # noqa: BLE001 - see above
            self._warn(f"no checkpoint could be written to {self.checkpoint}: {error}")
        else:
            self._kept_epoch = self._next_epoch
        self._trainings.saved_at = time.monotonic()
        self._trainings.saving_s = self._trainings.saved_at - began

    def _warn(self, message: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("default")  # where warnings are errors, one would end a training that can go on
            warnings.warn(f"TrialCallback: {message}", stacklevel=3)


@dataclass
class _Trainings:
    """What the trainings of one attempt at a trial share."""

    begun: int = 0
    saved_at: float = field(default_factory=time.monotonic)
    saving_s: float = 0.0


_TRAININGS: WeakKeyDictionary[RunningTrial, _Trainings] = WeakKeyDictionary()


@dataclass
class _Past:
    """The epochs that are behind, with what Keras said after each."""

    next_epoch: int = 0
    epochs: list[int] = field(default_factory=list)
    logs: dict[str, list[float]] = field(default_factory=dict)

    def add(self, epoch: int, logs: Mapping[str, Any]) -> None:
        self.epochs.append(epoch)
        for name, value in logs.items():
            with contextlib.suppress(TypeError, ValueError):  # the user's own, and no number
                self.logs.setdefault(name, []).append(float(value))


def _save(model: Any, past: _Past, path: Path) -> None:
    """Write the state of a training: variables as raw bytes, so that it takes neither pickle nor the model's code."""
    if sync := getattr(model, "jax_state_sync", None):
        sync()  # there, a training keeps its state elsewhere until the epoch's end
    variables = list(_variables(model))
    state = {**vars(past), "variables": [_kind(variable) for variable in variables]}
    draft = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}")
    with draft.open("wb") as file:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr(STATE, json.dumps(state))
            for number, variable in enumerate(variables):
                with archive.open(str(number), "w", force_zip64=True) as entry:
                    values = np.ascontiguousarray(keras.ops.convert_to_numpy(variable))
                    entry.write(values.reshape(-1).view(np.uint8).data)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _fitting(model: Any, path: Path) -> _Past:
    """What a checkpoint says of the training, once it is whole and the model's own. Changes nothing; raises if not."""
    if not hasattr(model, "_initial_epoch"):
        raise ValueError("this version of Keras cannot begin at a later epoch")
    for optimizer in _optimizers(model):
        if not optimizer.built:
            optimizer.build(model.trainable_variables)
    with zipfile.ZipFile(path) as archive:
        state = json.loads(archive.read(STATE))
        if state.pop("variables") != [_kind(variable) for variable in _variables(model)]:
            raise ValueError("it is of another model or optimizer")
        if damaged := archive.testzip():
            raise ValueError(f"its part {damaged} is damaged")
    return _Past(**state)


def _load(model: Any, path: Path) -> None:
    """Give the model's variables the values in a checkpoint that fits."""
    with zipfile.ZipFile(path) as archive:
        for number, variable in enumerate(_variables(model)):
            shape, dtype = _kind(variable)
            variable.assign(np.frombuffer(archive.read(str(number)), np.dtype(dtype)).reshape(shape))


def _variables(model: Any) -> Iterator[Any]:
    yield from model.variables
    for optimizer in _optimizers(model):
        yield from optimizer.variables


def _optimizers(model: Any) -> list[Any]:
    """The compiled one, and others that a model with a ``train_step`` of its own has, by their names in it."""
    found = {name: value for name, value in vars(model).items() if isinstance(value, keras.optimizers.Optimizer)}
    return [found[name] for name in sorted(found)]


def _kind(variable: Any) -> list[Any]:
    """What must be the same for a variable to be given another's value. Names differ from one model to the next."""
    return [list(variable.shape), keras.backend.standardize_dtype(variable.dtype)]
