"""Results in the trials' folders: those that the store does not have yet, and what a lost store is rebuilt from.

    trials/<tid>/late-<version>.json    a result on its way, with the version of the claim that it answers
    trials/<tid>/late-<version>/        its files, one a number
    trials/<tid>/result.json            one that a database server has: what the trial is rebuilt from, were that lost

A worker writes a late result when the store refuses it (the claim was lost) or is away; where the store is a server,
always, before it tells the store. Once the store has it, it is discarded, or becomes result.json, whose files are under
attachments/ by then. The controller adopts a late one where the trial is unfinished and nobody has it. The JSON appears
last, as a whole: what is found is complete.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from hpcho.trial import Attempt, Owner, Result, Trial, TrialState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

__all__ = ["Late", "discard", "load", "recall", "save", "settle", "sync"]

log = logging.getLogger(__name__)

SETTLED = "result.json"


@dataclass(frozen=True)
class Late:
    """An undelivered result. ``version`` is the trial's when the worker claimed it; ``files`` are as in finish."""

    version: int
    result: Result
    files: Mapping[str, Path] = field(default_factory=dict)
    vals: Mapping[str, list[Any]] | None = None
    """The trial's point; None where it was not noted."""

    def answers(self, trial: Trial) -> bool:
        """Whether it is this trial's: of a store that was lost there may be another trial's with the same tid."""
        return self.vals is None or self.vals == {label: list(values) for label, values in trial.vals.items()}


def save(folder: Path, trial: Trial, result: Result, files: Mapping[str, Path], *, synced: bool = True) -> Late:
    """Keep the result of ``trial``'s running attempt in its ``folder``; its ``files`` are moved.

    ``synced``: a power failure does not undo it, which takes a disk's time. Raises OSError when there is no room; files
    that it has moved are then in place for the same call, made again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    version = trial.version
    moved = _move(files, folder / f"late-{version}")
    names = {name: path.name for name, path in moved.items()}
    facts = _facts(trial)
    document = {"version": version, "result": result.to_json(), "files": names, "trial": facts}
    draft = folder / f".late-{version}.{os.getpid()}"
    with draft.open("w", encoding="utf-8") as file:
        json.dump(document, file)
        if synced:
            file.flush()
            os.fsync(file.fileno())
    draft.replace(folder / f"late-{version}.json")
    return Late(version, result, moved, facts["vals"])


def sync(folder: Path, late: Late) -> None:
    """Have a result that was saved without that on the disk for sure. Raises OSError."""
    for path in (folder / f"late-{late.version}.json", *late.files.values()):
        with path.open("rb") as file:
            os.fsync(file.fileno())


def load(folder: Path) -> list[Late]:
    """The undelivered results in a trial's ``folder``, of the earliest claim first; none where there is no folder."""
    found = []
    for path in folder.glob("late-*.json"):
        read = _read(path)
        if read is not None:
            document, result = read
            files = {name: path.with_suffix("") / place for name, place in document["files"].items()}
            facts = document.get("trial")
            vals = facts.get("vals") if isinstance(facts, dict) else None
            found.append(Late(document["version"], result, files, vals))
    return sorted(found, key=lambda late: late.version)


def settle(folder: Path, version: int) -> None:
    """A result has arrived: from now on it is what the trial is rebuilt from. Harmless when there is none."""
    with suppress(OSError):
        (folder / f"late-{version}.json").replace(folder / SETTLED)
    shutil.rmtree(folder / f"late-{version}", ignore_errors=True)


def discard(folder: Path, version: int) -> None:
    """Forget a result that has been delivered after all. Harmless when there is none."""
    (folder / f"late-{version}.json").unlink(missing_ok=True)
    shutil.rmtree(folder / f"late-{version}", ignore_errors=True)


def recall(folder: Path, attachment: Callable[[str], Path]) -> tuple[Trial, dict[str, Path]] | None:
    """The finished trial that a ``folder`` tells of, and its files; None when it tells of none.

    A result that has arrived comes before one on its way. ``attachment`` gives the place of a name's file; files that
    are gone are left out.
    """
    settled, late = folder / SETTLED, sorted(folder.glob("late-*.json"), key=lambda path: path.stat().st_mtime)
    for path in (*((settled,) if settled.exists() else ()), *late):
        read = _read(path)
        if read is None or "trial" not in read[0]:
            continue
        document, result = read
        # A worker that was killed just as its result had arrived leaves it late, with its files in place.
        places = [(name, path.with_suffix("") / place) for name, place in document["files"].items()]
        found = {name: place if place.is_file() else attachment(name) for name, place in places}
        files = {name: place for name, place in found.items() if place.is_file()}
        with suppress(ValueError, KeyError, TypeError, AttributeError):
            return _finished(document, replace(result, attachments=tuple(files)), path.stat().st_mtime), files
        log.warning("%s does not say whose result it is and is left out", path)
    return None


def _read(path: Path) -> tuple[dict[str, Any], Result] | None:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        _ = document["version"], document["files"].items()
        return document, Result.from_json(document["result"])
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        log.warning("%s cannot be read and is left out: %s", path, error)
        return None


def _facts(trial: Trial) -> dict[str, Any]:
    """What a trial is rebuilt from, beside its result."""
    return {
        "tid": trial.tid,
        "vals": {label: list(values) for label, values in trial.vals.items()},
        "origin": trial.origin,
        "parent": trial.parent,
        "owner": trial.owner.to_json() if trial.owner else None,
        "attempts": [attempt.to_json() for attempt in trial.attempts],
        "created_at": trial.created_at,
        "claimed_at": trial.claimed_at,
    }


def _finished(document: Mapping[str, Any], result: Result, ended_at: float) -> Trial:
    facts = document["trial"]
    owner = Owner.from_json(facts["owner"]) if facts["owner"] else None
    claimed_at = ended_at if facts["claimed_at"] is None else facts["claimed_at"]
    ended_at = max(ended_at, claimed_at)
    return Trial(
        tid=facts["tid"],
        state=TrialState.DONE,
        version=document["version"] + 1,
        vals=facts["vals"],
        origin=facts["origin"],
        parent=facts.get("parent"),
        owner=owner,
        result=result,
        attempts=(*map(Attempt.from_json, facts["attempts"]), Attempt(owner, claimed_at, ended_at)),
        created_at=facts["created_at"],
        claimed_at=claimed_at,
        finished_at=ended_at,
    )


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
