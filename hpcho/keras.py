"""A Keras callback that connects a training to its trial.

It goes among the callbacks of ``fit``: ``model.fit(..., callbacks=[TrialCallback(trial)])``, where ``trial`` is the
objective's argument of that name.
"""

from __future__ import annotations

import time
import warnings
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from pathlib import Path

try:
    import keras
except ModuleNotFoundError as error:
    if error.name != "keras":
        raise
    raise ImportError(
        "hpcho.keras needs Keras, which is not installed here: pip install 'hpcho[tensorflow]'"
    ) from error

__all__ = ["TrialCallback"]

POLL_S = 1.0


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
    """Reports ``monitor`` after each epoch, and ends the training when the trial is pruned or stopped.

    A trial's loss is minimised: ``mode="max"`` (an accuracy, say) reports the negative of ``monitor``. The step is the
    epoch as Keras counts it, from 0; an epoch without the monitored value (``validation_freq``) is not reported.

    When the worker was told to stop, the training ends within a second or one batch, and the whole model with its
    optimizer is saved as ``checkpoint`` (``trial.dir / "checkpoint.keras"``). ``pruned`` and ``stopped`` say afterwards
    why ``fit`` returned early.
    """

    def __init__(self, trial: RunningTrial, monitor: str = "val_loss", mode: Literal["min", "max"] = "min") -> None:
        super().__init__()
        if mode not in ("min", "max"):
            raise ValueError(f"TrialCallback: mode is {mode!r}: write 'min' where less is better, 'max' where more is")
        self.pruned = False
        self.stopped = False
        self._trial = trial
        self._monitor = monitor
        self._sign = -1.0 if mode == "max" else 1.0
        self._seen: set[str] = set()
        self._next_poll = 0.0

    @property
    def checkpoint(self) -> Path:
        """Where the model is saved on a stop."""
        return self._trial.dir / "checkpoint.keras"

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Look for a stop once a second: an epoch may be longer than the time that is left."""
        del batch, logs
        now = time.monotonic()
        if now >= self._next_poll:
            self._next_poll = now + POLL_S
            self._stop_if_told()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Report, then look for a reason to end."""
        if self.stopped:
            return  # in the middle of the epoch: its value is not an epoch's
        logs = logs or {}
        self._seen.update(logs)
        if self._monitor in logs:
            self._trial.report(epoch, self._sign * float(logs[self._monitor]))
        self._stop_if_told()
        if not self.stopped and self._trial.should_prune():
            self.pruned = True
            self.model.stop_training = True

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Say so when there was nothing to report in the whole training."""
        del logs
        if self._seen and self._monitor not in self._seen:
            warnings.warn(
                f"TrialCallback: {self._monitor!r} was never there to report: "
                f"Keras gave {', '.join(sorted(self._seen))}; "
                "name one of these as monitor, or give fit validation_data",
                stacklevel=2,
            )

    def _stop_if_told(self) -> None:
        if self.stopped or not self._trial.should_stop():
            return
        self.stopped = True
        self.model.stop_training = True
        draft = self.checkpoint.with_name("checkpoint.new.keras")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # where they are errors, one would cost the checkpoint
            self.model.save(draft)
        draft.replace(self.checkpoint)
