"""``hpcho.run``: the command in a process of its own, so that a notebook's signals, threads and files stay its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from queue import SimpleQueue
from threading import Thread
from typing import IO, TYPE_CHECKING, Any

from hpcho.api.results import Results, load
from hpcho.errors import HpchoError, Interrupted, LauncherError, RunFailed, StoreError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["run"]

ERRORS: Mapping[int, type[HpchoError]] = {
    error.exit_code: error for error in (RunFailed, UsageError, StoreError, LauncherError, Interrupted)
}
SAYS_OURS = "hpcho: "
"""What the command's own lines on stderr begin with."""


def run(
    experiment: str | os.PathLike[str],
    settings: Mapping[str, Any] | Sequence[str] = (),
    *,
    fresh: bool = False,
    detach: bool = False,
) -> Results:
    """Run the experiment at the YAML ``experiment``, or resume it, as ``hpcho run`` does; gives back what it learnt.

    ``settings`` take the place of the YAML's: ``{"budget.trials": 20}``, or as on the command line
    ``["budget.trials=20"]``. ``fresh`` archives an earlier run and starts anew; ``detach`` returns as soon as the run
    has begun in the background. Progress is printed here. Interrupting (Ctrl-C, a notebook's stop button) lets running
    trials finish, a second time gives them back; then it raises Interrupted, and the same call goes on later.

    Raises what the command would end with: RunFailed, UsageError, StoreError, LauncherError or Interrupted.
    """
    path = os.fspath(experiment)
    options = [word for setting in _texts(settings) for word in ("--set", setting)]
    options += [flag for flag, wanted in (("--fresh", fresh), ("--detach", detach)) if wanted]
    code, said = _follow([sys.executable, "-m", "hpcho", "run", *options, "--", path])
    if code == 0:
        if said:
            print(said, file=sys.stderr)  # noqa: T201 - what the command said there
        return load(path)
    raise ERRORS.get(code, HpchoError)(said or f"`hpcho run {path}` ended with exit code {code}; the same call goes on")


def _texts(settings: Mapping[str, Any] | Sequence[str]) -> list[str]:
    """Each setting as KEY=VALUE, the values as JSON, which YAML reads. Raises UsageError."""
    if isinstance(settings, str):
        raise UsageError(f'settings={settings!r}: give a dict, as {{"budget.trials": 20}}, or a list of KEY=VALUE')
    if not isinstance(settings, Mapping):
        return list(settings)
    try:
        return [f"{key}={json.dumps(value, allow_nan=False)}" for key, value in settings.items()]
    except (TypeError, ValueError) as error:
        raise UsageError(f"settings: {error}; values are what YAML has: numbers, strings, lists, dicts") from error


def _follow(command: Sequence[str]) -> tuple[int, str]:
    """Print what the command says while it works; returns its exit code and what it said last, on stderr."""
    lines: SimpleQueue[tuple[str, str | None]] = SimpleQueue()
    said: list[str] = []
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
    readers = [
        Thread(target=_read, args=(name, stream, lines), daemon=True)
        for name, stream in (("out", process.stdout), ("err", process.stderr))
        if stream is not None
    ]
    for reader in readers:
        reader.start()
    going = len(readers)
    while going:
        try:
            name, line = lines.get()
            if line is None:
                going -= 1
            elif name == "out" or line.startswith(f"{SAYS_OURS}warning: "):
                to = sys.stdout if name == "out" else sys.stderr
                print(line, file=to, flush=True)
            else:
                said.append(line)
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
    return process.wait(), "\n".join(said).removeprefix(SAYS_OURS)


def _read(name: str, stream: IO[str], lines: SimpleQueue[tuple[str, str | None]]) -> None:
    with stream:
        for line in stream:
            lines.put((name, line.rstrip("\n")))
    lines.put((name, None))
