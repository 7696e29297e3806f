"""Rebuilds a store that was lost for good from the results in the job directory.

Finished trials come back under their own tids. What had not finished is gone with the store, and its tids with it: a
worker that still computes one must not hand its result to a new trial of the same number.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from hpcho import results
from hpcho.errors import StoreError, StoreLost
from hpcho.store.files import file_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hpcho.jobdir import JobDir
    from hpcho.store import Restorable, TrialStore
    from hpcho.trial import Trial

__all__ = ["check_not_lost", "is_lost", "rebuild"]

log = logging.getLogger(__name__)


def is_lost(store: TrialStore, jobdir: JobDir) -> bool:
    """Whether the store knows nothing, though workers have worked for it."""
    have_worked = any(jobdir.trials.glob("*")) or any(jobdir.logs.glob("worker-*.log"))
    return have_worked and store.get("identity") is None


def check_not_lost(store: TrialStore, jobdir: JobDir) -> None:
    """Raises StoreLost where the store is_lost and has no trials, with what can be had again."""
    if is_lost(store, jobdir) and not store.changes()[1]:
        count = sum(found is not None for _, found in _recalled(jobdir))
        trials = "1 finished trial" if count == 1 else f"{count} finished trials"
        raise StoreLost(
            f"the store is empty, and workers have worked in {jobdir.path}: it was lost, or `store:` names another "
            f"database now. Bring it back, or `hpcho run` again, which brings {trials} back from the job directory"
        )


def rebuild(store: Restorable, jobdir: JobDir) -> int:
    """Put all finished trials back; their number. Safe to repeat after it was killed. Raises StoreError.

    Only the holder of the seat may call it.
    """
    tids = [int(folder.name) for folder in _folders(jobdir)]
    if tids:
        store.skip(max(tids))
    count = 0
    for folder, found in _recalled(jobdir):
        if found is None:
            continue
        trial, files = found
        if trial.tid != int(folder.name):
            log.warning("%s holds the result of trial %d and is left out", folder, trial.tid)
            continue
        store.restore(trial, files)
        results.settle(folder, trial.version - 1)  # where it was on its way, it has arrived now
        count += 1
    if not count and not any(jobdir.trials.glob("*/result.json")):
        raise StoreError(
            f"the store is empty, and workers have worked in {jobdir.path}, which holds no finished trial's result: "
            "the store was lost, or `store:` names another database now. Bring it back, or start over with `--fresh`"
        )
    return count


def _recalled(jobdir: JobDir) -> Iterator[tuple[Path, tuple[Trial, dict[str, Path]] | None]]:
    """The trials' folders by tid, each with the finished trial in it."""
    for folder in sorted(_folders(jobdir), key=lambda folder: int(folder.name)):

        def attachment(name: str, place: Path = folder / "attachments") -> Path:
            return place / file_name(name)

        yield folder, results.recall(folder, attachment)


def _folders(jobdir: JobDir) -> Iterator[Path]:
    return (folder for folder in jobdir.trials.glob("*") if folder.name.isdecimal())
