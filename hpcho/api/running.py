"""``hpcho.run``: the command in a process of its own, so that a notebook's signals, threads and files stay its own."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpcho.api.following import follow
from hpcho.api.results import Results, load
from hpcho.errors import HpchoError, Interrupted, LauncherError, RunFailed, StoreError, UsageError
from hpcho.opening import find_job_dir

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
    trials finish, a second time gives them back; then it raises Interrupted, and the same call goes on later. It is
    raised too where the run had ended before it heard.

    Raises what the command would end with: RunFailed, UsageError, StoreError, LauncherError or Interrupted.
    """
    path = os.fspath(experiment)
    given = _texts(settings)
    options = [word for setting in given for word in ("--set", setting)]
    options += [flag for flag, wanted in (("--fresh", fresh), ("--detach", detach)) if wanted]
    code, lines, was_interrupted = follow(
        [sys.executable, "-m", "hpcho", "run", *options, "--", path],
        passes=lambda line: line.startswith(f"{SAYS_OURS}warning: "),
    )
    said = "\n".join(lines).removeprefix(SAYS_OURS)
    # it may have been too late for the command to hear, or so early that Python itself had not begun
    is_unheard = was_interrupted and (code <= 0 or lines[-1:] == ["KeyboardInterrupt"])
    if is_unheard or (code == Interrupted.exit_code and not said):
        raise Interrupted("interrupted; the same call goes on")
    if code == 0:
        if said:
            print(said, file=sys.stderr)  # noqa: T201 - what the command said there
        return load(find_job_dir(Path(path), given).path)
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
