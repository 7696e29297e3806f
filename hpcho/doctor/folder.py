"""The file system that the job directory is on."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from hpcho.doctor.finding import Finding, failed, ok, warning
from hpcho.store import location

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["folder"]

LITTLE_GB = 1.0
FEW_INODES = 10_000
QUOTA_S = 5.0
SOME_BYTES = 2**20
MAKE_ROOM = "make room, or set `job_dir:` to a folder with more of it"
NAME = "job directory"


def folder(path: Path, *, must_be_shared: bool) -> list[Finding]:
    """Findings about the folder that job directories are made in. ``must_be_shared``: workers are on other machines."""
    try:
        there = next(place for place in (path, *path.parents) if place.exists())
    except OSError as error:
        return [failed(NAME, f"{path} cannot be looked at: {error.strerror}", "set `job_dir:` to a folder of yours")]
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return [failed(NAME, f"{there} is no folder that you may write to", "set `job_dir:` to one that is yours")]
    kind = location.filesystem(there, location.read_mountinfo())
    found = [ok(NAME, f"{path} on {kind or 'a file system that does not say what it is'}")]
    if must_be_shared and not location.is_shared(kind):
        mend = "if workers do not see it under this path, set `job_dir:` to a folder that they do"
        found = [warning(NAME, f"{path} is on {kind}, which looks like a disk of this machine alone", mend)]
    return [*found, _room(there), _quota(there), *_abilities(there)]


def _room(place: Path) -> Finding:
    free_gb = shutil.disk_usage(place).free / 1e9
    entries = os.statvfs(place)
    words = f"{free_gb:.3g} GB free"
    if free_gb < LITTLE_GB:
        return warning("free space", words, MAKE_ROOM)
    if entries.f_files > 0 and entries.f_favail < FEW_INODES:
        return warning("free space", f"{words}, but room for {entries.f_favail} more files only", MAKE_ROOM)
    return ok("free space", words)


def _quota(place: Path) -> Finding:
    """By writing: what asks for quotas is not on every machine, and knows not every file system."""
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(os.urandom(SOME_BYTES))
            file.flush()
            os.fsync(file.fileno())  # over a network it may be refused as late as this
    except OSError as error:
        return failed("quota", f"1 MB cannot be written to {place}: {error.strerror}", MAKE_ROOM)
    if _is_over_quota():
        return warning("quota", "`quota` says that you are over yours", MAKE_ROOM)
    return ok("quota", "1 MB can be written" + (", and `quota` minds nothing" if shutil.which("quota") else ""))


def _is_over_quota() -> bool:
    """Whether the quota program, where there is one that is quick to answer, says so by its exit code."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(["quota", "-q"], capture_output=True, text=True, timeout=QUOTA_S, check=False)
        return done.returncode == 1 and bool(done.stdout.strip())
    return False


def _abilities(place: Path) -> list[Finding]:
    """Try what the job directory needs of its file system."""
    try:
        with tempfile.TemporaryDirectory(prefix=".hpcho-doctor-", dir=place) as made:
            wrong = [words for words, works in TRIALS.items() if not _works(works, Path(made))]
    except OSError as error:
        return [failed("file system", f"{place}: {error.strerror}", "set `job_dir:` to a folder that you may write to")]
    if wrong:
        mend = "results may be damaged here: set `job_dir:` to a folder on another file system"
        return [failed("file system", f"{place}: {', '.join(wrong)}", mend)]
    return [ok("file system", "renames, exclusive creation, hard links and locks work")]


def _works(trial: Callable[[Path], bool], place: Path) -> bool:
    try:
        return trial(place)
    except OSError:
        return False


def _renames(place: Path) -> bool:
    (place / "new").write_text("new", encoding="utf-8")
    (place / "old").write_text("old", encoding="utf-8")
    (place / "new").replace(place / "old")
    return (place / "old").read_text(encoding="utf-8") == "new"


def _excludes(place: Path) -> bool:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    os.close(os.open(place / "once", flags))
    try:
        os.close(os.open(place / "once", flags))
    except FileExistsError:
        return True
    return False


def _links(place: Path) -> bool:
    (place / "one").touch()
    (place / "two").hardlink_to(place / "one")
    return (place / "one").stat().st_nlink == 2  # noqa: PLR2004 - both names


def _locks(place: Path) -> bool:
    with (place / "lock").open("wb") as one, (place / "lock").open("wb") as two:
        fcntl.flock(one, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            fcntl.flock(two, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


TRIALS = {
    "a rename does not replace a file": _renames,
    "a file can be made twice (O_EXCL)": _excludes,
    "there are no hard links": _links,
    "locks do not exclude (flock)": _locks,
}
"""What is said where it does not work, and how that is tried."""
