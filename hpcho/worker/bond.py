"""What ties a worker's child, and each trial's own process, to the one that started it. For the child itself."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

__all__ = ["STOP_SIGNALS", "deafen", "die_with", "offer_to_the_kernel"]

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2, signal.SIGHUP)
"""The signals that tell a worker to give its trial back."""

_PR_SET_PDEATHSIG = 1


def die_with(parent: int) -> None:
    """Have the kernel kill this process when ``parent``, which started it, is gone, whatever code runs here then.

    Elsewhere than on Linux the end of the channel tells, as soon as the objective returns.
    """
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it was gone before the kernel knew
        os._exit(1)


def deafen() -> None:
    """Take stop signals without effect: schedulers send them to every process of a job, and only the parent decides.

    A handler and not SIG_IGN, which programs that the objective starts would inherit.
    """
    for number in STOP_SIGNALS:
        signal.signal(number, _unmoved)


def hear_again() -> None:
    """What the objective forks (a multiprocessing pool) is ended by its SIGTERM as ever."""
    for number in STOP_SIGNALS:
        if signal.getsignal(number) is _unmoved:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def _unmoved(number: int, frame: FrameType | None) -> None:
    pass


def offer_to_the_kernel() -> None:
    """When the machine runs out of memory, this process goes and not its parent, which can tell of it."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
