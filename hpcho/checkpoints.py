"""Whether an attempt has saved work in its trial's folder, for the next one to go on from.

hpcho does not know what an objective saves, nor when it is whole: any file of the objective's that is new or changed
since the attempt began counts. A mark in the folder keeps what was there then, so that the controller can tell of an
attempt whose worker is gone. The clocks of two machines are never compared.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from hpcho.jobdir import write_atomically

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["begin", "discard", "has_work", "of_training", "saved", "take_over"]

log = logging.getLogger(__name__)

MARK = ".attempt.json"
TAKEN = ".taken"
"""Another trial's work has been copied."""
OWN = ("stdout.log", "stderr.log", "attachments", "late-*", "result", "result-*", "result*.json")
"""hpcho's files at the top of a trial's folder; drafts have names with a dot first, wherever they lie."""
TRAINING = "training-{}.checkpoint"

PIECE = 1 << 24
"""So many bytes are copied at once."""

Seen = dict[str, list[int]]
"""Files by their path in the folder: time of the last change (ns), size in bytes, inode."""


def begin(folder: Path) -> None:
    """An attempt begins: what lies in the trial's ``folder`` now was saved by others. Raises nothing."""
    mark = folder / MARK
    try:
        if found := _seen(folder):
            write_atomically(mark, json.dumps(found))
        else:
            mark.unlink(missing_ok=True)  # a new trial's folder is not even made
    except OSError as error:
        log.warning("%s cannot be written (%s): whether this attempt saves work will not be known", mark, error)


def saved(folder: Path) -> bool:
    """Whether the objective has written anything in ``folder`` since the attempt began. Raises nothing."""
    try:
        before: Seen = json.loads((folder / MARK).read_text(encoding="utf-8"))
    except FileNotFoundError:
        before = {}
    except (OSError, ValueError) as error:
        log.warning("%s cannot be read (%s): taken as if nothing had been saved", folder / MARK, error)
        return False
    return any(before.get(name) != now for name, now in _seen(folder).items())


def of_training(folder: Path, number: int) -> Path:
    """Where ``hpcho.keras`` keeps the state of a trial's training; ``number`` counts its trainings from 1."""
    return folder / TRAINING.format(number)


def has_work(folder: Path) -> bool:
    """Whether the objective has left anything in ``folder`` to go on from. Raises nothing."""
    return any(True for _ in _files(folder))


def take_over(source: Path, folder: Path, meanwhile: Callable[[], None]) -> None:
    """A new trial goes on from another's saved work: copy it into its ``folder``, all or nothing.

    Only once: a second attempt has the first one's work, unless its worker died before all was copied. Large models
    take long: ``meanwhile`` is called after every PIECE. Raises what that raises, and nothing else.
    """
    mark = folder / TAKEN
    if mark.exists():
        return
    copies: list[Path] = []
    try:
        for path in filter(Path.is_file, _files(source)):
            target = folder / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            copies.append(target)
            draft = target.with_name(f".{target.name}.taken")
            _copy(path, draft, meanwhile)
            draft.replace(target)
        if copies:
            mark.touch()
    except OSError as error:
        log.warning("what %s has saved cannot be taken over (%s): its params begin anew", source, error)
        for copy in copies:
            copy.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            mark.touch()


def _copy(path: Path, draft: Path, meanwhile: Callable[[], None]) -> None:
    with path.open("rb") as file, draft.open("wb") as copy:
        while piece := file.read(PIECE):
            copy.write(piece)
            meanwhile()
    shutil.copystat(path, draft)


def discard(folder: Path) -> None:
    """The trial is done: remove what ``hpcho.keras`` has kept, drafts included. The objective's own files stay."""
    pattern = TRAINING.format("*")
    for path in (*folder.glob(pattern), *folder.glob(f".{pattern}.*")):
        with contextlib.suppress(OSError):
            path.unlink()


def _seen(folder: Path) -> Seen:
    """The objective's files."""
    found: Seen = {}
    for path in _files(folder):
        with contextlib.suppress(OSError):  # gone meanwhile
            state = _fresh_state(path)
            if stat.S_ISREG(state.st_mode):
                found[str(path.relative_to(folder))] = [state.st_mtime_ns, state.st_size, state.st_ino]
    return found


def _files(folder: Path) -> Iterator[Path]:
    for here, folders, names in os.walk(folder):
        place = Path(here)
        is_top = place == folder
        folders[:] = [name for name in folders if not _is_own(name, is_top=is_top)]
        yield from (place / name for name in names if not _is_own(name, is_top=is_top))


def _is_own(name: str, *, is_top: bool) -> bool:
    return name.startswith(".") or (is_top and any(Path(name).match(pattern) for pattern in OWN))


def _fresh_state(path: Path) -> os.stat_result:
    """The file's state; opened for that, since a network filesystem may show an old one until then."""
    state = path.lstat()
    if not stat.S_ISREG(state.st_mode):
        return state
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except PermissionError:
        return state
    try:
        return os.fstat(file)
    finally:
        os.close(file)
