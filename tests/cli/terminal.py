"""A terminal as programs find it, and one that shows what they make of it: it breaks its lines anew when resized."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time

STEP = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|\r\n|\r|\n|[^\x1b\r\n]+")


def plain(text):
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


class Screen:
    """Lines as a user sees them. It knows what a block that is drawn in place needs, and fails at anything else."""

    def __init__(self, width):
        self.width, self._lines, self._row, self.has_cursor = width, [""], None, True

    def _places(self):
        return [(i, at) for i, line in enumerate(self._lines) for at in range(0, max(len(line), 1), self.width)]

    @property
    def rows(self):
        return [self._lines[i][at : at + self.width] for i, at in self._places()]

    def feed(self, text):
        for step in STEP.finditer(text):
            given, how = step[1], step[2]
            if how == "A":
                self._row = max(self._row - int(given or 1), 0)
            elif how == "J":
                i, at = self._places()[self._row]
                self._lines[i:] = [self._lines[i][:at]]
                self._row = None
            elif how in ("h", "l"):
                assert given == "?25", step[0]
                self.has_cursor = how == "h"
            elif how:
                assert how == "m", step[0]
            elif step[0] == "\r":
                self._row = len(self._places()) - 1
            elif step[0] in ("\n", "\r\n"):
                self._lines.append("")
            else:
                assert self._row is None, f"written over what stands there: {step[0]!r}"
                self._lines[-1] += step[0]


class Session:
    """A command on a terminal of its own. ``said`` is all that it printed so far."""

    def __init__(self, command, *, env=None, cwd=None, width=80):
        self._master, slave = pty.openpty()
        self.screen, self.said = Screen(width), ""
        self._resize(width)
        given = {**os.environ, "TERM": "xterm", "CI": "", **(env or {})}
        given.pop("COLUMNS", None)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "hpcho", *map(str, command)],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=given,
            cwd=cwd,
        )
        os.close(slave)

    def _resize(self, width):
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
        self.screen.width = width

    def resize(self, width):
        """As when a user drags the window's edge."""
        self._resize(width)
        self.process.send_signal(signal.SIGWINCH)

    def type(self, line):
        os.write(self._master, f"{line}\n".encode())

    def until(self, condition, timeout=60):
        """Read until ``condition`` holds, or the command has ended; returns whether it holds."""
        deadline = time.monotonic() + timeout
        while not condition() and time.monotonic() < deadline:
            if select.select([self._master], [], [], 0.2)[0]:
                try:
                    text = os.read(self._master, 65536).decode(errors="replace")
                except OSError:
                    break
                while (cut := re.search(r"\x1b\[?[0-9;?]*\Z|\r\Z", text)) is not None:  # the rest is on its way
                    text += os.read(self._master, 1).decode(errors="replace")
                    del cut
                self.said += text
                self.screen.feed(text)
            elif self.process.poll() is not None:
                break
        return condition()

    def end(self):
        """Read to the end; returns what was printed, without escape sequences, and the exit code."""
        self.until(lambda: False)
        code = self.process.wait(10)
        os.close(self._master)
        return plain(self.said).replace("\r\n", "\n"), code
