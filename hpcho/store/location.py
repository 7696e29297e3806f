"""Where an experiment's database goes: sqlite needs a disk of this machine, and a job directory often is on none."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from hpcho.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["choose", "filesystem", "is_shared"]

NAME = "trials.db"

SHARED = frozenset(
    {
        *("nfs", "nfs4", "lustre", "gpfs", "mmfs", "beegfs", "fhgfs", "cifs", "smb2", "smb3", "smbfs", "ceph", "afs"),
        *("auristorfs", "openafs", "glusterfs", "panfs", "wekafs", "pvfs2", "orangefs", "gfs", "gfs2", "ocfs2", "dvs"),
        *("9p", "v9fs", "drvfs", "coda", "ncpfs", "davfs", "vboxsf", "prl_fs", "acfs", "daos"),
    }
)
"""File systems that several machines may have mounted, or that share no memory maps."""

LOCAL_FUSE = frozenset({"fuse.fuse-overlayfs", "fuse.mergerfs", "fuse.ntfs-3g", "fuse.bindfs", "fuse.gocryptfs"})
"""FUSE file systems that live on this machine; any other is taken for shared."""

NODE_LOCAL = Path("/var/tmp")  # noqa: S108 - the folder made in it is ours alone, and checked


def choose(folder: Path, uuid: str, mountinfo: str | None = None, environ: Mapping[str, str] = os.environ) -> Path:
    """The place of the database of the experiment ``uuid`` whose job directory is ``folder``; its folder exists.

    ``mountinfo``: proc(5)'s text; None reads it. Raises StoreError when there is no local disk to be found.
    """
    mounts = read_mountinfo() if mountinfo is None else mountinfo
    if not is_shared(filesystem(folder, mounts)):
        return folder / NAME
    tried = [f"{folder} ({filesystem(folder, mounts)})"]
    for place in _elsewhere(environ):
        kind = filesystem(place, mounts)
        try:
            if not is_shared(kind):
                return _private(place / uuid) / NAME
            tried.append(f"{place} ({kind})")
        except OSError as error:
            tried.append(f"{place} ({error.strerror or error})")
    raise StoreError(
        f"no local disk for the database of {folder}: tried {', '.join(tried)}. databases get damaged on file systems "
        "of several machines: set $XDG_STATE_HOME to a folder on a local disk, or `job_dir:`"
    )


def filesystem(path: Path, mountinfo: str) -> str | None:
    """The type of the file system that ``path`` is on, as ``mountinfo`` names it; None where that cannot be told."""
    target = os.path.realpath(path)
    found, longest = None, -1
    for point, kind in _mounts(mountinfo):
        # Of two at one point the later lies on top.
        inside = target == point or target.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= longest:
            found, longest = kind, len(point)
    return found


def is_shared(kind: str | None) -> bool:
    """Whether several machines may have such a file system mounted; None (where nobody can tell) is taken as local."""
    if kind is None:
        return False
    return kind in SHARED or (kind.startswith("fuse.") and kind not in LOCAL_FUSE)


def read_mountinfo() -> str:
    """What is mounted where this process runs; empty where there is no /proc."""
    try:
        return Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""


def _mounts(mountinfo: str) -> Iterator[tuple[str, str]]:
    for line in mountinfo.splitlines():
        mount, separator, source = line.partition(" - ")
        fields = mount.split(" ")
        if separator and len(fields) > 4:  # noqa: PLR2004 - proc(5): the fifth field is the mount point
            yield re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[4]), source.split(" ")[0]


def _elsewhere(environ: Mapping[str, str]) -> Iterator[Path]:
    state = Path(environ.get("XDG_STATE_HOME", ""))
    if state.is_absolute():
        yield state / "hpcho"
    elif environ.get("HOME"):
        yield Path(environ["HOME"]) / ".local" / "state" / "hpcho"
    yield NODE_LOCAL / f"hpcho-{os.getuid()}"


def _private(folder: Path) -> Path:
    """Make ``folder``, for this user alone. Raises OSError when it, or the one it is in, is somebody else's."""
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    others = stat.S_IWGRP | stat.S_IWOTH
    for made in (folder.parent, folder):
        found = made.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & others:
            raise PermissionError(f"{made} is not a folder of this user alone")
    return folder
