"""What the parent waits for: signals, the lifeline, and its child's messages and end."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from typing import TYPE_CHECKING

from hpcho.inside import Echo
from hpcho.worker.bond import STOP_SIGNALS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import FrameType

__all__ = ["Events"]


class Events:
    """The outside world. Belongs to the main thread."""

    def __init__(self, lifeline: int | None) -> None:
        self.heard: list[signal.Signals] = []
        """The stop signals that have come."""
        self.has_lifeline = True
        """False once whoever held the other end of the lifeline is gone."""
        self._lifeline = lifeline
        self._wakeup = -1
        self._echo = Echo()

    @property
    def stops(self) -> int:
        """How many stop signals have come."""
        return len(self.heard)

    @contextlib.contextmanager
    def listening(self) -> Iterator[Events]:
        """Take over the stop signals and SIGCHLD meanwhile."""
        self._wakeup, writer = os.pipe()
        os.set_blocking(self._wakeup, False)
        os.set_blocking(writer, False)
        earlier_fd = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        earlier = {}
        for number in (*STOP_SIGNALS, signal.SIGCHLD):
            if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
                continue  # nohup
            handler = _wake if number == signal.SIGCHLD else self._on_stop
            earlier[number] = signal.signal(number, handler)
        try:
            yield self
        finally:
            for number, handler_before in earlier.items():
                signal.signal(number, handler_before)
            signal.set_wakeup_fd(earlier_fd)
            os.close(writer)
            os.close(self._wakeup)

    def wait(self, timeout_s: float, files: Iterable[int] = ()) -> None:
        """Until something happens, ``timeout_s`` at most. ``files`` are further file descriptors to be read from."""
        poll = select.poll()
        poll.register(self._wakeup, select.POLLIN)
        if self._lifeline is not None:
            poll.register(self._lifeline, select.POLLIN)
        for file in files:
            poll.register(file, select.POLLIN)
        for file, _ in poll.poll(max(timeout_s, 0.0) * 1000):
            if file == self._wakeup:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wakeup, 4096)
            elif file == self._lifeline and not os.read(file, 4096):
                self.has_lifeline = False
                self._lifeline = None

    def _on_stop(self, number: int, frame: FrameType | None) -> None:
        del frame
        if not self._echo.is_one(number):
            self.heard.append(signal.Signals(number))


def _wake(number: int, frame: FrameType | None) -> None:
    """A signal with a handler, even this one, ends a wait."""
