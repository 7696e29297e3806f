"""The embedded store: one sqlite file, for the processes of one machine, and attachments as files beside the trials.

Every write to a trial takes the next number of one sequence, inside its transaction. Writers take turns, so the numbers
are in the order of the commits, and ``changes`` is a look at what has a larger number than the cursor. Times are this
machine's, so an attempt is never shown to end before it began, whatever happens to the clock.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from dataclasses import replace
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from hpcho.errors import ClaimLost, StoreError
from hpcho.store.base import ANY
from hpcho.store.change import Change, failed, finished, moved, released, running
from hpcho.store.database import Database, explained
from hpcho.store.files import file_name, taking_over
from hpcho.store.rows import SCHEMA, as_attempts, as_json, as_origin, as_owner, as_reports, as_trial
from hpcho.trial import Draft, Failure, Owner, Report, Result, Trial, TrialState

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from hpcho.jobdir import JobDir

__all__ = ["SqliteStore"]

log = logging.getLogger(__name__)

FORMAT = 1

# `owner IS ?`: where there is no owner, both are NULL.
CLAIM = """
UPDATE trial SET seq = (SELECT max(seq) + 1 FROM trial), state = 1, owner = ?, beat = 0, claimed_at = ? WHERE tid = ?
"""
BEAT = """
UPDATE trial SET seq = (SELECT max(seq) + 1 FROM trial), beat = beat + 1
WHERE tid = ? AND version = ? AND state = ? AND owner IS ?
"""
SETTLE = """
UPDATE trial SET seq = (SELECT max(seq) + 1 FROM trial), state = ?, version = version + ?, owner = ?, result = ?,
    attempts = ?, finished_at = ?
