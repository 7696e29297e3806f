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

    def __init__(self, tid: int, folder: Path, channel: Channel, *, has_pruner: bool = False) -> None:
        self._tid = tid
        self._folder = folder
        self._channel = channel
        self._has_pruner = has_pruner
        self._lock = threading.Lock()
        self._stop_came = False
        self._stop = False
        self._pruned = False
        self._last_loss: float | None = None

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
            self._last_loss = message[2]
            self._channel.offer(message)

    def should_prune(self) -> bool:
        """Whether the pruner gives the trial up. Once it has, save under ``dir`` as for a stop, and return.

        The trial is done then: its loss is what the objective returns, or the last one reported. Where ``asha`` or
        ``hyperband`` finds later that it should go on, another trial gets what was saved. Asks the worker, which looks
        into the store only where there is something to decide.
        """
        if self._has_pruner and not self._pruned:
            with self._lock:
                self._channel.send(("prune?",))
                while not self._pruned:
                    message = self._channel.receive()
                    self._stop_came = self._stop_came or message == ("stop",)
                    if message[:2] == ("verdict", self._tid):
                        self._pruned = message[2]
                        break
        return self._pruned

    def should_stop(self) -> bool:
        """Whether the worker was told to stop. Once it has said so, what the objective returns is not a result.

        Save under ``dir`` then, whole (write another file and rename it), and return; begin with
        ``if (trial.dir / "state").exists()`` and go on from there.
        """
        if not self._stop:
            with self._lock:
                self._stop_came = self._stop_came or ("stop",) in self._channel.poll()
                self._stop = self._stop_came
        return self._stop

    @property
    def was_told_to_stop(self) -> bool:
        """Whether ``should_stop`` has said so to the objective."""
        return self._stop

    @property
    def was_pruned(self) -> bool:
        """Whether ``should_prune`` has said so to the objective."""
        return self._pruned

    @property
    def last_loss(self) -> float | None:
        """The loss that was reported last in this attempt."""
        return self._last_loss


def _number(kind: type[Any], name: str, value: Any) -> Any:
    try:
        number = kind(value)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"trial.report(step, loss): {name} must be a number, not {value!r}") from None
    if kind is int and number not in STEPS:
        raise ValueError(f"trial.report(step, loss): step must fit into 64 bits, and {value!r} does not")
    return number
