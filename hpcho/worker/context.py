"""The ``trial`` argument of an objective, in the child."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from hpcho.worker.channel import Channel

__all__ = ["RunningTrial"]


STEPS = range(-(1 << 63), 1 << 63)
"""What a store can keep as a step."""


class RunningTrial:
    """What the user's code sees of its trial (``hpcho.objective.base.TrialContext``). Threads may share it."""

    def __init__(self, tid: int, folder: Path, channel: Channel) -> None:
        self._tid = tid
        self._folder = folder
        self._channel = channel
        self._lock = threading.Lock()
        self._stop = False

    @property
    def tid(self) -> int:
        """The trial's id, unique in the experiment."""
        return self._tid

    @property
    def dir(self) -> Path:
        """The trial's folder; made on first use and kept across a resume."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder

    def report(self, step: int, loss: float) -> None:
        """Tell the loss after ``step`` (an epoch, say). Never waits: what the worker has not read yet is kept here."""
        message = ("report", _number(int, "step", step), _number(float, "loss", loss))
        with self._lock:
            self._channel.offer(message)

    def should_prune(self) -> bool:
        """Whether the pruner gives the trial up. The only pruner there is, ``none``, never does."""
        return False

    def should_stop(self) -> bool:
        """Whether the worker was told to stop. Once it has said so, what the objective returns is not a result.

        Save under ``dir`` then, whole (write another file and rename it), and return; begin with
        ``if (trial.dir / "state").exists()`` and go on from there.
        """
        if not self._stop:
            with self._lock:
                self._stop = self._stop or ("stop",) in self._channel.poll()
        return self._stop

    @property
    def was_told_to_stop(self) -> bool:
        """Whether ``should_stop`` has said so to the objective."""
        return self._stop


def _number(kind: type[Any], name: str, value: Any) -> Any:
    try:
        number = kind(value)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"trial.report(step, loss): {name} must be a number, not {value!r}") from None
    if kind is int and number not in STEPS:
        raise ValueError(f"trial.report(step, loss): step must fit into 64 bits, and {value!r} does not")
    return number