WHERE tid = ? AND version = ? AND state = ? AND owner IS ?
"""
REPORTS = """
SELECT tid, step, loss FROM report WHERE tid IN (SELECT tid FROM trial WHERE seq > ?) ORDER BY tid, n
"""


class SqliteStore:
    """TrialStore in a sqlite file; hpcho/store/base.py says what each method promises."""

    def __init__(self, database: Path, jobdir: JobDir, *, create: bool = True) -> None:
        """Open the file ``database``; ``create``: make it if it is not there. Raises StoreError, StoreFull."""
        self._jobdir = jobdir
        self._database = Database(database, schema=SCHEMA, version=FORMAT, create=create)
        self.unreadable: set[int] = set()

    def add(self, drafts: Sequence[Draft]) -> list[Trial]:
        """Add new trials, in one transaction."""
        if not drafts:
            return []
        columns = [(as_json(dict(draft.vals)), as_origin(draft)) for draft in drafts]
        with self._database.writing(durable=True) as connection:
            tid, seq = connection.execute("SELECT coalesce(max(tid), -1), coalesce(max(seq), -1) FROM trial").fetchone()
            at = self.now()
            rows = [
                (tid + i, TrialState.NEW.value, 0, vals, origin, None, 0, None, "[]", at, None, None, seq + i)
                for i, (vals, origin) in enumerate(columns, start=1)
            ]
            connection.executemany("INSERT INTO trial VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
            told = [
                (tid + i, n, int(report.step), float(report.loss))
                for i, draft in enumerate(drafts, start=1)
                for n, report in enumerate(draft.reports)
            ]
            if told:
                connection.executemany("INSERT INTO report VALUES (?, ?, ?, ?)", told)
        return [as_trial(row, draft.reports) for row, draft in zip(rows, drafts, strict=True)]

    def claim(self, owner: Owner) -> Trial | None:
        """Take the first NEW trial. Looks before it locks: asking when there is nothing keeps nobody from writing."""
        if not self._database.read("SELECT 1 FROM trial WHERE state = 0 LIMIT 1"):
            return None
        with self._database.writing(durable=False) as connection:
            trial = self._first_new(connection)
            if trial is None:
                return None
            at = self.now()
            connection.execute(CLAIM, (as_owner(owner), at, trial.tid))
        return replace(trial, state=TrialState.RUNNING, owner=owner, beat=0, claimed_at=at)

    def heartbeat(self, trial: Trial, reports: Sequence[Report] = ()) -> None:
        """Count the beat up; reports are rows of their own, so that it costs the same however many came before."""
        rows = [(trial.tid, i, int(report.step), float(report.loss)) for i, report in enumerate(reports, start=1)]
        with self._database.writing(durable=False) as connection:
            self._check_held(connection, trial, connection.execute(BEAT, _fence(running(trial))))
            if rows:
                last = "SELECT coalesce(max(n), -1) FROM report WHERE tid = ?"
                ((n,),) = connection.execute(last, (trial.tid,))
                connection.executemany(
                    "INSERT INTO report VALUES (?, ? + ?, ?, ?)", [(t, n, *rest) for t, *rest in rows]
                )

    def finish(self, trial: Trial, result: Result, files: Mapping[str, Path] | None = None) -> Trial:
        """RUNNING -> DONE, attachments first."""
        return self._settle(running(trial), finished(trial, result, self.now()), files)

    def fail(self, trial: Trial, failure: Failure, *, retry: bool) -> Trial:
        """RUNNING -> NEW or ERROR."""
        return self._settle(running(trial), failed(trial, failure, self.now(), retry=retry))

    def release(self, trial: Trial) -> Trial:
        """RUNNING -> NEW without an attempt."""
        return self._settle(running(trial), released())

    def move(
        self,
        trial: Trial,
        to: TrialState,
        *,
        failure: Failure | None = None,
        result: Result | None = None,
        files: Mapping[str, Path] | None = None,
    ) -> Trial:
        """Make one of MOVES."""
        return self._settle(trial, moved(trial, to, failure, result, self.now()), files)

    def changes(self, cursor: Any = None) -> tuple[Any, list[Trial]]:
        """What has a larger ``seq`` than the cursor. When there is nothing, that is one look into an index."""
        seen = -1 if cursor is None else cursor
        if self._database.read("SELECT coalesce(max(seq), -1) FROM trial") == [(seen,)]:
            return seen, []
        with self._database.reading() as connection:
            # Sorted here: asked to, sqlite would rather go through all trials by tid than through the few in the index.
            rows = sorted(connection.execute("SELECT * FROM trial WHERE seq > ?", (seen,)))
            reported = connection.execute(REPORTS, (seen,)).fetchall()
        reports = {tid: as_reports(group) for tid, group in groupby(reported, itemgetter(0))}
        trials = [self._readable(row, reports.get(row[0], ())) for row in rows]
        return max((row[-1] for row in rows), default=seen), [trial for trial in trials if trial is not None]

    def attachment(self, tid: int, name: str) -> Path:
        """The file under ``trials/<tid>/attachments/``."""
        rows = self._database.read("SELECT * FROM trial WHERE tid = ?", tid)
        trial = as_trial(rows[0]) if rows else None
        if trial is None or trial.result is None:
            raise KeyError(f"{name}: trial {tid} has no result")
        if name not in trial.result.attachments:
            others = ", ".join(trial.result.attachments) or "none"
            raise KeyError(f"{name}: trial {tid} has no attachment of this name; it has: {others}")
        path = self._attachments(tid) / file_name(name)
        if not path.is_file():
            raise KeyError(f"{name}: this attachment of trial {tid} was cleared away ({path} is gone); see `keep:`")
        return path

    def clear(self, tid: int) -> None:
        """Remove the folder ``trials/<tid>/attachments/``."""
        shutil.rmtree(self._attachments(tid), ignore_errors=True)

    def get(self, key: str) -> Any:
        """A record, or None."""
        rows = self._database.read("SELECT value FROM record WHERE key = ?", key)
        return self._value(key, rows[0][0]) if rows else None

    def put(self, key: str, value: Any, *, expected: Any = ANY) -> bool:
        """Write a record if the present one is the ``expected`` one."""
        text = as_json(value)
        wanted = ANY if expected is ANY else json.loads(as_json(expected))
        with self._database.writing(durable=True) as connection:
            if wanted is not ANY:
                row = connection.execute("SELECT value FROM record WHERE key = ?", (key,)).fetchone()
                if (self._value(key, row[0]) if row else None) != wanted:
                    return False
            if value is None:
                connection.execute("DELETE FROM record WHERE key = ?", (key,))
            else:
                connection.execute("REPLACE INTO record (key, value) VALUES (?, ?)", (key, text))
        return True

    def now(self) -> float:
        """The time of this machine: a file is at home on one machine."""
        return time.time()

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _settle(self, trial: Trial, change: Change, files: Mapping[str, Path] | None = None) -> Trial:
        """Make the change, if the stored trial still is as given."""
        if not files:
            return self._write(trial, change)
        folder = self._attachments(trial.tid)
        with explained(folder), taking_over(files, folder, trial.version) as place:
            return self._write(trial, change, tuple(files), place)

    def _write(
        self, trial: Trial, change: Change, attachments: tuple[str, ...] = (), place: Callable[[], None] | None = None
    ) -> Trial:
        """The transaction; ``place`` is called in it, once the trial is known to be as given."""
        result = change.result and replace(change.result, attachments=attachments)
        values = (
            change.to.value,
            change.step,
            as_owner(change.owner),
            result and as_json(result.to_json()),
            as_attempts((*trial.attempts, change.attempt) if change.attempt else trial.attempts),
            None if change.to is TrialState.NEW else self.now(),
        )
        with self._database.writing(durable=True) as connection:
            self._check_held(connection, trial, connection.execute(SETTLE, (*values, *_fence(trial))))
            if place:
                place()
            row = connection.execute("SELECT * FROM trial WHERE tid = ?", (trial.tid,)).fetchone()
            reports = _reports(connection, trial.tid)
        return as_trial(row, reports)

    def _first_new(self, connection: sqlite3.Connection) -> Trial | None:
        """The NEW trial with the smallest tid that can be read."""
        for row in connection.execute("SELECT * FROM trial WHERE state = 0 ORDER BY tid"):
            trial = self._readable(row, _reports(connection, row[0]))
            if trial is not None:
                return trial
        return None

    def _readable(self, row: tuple[Any, ...], reports: Sequence[Report]) -> Trial | None:
        """The trial in ``row``; None, with one warning, if the row is damaged: the others are still good."""
        try:
            return as_trial(row, reports)
        except StoreError as error:
            if row[0] not in self.unreadable:
                self.unreadable.add(row[0])
                log.warning("%s: %s; this trial is left out", self._database.path, error)
            return None

    def _check_held(self, connection: sqlite3.Connection, trial: Trial, write: sqlite3.Cursor) -> None:
        """Raise ClaimLost when the fenced ``write`` has matched no row."""
        if write.rowcount == 1:
            return
        row = connection.execute("SELECT version, state, owner FROM trial WHERE tid = ?", (trial.tid,)).fetchone()
        raise ClaimLost(
            f"{self._database.path}: trial {trial.tid} has moved on. Version, state and owner are {row} by now; "
            f"this write knew {_fence(trial)[1:]}"
        )

    def _value(self, key: str, text: str) -> Any:
        try:
            return json.loads(text)
        except (ValueError, TypeError) as error:
            raise StoreError(
                f"{self._database.path}: the record {key!r} is damaged ({error}): delete it from table `record`"
            ) from error

    def _attachments(self, tid: int) -> Path:
        return self._jobdir.trial(tid) / "attachments"


def _fence(trial: Trial) -> tuple[Any, ...]:
    return (trial.tid, trial.version, trial.state.value, as_owner(trial.owner))


def _reports(connection: sqlite3.Connection, tid: int) -> tuple[Report, ...]:
    return as_reports(connection.execute("SELECT tid, step, loss FROM report WHERE tid = ? ORDER BY n", (tid,)))
