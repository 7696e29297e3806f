"""Writes a trial's end to the store, and goes on trying while the store is away or full."""

from __future__ import annotations

import logging
import math
import shutil
import time
from typing import TYPE_CHECKING

from hpcho import checkpoints, results
from hpcho.errors import ClaimLost, StoreError
from hpcho.retries import may_retry

if TYPE_CHECKING:
    from pathlib import Path

    from hpcho.experiment.schema import Retries
    from hpcho.store import TrialStore
    from hpcho.trial import Failure, Report, Trial
    from hpcho.worker.events import Events
    from hpcho.worker.watch import Outcome

__all__ = ["Delivery"]

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 30.0
STOPPED_S = 5.0
"""How long a worker that was told to stop goes on trying before it leaves."""
ORPHAN_S = 60.0
"""The same for one whose starter is gone."""


class Delivery:
    """Delivers outcomes, one after another: no trial is claimed meanwhile, and signals and the lifeline are heeded."""

    def __init__(
        self, store: TrialStore, retries: Retries, events: Events, *, disk_first: bool, heartbeat_s: float
    ) -> None:
        """``disk_first``: a result is in the trial's folder before the store hears of it, and stays there.

        ``heartbeat_s``: how often the trial's life is looked for; who is silent for many of these is given up.
        """
        self._store = store
        self._longest_pause_s = min(heartbeat_s, LONGEST_PAUSE_S)
        self._retries = retries
        self._events = events
        self._disk_first = disk_first
        self.keeps_paused = False
        """Whether a pruned trial may go on later, from the checkpoints that it has saved."""

    def deliver(self, trial: Trial, folder: Path, outcome: Outcome) -> bool:
        """Write ``outcome`` to the store; False when the worker has to leave before it could.

        A result that the store refuses (the claim was lost) or cannot take yet is kept under ``folder`` meanwhile.
        """
        if outcome.lost:
            return True
        parcel = _Parcel(trial, folder, outcome, stays=self._disk_first)
        if self._disk_first:
            parcel.put_down()
        began, pause_s = time.monotonic(), FIRST_PAUSE_S
        while True:
            try:
                self._write(trial, parcel)
            except ClaimLost as error:
                log.warning("trial %d: %s", trial.tid, error)
                parcel.keep()
                return True
            except StoreError as error:
                if pause_s == FIRST_PAUSE_S:
                    log.warning("trial %d: its end cannot be stored, trying again until it can: %s", trial.tid, error)
                parcel.keep()
            else:
                parcel.clear(keeps_checkpoints=self.keeps_paused and parcel.is_pruned)
                return True
            if time.monotonic() >= began + self._patience_s():
                log.error("trial %d: leaving, though its end is not stored", trial.tid)
                return False
            self._events.wait(pause_s)
            pause_s = min(pause_s * 2, self._longest_pause_s)

    def _write(self, trial: Trial, parcel: _Parcel) -> None:
        if parcel.reports:
            self._store.heartbeat(trial, parcel.reports)
            parcel.reports = ()
        outcome = parcel.outcome
        if outcome.result is not None:
            self._store.finish(trial, outcome.result, parcel.files)
        elif outcome.failure is None:
            self._store.release(trial)
            log.info("trial %d was given back", trial.tid)
        else:
            failure = outcome.failure
            retry = may_retry(trial, failure, self._retries)
            self._store.fail(trial, failure, retry=retry)
            log.warning(
                "trial %d: %s: %s%s", trial.tid, failure.cause, _brief(failure), "; it is tried again" if retry else ""
            )

    def _patience_s(self) -> float:
        if self._events.stops:
            return STOPPED_S
        return math.inf if self._events.has_lifeline else ORPHAN_S


class _Parcel:
    """An outcome on its way: what of it the store does not have yet, and where its files are.

    ``stays``: a result that has arrived stays in the trial's folder too.
    """

    def __init__(self, trial: Trial, folder: Path, outcome: Outcome, *, stays: bool) -> None:
        self.outcome = outcome
        self.reports: tuple[Report, ...] = outcome.reports
        self.files = outcome.files
        self._trial = trial
        self._folder = folder
        self._stays = stays
        self._late: results.Late | None = None
        self._is_safe = False
        self._stagings = {path.parent for path in outcome.files.values()}

    def put_down(self) -> None:
        """Put a result in the trial's folder, which survives this process; where there is no room, it stays here."""
        if self.outcome.result is None or self._late is not None:
            return
        trial, result = self._trial, self.outcome.result
        try:
            self._late = results.save(self._folder, trial, result, self.files, synced=False)
        except OSError as error:
            log.warning("trial %d: its result cannot be kept in %s: %s", trial.tid, self._folder, error)
            return
        self.files = dict(self._late.files)
        self._remove_stagings()

    def keep(self) -> None:
        """The same, so that it survives the machine too; what did not work is tried again at the next call."""
        self.put_down()
        if self._late is None or self._is_safe:
            return
        tid, version = self._trial.tid, self._trial.version
        try:
            results.sync(self._folder, self._late)
        except OSError as error:
            log.warning("trial %d: its result in %s is not on the disk yet: %s", tid, self._folder, error)
            return
        self._is_safe = True
        log.warning("trial %d: its result is kept in %s", tid, self._folder / f"late-{version}.json")

    @property
    def is_pruned(self) -> bool:
        """Whether it is a pruned trial's."""
        return self.outcome.result is not None and self.outcome.result.pruned

    def clear(self, *, keeps_checkpoints: bool) -> None:
        """It has arrived."""
        if self._late is not None:
            (results.settle if self._stays else results.discard)(self._folder, self._trial.version)
        if self.outcome.result is not None and not keeps_checkpoints:
            checkpoints.discard(self._folder)
        self._remove_stagings()

    def _remove_stagings(self) -> None:
        for staging in self._stagings:
            shutil.rmtree(staging, ignore_errors=True)


def _brief(failure: Failure) -> str:
    """One line: of a traceback the last, which names the error."""
    lines = failure.error.strip().splitlines() or [""]
    return lines[-1] if any(line.startswith("Traceback") for line in lines) else lines[0]
