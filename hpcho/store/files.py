"""A trial's attachments: files beside the database, in place before the result that names them is."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

__all__ = ["file_name", "taking_over"]

LONGEST = 200
"""File systems take names of 255 bytes; the rest is left for ours and other programs' suffixes."""


def file_name(name: str) -> str:
    """The name of an attachment's file: percent-encoded, so that it can neither leave its folder nor be hidden in it.

    A name that is too long is cut, and told from others by a hash; its suffix stays, since programs go by it.
    """
    quoted = quote(name, safe=" ", errors="surrogatepass")
    if not quoted or quoted[0] == ".":
        quoted = f"%2E{quoted[1:]}" if quoted else "%"
    if len(quoted) <= LONGEST:
        return quoted
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return f"{quoted[:100]}%~{digest}{Path(quoted).suffix[:20]}"


@contextmanager
def taking_over(files: Mapping[str, Path], folder: Path, version: int) -> Iterator[Callable[[], None]]:
    """Bring ``files`` (attachment name -> file) into ``folder``; what is yielded puts them in place.

    The caller calls it inside the transaction that lets the trial have them, once that has found the claim to hold. The
    slow part, syncing and (from another disk) copying, is done before, while others may write. Until the block is left
    without an error the originals stay, so that a refused or failed attempt has lost nothing; then they go. Raises
    OSError.
    """
    _make(folder)
    targets = {name: folder / file_name(name) for name in files}
    drafts = {name: folder / f".{version}-{os.getpid()}-{i}.draft" for i, name in enumerate(files)}

    def place() -> None:
        for name, draft in drafts.items():
            draft.replace(targets[name])
        _sync(folder)

    try:
        for name, source in files.items():
            _bring(source, drafts[name])
        yield place
    finally:
        _remove(drafts.values())
    # No other attempt can still win: what one that was killed has left in the folder goes too.
    _remove(folder.glob(".*.draft"))
    kept = {os.path.realpath(target) for target in targets.values()}
    _remove(source for source in files.values() if os.path.realpath(source) not in kept)


def _bring(source: Path, draft: Path) -> None:
    """Make ``draft`` the same file by a second name, or a copy where that cannot be, and sync its bytes."""
    draft.unlink(missing_ok=True)
    try:
        os.link(os.path.realpath(source), draft)
    except OSError:
        shutil.copyfile(source, draft)
    _sync(draft)


def _remove(paths: Iterable[Path]) -> None:
    """Tidying only: the trial's result stands or falls without it."""
    for path in paths:
        with contextlib.suppress(OSError):
            path.unlink()


def _make(folder: Path) -> None:
    """Make a folder with its parents so that it is there after a power failure too."""
    if folder.is_dir():
        return
    _make(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync(folder.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that cannot sync folders
            raise
    finally:
        os.close(descriptor)
