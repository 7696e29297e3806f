"""Rebuilds a store that was lost for good from the results in the job directory.

Finished trials come back under their own tids. What had not finished is gone with the store, and its tids with it: a
worker that still computes one must not hand its result to a new trial of the same number.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from hpcho import results
from hpcho.errors import StoreError
from hpcho.store.files import file_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hpcho.jobdir import JobDir
    from hpcho.store import Restorable, TrialStore

__all__ = ["is_lost", "rebuild"]

log = logging.getLogger(__name__)


def is_lost(store: TrialStore, jobdir: JobDir) -> bool:
    """Whether the store knows nothing, though workers have worked for it."""
    have_worked = any(jobdir.trials.glob("*")) or any(jobdir.logs.glob("worker-*.log"))
    return have_worked and store.get("identity") is None


def rebuild(store: Restorable, jobdir: JobDir) -> int:
    """Put all finished trials back; their number. Safe to repeat after it was killed. Raises StoreError.

    Only the holder of the seat may call it.
    """
    folders = dict(_folders(jobdir))
    if folders:
        store.skip(max(folders))
    count = 0
    for tid, folder in sorted(folders.items()):
        found = results.recall(folder, lambda name, folder=folder: folder / "attachments" / file_name(name))  # type: ignore[misc]
        if found is None:
            continue
        trial, files = found
        if trial.tid != tid:
            log.warning("%s holds the result of trial %d and is left out", folder, trial.tid)
            continue
        store.restore(trial, files)
        count += 1
    if not count and not any(jobdir.trials.glob("*/result.json")):
        raise StoreError(
            f"the store is empty, and workers have worked in {jobdir.path}, which holds no finished trial's result: "
            "the store was lost, or `store:` names another database now. Bring it back, or start over with `--fresh`"
        )
    return count


def _folders(jobdir: JobDir) -> Iterator[tuple[int, Path]]:
    for folder in jobdir.trials.glob("*"):
        if folder.name.isdecimal():
            yield int(folder.name), folder
