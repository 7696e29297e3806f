"""One trial in the child: the objective's value made a result, or what went wrong made a failure, as a message."""

from __future__ import annotations

import contextlib
import errno
import json
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpcho.objective.encode import BadResult, encode
from hpcho.trial import Cause
from hpcho.worker import faults, streams
from hpcho.worker.context import RunningTrial

if TYPE_CHECKING:
    from hpcho.objective.base import Objective
    from hpcho.trial import Result
    from hpcho.worker.channel import Channel, Message

__all__ = ["evaluate"]

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
NO_ROOM_S = 5.0
"""How long to wait before a result that found no room on the disk is written again."""


def evaluate(objective: Objective, task: Mapping[str, Any], channel: Channel) -> tuple[Message, bool]:
    """Evaluate the trial that ``task`` describes. The message for the parent, and whether this process may go on.

    ("result", document, {attachment: path}, told_to_stop) or ("failed", failure, told_to_stop), where failure holds
    "cause", "text", "spent" (this process is of no further use) and "killed" (a process of the objective's was).
    """
    folder = Path(task["folder"])
    trial = RunningTrial(task["tid"], folder, channel, has_pruner=task.get("has_pruner", False))
    try:
        value = objective.evaluate(task["params"], task["vals"], trial)
        if trial.was_pruned:
            value = _with_loss(value, trial.last_loss)
        result, files = _encoded(objective, value, folder, channel)
    except BadResult as error:
        text = faults.storable(f"{error}{_kept(error, folder)}")
        failure: dict[str, Any] = {"cause": Cause.OBJECTIVE.value, "text": text, "spent": False}
    except BaseException as error:  # noqa: BLE001 - also sys.exit and KeyboardInterrupt cost the trial only
        failure = _failure(error)
    else:
        streams.flush()
        result = replace(result, pruned=trial.was_pruned and result.status == "ok")
        paths = {name: str(path) for name, path in files.items()}
        return ("result", result.to_json(), paths, trial.was_told_to_stop), True
    with contextlib.suppress(Exception):  # the user's code may have closed it
        sys.stderr.write(failure["text"].rstrip() + "\n")
    streams.flush()
    return ("failed", failure, trial.was_told_to_stop), not failure["spent"]


def _with_loss(value: Any, last: float | None) -> Any:
    """What an objective that was pruned has returned; the last reported loss stands for one that it leaves out."""
    if value is None:
        return last
    is_without = isinstance(value, Mapping) and value.get("loss") is None and value.get("status", "ok") == "ok"
    return {**value, "loss": last} if is_without else value


def _failure(error: BaseException) -> dict[str, Any]:
    cause, text = faults.describe(error)
    return {
        "cause": cause.value,
        "text": text,
        "spent": cause is not Cause.OBJECTIVE,
        "killed": faults.may_be_killed_for_memory(error),
    }


def _kept(error: BadResult, folder: Path) -> str:
    """Keep what a result without a usable loss did hold: result.json and, where it had files, result/."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "result.json").write_text(json.dumps(error.result.to_json()), encoding="utf-8")
        if error.files:
            shutil.rmtree(folder / "result", ignore_errors=True)
            next(iter(error.files.values())).parent.rename(folder / "result")
    except OSError as problem:
        return f". What it returned could not be kept: {problem}"
    return f". What it returned is kept in {folder / 'result.json'}"


def _encoded(objective: Objective, value: Any, folder: Path, channel: Channel) -> tuple[Result, Mapping[str, Path]]:
    """Encode ``value``, again and again while there is no room for the files: the training must not be lost.

    An objective may bring an ``encode`` of its own.
    """
    make = getattr(objective, "encode", encode)
    while True:
        try:
            return make(value, folder)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            channel.offer(("full", f"no room for the result ({error}); trying again until there is"))
            time.sleep(NO_ROOM_S)
