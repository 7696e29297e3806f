"""A copy of the objective's source, taken at the first run, so that an edit in the middle of a run changes nothing.

Copied are the objective's own files and what they import, directly or not, from the YAML's folder: modules, and
packages as a whole except files of 1 MB and more; of a command, the files that its arguments name. Everything else in
the folder becomes a link, so that relative paths of data work in the copy too. An import that no ``import`` statement
names (``importlib.import_module``) is not seen; it works through its link.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpcho.objective.imports import LARGE_BYTES, local_files, module_files, package_of
from hpcho.objective.python import existing_file, parse_target

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from hpcho.experiment.schema import ObjectiveSpec

__all__ = ["edited", "take"]

PROGRAM_BYTES = 64 << 20  # a program that is an argument is copied up to this size
CHUNK_BYTES = 1 << 20
NEVER = frozenset({".git", "__pycache__"})
NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})


def take(spec: ObjectiveSpec, folder: Path, target: Path, skip: Path) -> dict[str, Any]:
    """Make ``target`` the copy of the objective's source in ``folder``, and return its manifest.

    The manifest is JSON data: ``mode`` (python, hyperas or command), ``files`` (path relative to ``folder`` -> SHA-256)
    and ``installed`` (a module that is not in the folder -> its version, or None when unknown). ``skip``, the job
    directory, is neither copied nor linked. A ``target`` left by a run that was killed is replaced. Raises
    ObjectiveLoadError when a file is missing, and OSError when the copy cannot be written.
    """
    folder = folder.resolve()
    mode, start, installed = _start(spec, folder)
    final = target.parent.resolve() / target.name
    draft = final.with_name(f".{final.name}.{os.getpid()}")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        draft.mkdir(parents=True)
        files = _Mirror(folder, draft, final, skip).make(local_files(start, folder))
        if os.path.lexists(final):
            shutil.rmtree(final)
        draft.rename(final)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return {"mode": mode, "files": files, "installed": installed}


def edited(manifest: Mapping[str, Any], folder: Path) -> list[str]:
    """The files of a manifest that are missing in ``folder`` by now or differ there, sorted."""
    return sorted(name for name, digest in manifest["files"].items() if _digest(folder / name) != digest)


def _digest(file: Path) -> str | None:
    try:
        with file.open("rb") as source:
            return _copy(source, None)
    except OSError:
        return None


def _copy(source: Any, copy: Any) -> str:
    """The SHA-256 of an open file, copied on the way where ``copy`` is given."""
    digest = hashlib.sha256()
    while chunk := source.read(CHUNK_BYTES):
        digest.update(chunk)
        if copy is not None:
            copy.write(chunk)
    return digest.hexdigest()


def _start(spec: ObjectiveSpec, folder: Path) -> tuple[str, list[Path], dict[str, str | None]]:
    """The objective's mode, the files that it names, and the modules that it names and that are installed."""
    if spec.command:
        return "command", list(_command_files(spec.command, folder)), {}
    if spec.hyperas:
        return "hyperas", [existing_file(spec.hyperas, "hyperas", folder)], {}
    files: list[Path] = []
    installed: dict[str, str | None] = {}
    for key, text in (("python", spec.python), ("data", spec.data)):
        if text is None:
            continue
        target = parse_target(text, key)
        if target.is_file:
            files += package_of(existing_file(target.place, key, folder), folder)
            continue
        found = module_files(target.place, folder)
        files += found
        if not found:
            installed[target.place] = _version(target.place.partition(".")[0])
    return "python", files, installed


def _command_files(command: Sequence[str], folder: Path) -> Iterator[Path]:
    """The files in ``folder`` that arguments name, as ``FILE``, ``--option=FILE`` or ``-m MODULE``."""
    for before, argument in zip(("", *command), command, strict=False):
        if before == "-m":
            yield from module_files(argument, folder)
        for name in {argument, argument.partition("=")[2]}:
            file = folder / os.path.normpath(name)
            if name and file.is_relative_to(folder) and ".." not in file.parts and file.is_file():
                is_program = os.access(file, os.X_OK)
                if file.stat().st_size < (PROGRAM_BYTES if is_program else LARGE_BYTES):
                    yield file


def _version(package: str) -> str | None:
    """The version of the distribution that ``package`` came with."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        names = metadata.packages_distributions().get(package)
        return metadata.version(names[0]) if names else None


class _Mirror:
    """Rebuilds ``folder`` in ``draft``, which will become ``final``: some files as copies, all else as links."""

    def __init__(self, folder: Path, draft: Path, final: Path, skip: Path) -> None:
        self._folder = folder
        self._draft = draft
        self._final = final
        self._skipped = {skip.resolve(), final.parent}
        self._links_are_relative = final.is_relative_to(folder)  # then both may move together
        self._digests: dict[str, str] = {}

    def make(self, files: set[Path]) -> dict[str, str]:
        """Copy ``files`` and link the rest; the copies' digests by relative path."""
        split = {parent for path in (*files, *self._skipped) for parent in path.parents if parent != self._folder}
        self._fill(Path(), files, split)
        return dict(sorted(self._digests.items()))

    def _fill(self, here: Path, files: set[Path], split: set[Path]) -> None:
        for path in sorted((self._folder / here).iterdir()):
            entry = here / path.name
            if path.name in NEVER or path.resolve() in self._skipped:
                continue
            if path in files:
                self._copy(entry)
            elif path in split:
                (self._draft / entry).mkdir()
                self._fill(entry, files, split)
            else:
                self._link(entry)

    def _copy(self, entry: Path) -> None:
        path, copy = self._folder / entry, self._draft / entry
        try:
            source = path.open("rb")
        except PermissionError:
            self._link(entry)  # reading it in a trial may fail for a better reason, or never happen
            return
        with source, copy.open("wb") as file:
            self._digests[entry.as_posix()] = _copy(source, file)
        shutil.copymode(path, copy)

    def _link(self, entry: Path) -> None:
        path = self._folder / entry
        place = os.path.relpath(path, (self._final / entry).parent) if self._links_are_relative else path
        try:
            (self._draft / entry).symlink_to(place)
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
