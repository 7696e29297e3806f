"""An objective that is a command: any program that prints its loss.

``command: [python, train.py, --lr, "{lr}"]`` is an argv and no shell line. ``{name}`` stands for a parameter's value
(lists and dicts as JSON, all else as Python's ``str`` writes it), ``{{`` and ``}}`` for braces. A parameter that is
inactive in a trial takes its argument away, and where that argument is the placeholder alone, also a flag
(``--momentum``) directly before it.

The command runs in the source folder with $HPCHO_PARAMS (the params as JSON), $HPCHO_TID and $HPCHO_TRIAL_DIR (a folder
kept across a resume). What it prints goes to the trial's logs as it comes. The last line of its stdout that is not
empty is the loss, or a JSON object with "loss"; every line ``{"step": 3, "loss": 0.5}`` counts as
``trial.report(3, 0.5)``. When the trial is stopped or pruned, the command and all its descendants get SIGTERM once, to
save what they have under $HPCHO_TRIAL_DIR and leave.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import math
import os
import re
import selectors
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpcho.errors import ObjectiveLoadError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hpcho.objective.base import TrialContext
    from hpcho.trial import Vals

__all__ = ["CommandFailed", "CommandObjective", "arguments", "placeholders"]

POLL_S = 0.5
CHUNK_BYTES = 1 << 16
RESULT_BYTES = 16 << 20  # a longer last line is cut, and then no JSON any more
STDERR_LINES, STDERR_LINE_BYTES = 20, 2000
COMMAND_CHARACTERS = 500

BRACES = re.compile(r"\{\{|\}\}|\{([^{}]+)\}|[{}]")
FLAG = re.compile(r"--?[A-Za-z][^={}\s]*")
LINE_END = re.compile(rb"[\r\n]+")  # progress bars end their lines with a carriage return


class CommandFailed(Exception):
    """The command ended with an error, or printed no loss. ``returncode`` is negative for a signal."""

    def __init__(self, message: str, returncode: int) -> None:
        super().__init__(message)
        self.returncode = returncode


def placeholders(command: Sequence[str]) -> set[str]:
    """The parameters that ``command`` asks for. Raises ObjectiveLoadError for a brace that stands alone."""
    names: set[str] = set()
    for argument in command:
        for match in BRACES.finditer(argument):
            if match[0] in ("{", "}"):
                raise ObjectiveLoadError(
                    f"objective.command: {argument!r} has a single {match[0]!r}: "
                    f"write {match[0] * 2!r} for a brace, {{name}} for a parameter"
                )
            if match[1]:
                names.add(match[1])
    return names


def arguments(command: Sequence[str], params: Mapping[str, Any]) -> list[str]:
    """The argv for ``params``; arguments of parameters that are absent from it are left out."""
    argv: list[str] = []
    flag_before = False
    for argument in command:
        names = placeholders([argument])
        if names <= params.keys():
            argv.append(BRACES.sub(lambda match: _text(params[match[1]]) if match[1] else match[0][0], argument))
        elif flag_before and BRACES.fullmatch(argument):
            argv.pop()
        flag_before = FLAG.fullmatch(argument) is not None
    return argv


def _text(value: Any) -> str:
    return json.dumps(value) if isinstance(value, (dict, list, tuple)) else str(value)


class CommandObjective:
    """``objective: {command: [...]}``."""

    takes_trial = True  # a stop reaches the command as SIGTERM

    def __init__(self, command: Sequence[str], source: Path) -> None:
        placeholders(command)
        self._command = tuple(command)
        self._source = source.absolute()

    def prepare(self) -> None:
        """Look for the program. Raises ObjectiveLoadError when this machine has none of its name."""
        program = self._command[0]
        if placeholders([program]):
            return
        place = str(self._source / program) if "/" in program else program
        if shutil.which(place, path=_path()) is None:
            mend = "install it, or mend PATH"
            if "/" in program:
                mend = "name a file that is there and executable, or its interpreter first"
            raise ObjectiveLoadError(f"objective.command: no program {program!r} can be run here: {mend}")

    def evaluate(self, params: dict[str, Any], vals: Vals, trial: TrialContext) -> Any:
        """Run the command to its end: the number or dict on its last line; None when the trial was stopped before.

        Raises CommandFailed when it ends with an error or prints no loss. The last reported loss stands for a pruned
        trial that prints none.
        """
        del vals
        argv = arguments(self._command, params)
        process = self._start(argv, params, trial)
        watch = Watch(process, trial)
        try:
            watch.until_end()
        finally:
            if process.poll() is None:
                send(process, signal.SIGKILL)
            with process:  # closes its pipes
                pass
        return watch.outcome(shlex.join(argv)[:COMMAND_CHARACTERS])

    def _start(self, argv: list[str], params: dict[str, Any], trial: TrialContext) -> subprocess.Popen[bytes]:
        environment = {
            "PYTHONDONTWRITEBYTECODE": "1",  # part of the source folder may be links into the user's own
            "PYTHONUNBUFFERED": "1",  # so that a Python command's progress is seen as it prints it
            **os.environ,
            "PATH": _path(),
            "HPCHO_PARAMS": json.dumps(params, default=str),
            "HPCHO_TID": str(trial.tid),
            "HPCHO_TRIAL_DIR": str(trial.dir.absolute()),
        }
        return subprocess.Popen(
            argv,
            cwd=self._source,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            preexec_fn=_tie_to_us(),  # noqa: PLW1509 - it says itself why it is safe
        )


def _path() -> str:
    """PATH, and at its end the folder of our own Python: a machine may know python3 and no python."""
    return os.pathsep.join((os.environ.get("PATH", os.defpath), str(Path(sys.executable).parent)))


def _tie_to_us() -> Callable[[], None]:
    """What a new process does before it becomes the command, so that it ends when we do and SIGTERM reaches it.

    It runs between fork and exec, where a lock that another of our threads holds stays locked: all that it needs is
    looked up here, and it does nothing but system calls. The kernel sends the signal when the *thread* that forked
    ends, which is the one that waits for the command.
    """
    us, unblocked = os.getpid(), {signal.SIGTERM}
    prctl = ctypes.CDLL(None).prctl if sys.platform.startswith("linux") else None
    set_parent_death_signal, kill = 1, int(signal.SIGKILL)  # PR_SET_PDEATHSIG in linux/prctl.h

    def tie() -> None:
        if prctl is not None:
            prctl(set_parent_death_signal, kill, 0, 0, 0)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, unblocked)
        if os.getppid() != us:  # we ended before the tie was made
            os._exit(1)

    return tie


def send(process: subprocess.Popen[bytes], signum: signal.Signals) -> None:
    """Signal a process and all its descendants, and nobody else in the process group, which is ours too."""
    import psutil  # noqa: PLC0415 - only a command that is ended before its end needs it

    with contextlib.suppress(psutil.NoSuchProcess):
        first = psutil.Process(process.pid)
        for member in (first, *first.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                member.send_signal(signum)


class Lines:
    """One output stream: copied to a log as it comes, its last lines kept."""

    def __init__(self, log: int, count: int, width: int) -> None:
        self.last: deque[str] = deque(maxlen=count)
        self._log = log
        self._width = width
        self._rest = b""

    def feed(self, chunk: bytes) -> list[str]:
        """Take in what was read (b"" at the end) and return the lines that it completes, empty ones left out."""
        _write(self._log, chunk)
        *whole, self._rest = LINE_END.split(self._rest + chunk) if chunk else (self._rest, b"")
        self._rest = self._rest[: self._width]
        lines = [line[: self._width].decode("utf-8", "replace") for line in whole if line.strip()]
        self.last.extend(lines)
        return lines


def _write(descriptor: int, data: bytes) -> None:
    with contextlib.suppress(OSError):  # a full disk cuts the log; it must not end the command
        while data:
            data = data[os.write(descriptor, data) :]


class Watch:
    """Follows a running command: its output, its progress, and whether it should end before its time."""

    def __init__(self, process: subprocess.Popen[bytes], trial: TrialContext) -> None:
        self._process = process
        self._trial = trial
        self._out = Lines(1, 1, RESULT_BYTES)
        self._err = Lines(2, STDERR_LINES, STDERR_LINE_BYTES)
        self._reported: float | None = None
        self._next_poll = 0.0
        self._stopped = self._pruned = False

    def until_end(self) -> None:
        """Return once the command has ended and its output is read."""
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ, self._out)
            selector.register(self._process.stderr, selectors.EVENT_READ, self._err)
            while selector.get_map():
                ended = self._process.poll() is not None
                ready = selector.select(0 if ended else POLL_S)
                if ended and not ready:
                    break  # a process that it left behind holds its output open
                for key, _ in ready:
                    if not self._read(key):
                        selector.unregister(key.fileobj)
                self._end_early()
        while self._process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(POLL_S)
            self._end_early()

    def _read(self, key: selectors.SelectorKey) -> bool:
        chunk = os.read(key.fd, CHUNK_BYTES)
        lines = key.data.feed(chunk)
        if key.data is self._out:
            for line in lines:
                self._report(line)
        return bool(chunk)

    def _report(self, line: str) -> None:
        progress = _json_object(line) if '"step"' in line else None
        if progress is None:
            return
        step, loss = progress.get("step"), progress.get("loss")
        if type(step) is int and isinstance(loss, (int, float)) and math.isfinite(loss):
            self._reported = float(loss)
            self._trial.report(step, self._reported)

    def _end_early(self) -> None:
        now = time.monotonic()
        if self._stopped or self._pruned or now < self._next_poll:
            return
        self._next_poll = now + POLL_S
        self._stopped = self._trial.should_stop()
        self._pruned = not self._stopped and self._reported is not None and self._trial.should_prune()
        if self._stopped or self._pruned:
            send(self._process, signal.SIGTERM)

    def outcome(self, command: str) -> Any:
        """What the ended command says its loss is. Raises CommandFailed."""
        code, last = self._process.returncode, self._out.last[-1] if self._out.last else ""
        loss, complaint = (None, self._complaint(code)) if code else _loss(last)
        if complaint is None:
            return loss
        if self._stopped:
            return None
        if self._pruned:
            return self._reported
        raise CommandFailed(f"{command} {complaint}", code)

    def _complaint(self, code: int) -> str:
        how = f"ended with exit code {code}" if code > 0 else f"was ended by {_signal_name(-code)}"
        stderr = "\n".join(self._err.last)
        return f"{how}. The end of its stderr:\n{stderr}" if stderr else f"{how}, and wrote nothing to stderr."


def _loss(line: str) -> tuple[Any, str | None]:
    """The loss or result that a line says, and what is wrong with the line."""
    value = _json_object(line)
    if value is not None:
        return value, None
    try:
        return float(line), None
    except ValueError:
        shown = f"not {line[:COMMAND_CHARACTERS]!r}" if line else "but it printed nothing"
        return None, f'must print its loss, or a JSON object with "loss", as the last line of its stdout, {shown}.'


def _json_object(line: str) -> dict[str, Any] | None:
    if not line.lstrip().startswith("{"):
        return None
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
