"""Results that were computed but could not be delivered: the claim was lost, or the store was away.

    trials/<tid>/late-<version>.json    the result, the version of the claim that it answers, and its files' names
    trials/<tid>/late-<version>/        its files, one a number

The worker writes them, the controller reads them and adopts one where the trial is unfinished and nobody has it. The
JSON appears last, as a whole: what ``load`` finds is complete.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hpcho.trial import Result

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Late", "discard", "load", "save"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Late:
    """An undelivered result. ``version`` is the trial's when the worker claimed it; ``files`` are as in finish."""

    version: int
    result: Result
    files: Mapping[str, Path] = field(default_factory=dict)


def save(folder: Path, version: int, result: Result, files: Mapping[str, Path]) -> Late:
    """Keep a result in the trial's ``folder``; its ``files`` are moved.

    Raises OSError when there is no room; files that it has moved are then in place for the same call, made again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    moved = _move(files, folder / f"late-{version}")
    names = {name: path.name for name, path in moved.items()}
    document = {"version": version, "result": result.to_json(), "files": names}
    draft = folder / f".late-{version}.{os.getpid()}"
    with draft.open("w", encoding="utf-8") as file:
        json.dump(document, file)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(folder / f"late-{version}.json")
    return Late(version, result, moved)


def load(folder: Path) -> list[Late]:
    """The undelivered results in a trial's ``folder``, of the earliest claim first; none where there is no folder."""
    found = []
    for path in folder.glob("late-*.json"):
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            files = {name: path.with_suffix("") / place for name, place in document["files"].items()}
            found.append(Late(document["version"], Result.from_json(document["result"]), files))
        except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
            log.warning("%s cannot be read and is left out: %s", path, error)
    return sorted(found, key=lambda late: late.version)


def discard(folder: Path, version: int) -> None:
    """Forget a result that has been delivered after all. Harmless when there is none."""
    (folder / f"late-{version}.json").unlink(missing_ok=True)
    shutil.rmtree(folder / f"late-{version}", ignore_errors=True)


def _move(files: Mapping[str, Path], target: Path) -> dict[str, Path]:
    """Move ``files`` into the folder ``target``, by number: an attachment's name need not be a file name."""
    moved = {}
    for number, (name, path) in enumerate(files.items()):
        place = target / str(number)
        if not place.exists():
            target.mkdir(exist_ok=True)
            shutil.move(path, place)
        moved[name] = place
    return moved
