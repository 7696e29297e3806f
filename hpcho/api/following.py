"""A command in a process of its own, followed to its end: its lines are printed here, interrupts go there.

An interrupt must not become a KeyboardInterrupt on the way: raised between two bytecodes anywhere in here, it would
lose a line, or leave the process behind. So while the process lives, SIGINT has a handler that only hands it on.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from queue import Empty, SimpleQueue
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["follow"]

PATIENT_INTERRUPTS = 3
"""So many interrupts the command may answer in its own way; one more, as it does not, ends it."""
LOOK_S = 0.2
LAST_WORDS_S = 1.0
"""How long to wait for more lines once the process is gone, as what it had started may hold its pipes open."""


def follow(command: Sequence[str], passes: Callable[[str], bool]) -> tuple[int, list[str], bool]:
    """Run a command and print what it says; returns its exit code, its other lines, and whether it was interrupted.

    Printed are the lines of its stdout, and of its stderr those that ``passes`` lets through; the others are returned.
    Whatever is raised in here, the command has ended before.
    """
    lines: SimpleQueue[tuple[str, str | None]] = SimpleQueue()
    kept: list[str] = []
    with _Interrupts().heard() as interrupts:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="backslashreplace",
            env={**os.environ, "PYTHONIOENCODING": "utf-8"},
            start_new_session=True,  # an interrupt comes by way of this process, once
        )
        interrupts.go_to(process)
        try:
            for name, stream in (("out", process.stdout), ("err", process.stderr)):
                threading.Thread(target=_read, args=(name, stream, lines), daemon=True).start()
            for name, line in _until_over(process, lines):
                if name == "out" or passes(line):
                    print(line, file=sys.stdout if name == "out" else sys.stderr, flush=True)
                else:
                    kept.append(line)
        except BaseException:
            process.terminate()  # as two interrupts: running trials are given back
            raise
        finally:
            process.wait()
        return process.returncode, kept, interrupts.count > 0


class _Interrupts:
    """Hands SIGINT on to a process: each time once, those before its start too."""

    def __init__(self) -> None:
        self.count = 0
        self._sent = 0
        self._process: subprocess.Popen[str] | None = None

    @contextlib.contextmanager
    def heard(self) -> Iterator[_Interrupts]:
        """Take SIGINT over, where that is ours to do: in the main thread, and not where it is ignored or not Python's.

        In another thread no KeyboardInterrupt is ever raised.
        """
        before = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is not threading.main_thread() or not callable(before):
            yield self
            return
        signal.signal(signal.SIGINT, self._hear)
        try:
            yield self
        finally:
            signal.signal(signal.SIGINT, before)

    def go_to(self, process: subprocess.Popen[str]) -> None:
        """The process to hand them on to."""
        self._process = process
        self._send()

    def _hear(self, number: int, frame: Any) -> None:
        del number, frame
        self.count += 1
        self._send()

    def _send(self) -> None:
        while self._process is not None and self._sent < self.count:
            self._sent += 1
            self._process.send_signal(signal.SIGINT if self._sent <= PATIENT_INTERRUPTS else signal.SIGKILL)


def _read(name: str, stream: IO[str], lines: SimpleQueue[tuple[str, str | None]]) -> None:
    with stream:
        for line in stream:
            lines.put((name, line.rstrip("\n")))
    lines.put((name, None))


def _until_over(
    process: subprocess.Popen[str], lines: SimpleQueue[tuple[str, str | None]]
) -> Iterator[tuple[str, str]]:
    """Its lines as they come, until both streams have ended, or the process has and no more lines come."""
    going = 2
    while going:
        is_over = process.poll() is not None
        try:
            name, line = lines.get(timeout=LAST_WORDS_S if is_over else LOOK_S)
        except Empty:
            if is_over:
                return
            continue
        if line is None:
            going -= 1
        else:
            yield name, line
