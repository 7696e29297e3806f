"""Finds the model that a trial saved, wherever its objective put it, and gives it back as a file.

A model may have been returned as bytes under any key of the result, returned as an attachment, or saved under
``trial.dir``. What a file holds is told by its first bytes, not by its name.
"""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpcho.cli.output import warn
from hpcho.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from hpcho.opening import Run
    from hpcho.trial import Trial

__all__ = ["export"]

MODEL_SUFFIXES = (".keras", ".h5", ".hdf5")
WEIGHTS_SUFFIX = ".weights.h5"
HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True)
class Saved:
    """A file of a trial. ``names`` are what ``--attachment`` may call it, its own first."""

    names: tuple[str, ...]
    path: Path

    def __str__(self) -> str:
        return f"{self.names[0]} ({self.path.stat().st_size} bytes, {self.format or 'no Keras model'})"

    @property
    def format(self) -> str:
        """.keras or .h5 by content, or "" for what Keras does not load."""
        with self.path.open("rb") as file:
            if file.read(len(HDF5_SIGNATURE)) == HDF5_SIGNATURE:
                return ".h5"
        if zipfile.is_zipfile(self.path):
            with zipfile.ZipFile(self.path) as archive:
                if "config.json" in archive.namelist():
                    return ".keras"
        return ""

    @property
    def is_model(self) -> bool:
        """Whether it is a whole model by its content or by one of its names."""
        if any(name.endswith(WEIGHTS_SUFFIX) for name in self.names):
            return False
        return bool(self.format) or any(name.endswith(MODEL_SUFFIXES) for name in self.names)


def export(run: Run, tid: int, target: Path, name: str | None, *, force: bool) -> str:
    """Copy the trial's model, or what ``--attachment`` names, to ``target``; returns its name. Raises UsageError."""
    trial = next(trial for trial in run.store.changes()[1] if trial.tid == tid)
    if target.is_dir():
        raise UsageError(f"{target} is a folder; name a file, as {target / 'best.keras'}")
    if target.exists() and not force:
        raise UsageError(f"{target} exists; --force replaces it")
    attached, kept = list(_attached(run, trial)), list(_kept(run, trial))
    saved = _named(name, attached + kept, trial) if name else _model(attached, kept, trial)
    _copy(saved.path, target)
    if saved.format and target.suffix != saved.format and not (saved.format == ".h5" and target.suffix == ".hdf5"):
        warn(f"{target} holds the {saved.format} format: keras.models.load_model opens it when its name ends so")
    if saved.names[0].endswith(WEIGHTS_SUFFIX):
        warn(f"{target} holds weights alone: build the model, then model.load_weights opens it")
    return saved.names[0]


def _attached(run: Run, trial: Trial) -> Iterator[Saved]:
    """The trial's attachments, known by their own names and by the result's keys that point to them."""
    if trial.result is None:
        return
    keys: dict[str, list[str]] = {}
    for key, attachment in _pointers(trial.result.data):
        keys.setdefault(attachment, []).append(key)
    for attachment in trial.result.attachments:
        yield Saved((attachment, *keys.get(attachment, ())), run.store.attachment(trial.tid, attachment))


def _pointers(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every (key, attachment) where a result's value was too large for the document, or was bytes."""
    if not isinstance(value, Mapping):
        return
    if key and set(value) == {"attachment"}:
        yield key, str(value["attachment"])
        return
    for inner, item in value.items():
        yield from _pointers(item, str(inner))


def _kept(run: Run, trial: Trial) -> Iterator[Saved]:
    """What the objective saved under ``trial.dir``, newest first; hpcho's own files left out."""
    folder = run.jobdir.trial(trial.tid)
    attachments = folder / "attachments"
    found = [path for path in folder.rglob("*") if path.is_file() and attachments not in path.parents]
    for path in sorted(found, key=lambda path: (-path.stat().st_mtime, path.name)):
        yield Saved((str(path.relative_to(folder)),), path)


def _named(name: str, candidates: list[Saved], trial: Trial) -> Saved:
    for saved in candidates:
        if name in saved.names:
            return saved
    raise UsageError(f"trial {trial.tid} has no {name!r}. {_listing(candidates)}")


def _model(attached: list[Saved], kept: list[Saved], trial: Trial) -> Saved:
    models = [saved for saved in attached if saved.is_model] or attached
    if len(models) == 1:
        return models[0]
    if models:
        raise UsageError(f"trial {trial.tid} has several: choose with --attachment NAME. {_listing(models)}")
    whole = [saved for saved in kept if saved.is_model]
    weights = [saved for saved in kept if saved.names[0].endswith(WEIGHTS_SUFFIX)]
    if not whole and not weights:
        raise UsageError(
            f"trial {trial.tid} saved no model. Return it (the Keras model, or its bytes) in the objective's result, "
            f"or save it under trial.dir, in a file that ends in {', '.join(MODEL_SUFFIXES)}. {_listing(kept)}"
        )
    return (whole or weights)[0]


def _listing(candidates: list[Saved]) -> str:
    return "It has: " + ", ".join(map(str, candidates)) if candidates else "It has no files."


def _copy(source: Path, target: Path) -> None:
    """Write beside the target and rename: a reader sees the old file or the whole new one."""
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        shutil.copyfile(source, draft)
        draft.replace(target)
    except OSError as error:
        raise UsageError(f"cannot write {target}: {error.strerror}") from error
    finally:
        draft.unlink(missing_ok=True)
