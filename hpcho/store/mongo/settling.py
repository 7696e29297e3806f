"""The writes to a claimed trial and what the controller moves, each on condition that the trial is as it was.

Finished trials of a store that was lost are put back here too.

When a connection breaks, a write may have been made or not. Its token is then kept: made again, the same call finds it
in the document and returns as if it had been answered.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from bson import ObjectId

from hpcho.errors import ClaimLost, StoreError
from hpcho.store.mongo.documents import Kept, as_text, beats, new_document, owner_names, split, storable, utc
from hpcho.store.rows import as_json
from hpcho.trial import Draft, Report, Trial, TrialState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from hpcho.store.change import Change
    from hpcho.store.mongo.connection import Document
    from hpcho.store.mongo.jobs import Jobs
    from hpcho.store.mongo.records import Records

__all__ = ["Settling"]

REPORTS_KEPT = 100_000
"""How many of a trial's reports are kept: the last ones, which a document has room for."""


Files = dict[str | None, ObjectId]
"""A trial's files in GridFS: its attachments by name; None: what of its result is too large for a document."""


@dataclass
class Pending:
    """A write that was not answered yet, and its files once they are in GridFS."""

    token: ObjectId = field(default_factory=ObjectId)
    files: Files | None = None


class Settling:
    """The writes of one store object. Errors are pymongo's own; the caller translates them.

    ``copy_place`` says where a copy of an attachment stays on disk; None: there is none.
    """

    def __init__(self, jobs: Jobs, records: Records, copy_place: Callable[[int, str], Path] | None = None) -> None:
        self._jobs = jobs
        self._records = records
        self._copy_place = copy_place
        self._pending: dict[tuple[int, int, TrialState], Pending] = {}
        self._own: dict[int, Trial] = {}

    def claimed(self, trial: Trial) -> None:
        """Note a claim of this store object's. Its heartbeats are then the only ones, and need not be looked up."""
        self._own[trial.tid] = trial

    def beat(self, trial: Trial, reports: Sequence[Report]) -> None:
        """Count the beat of RUNNING ``trial`` up and append ``reports``. Raises ClaimLost."""
        change: Document = {"$inc": {"hpcho.beat": 1}, "$set": {"refresh_time": utc(self._jobs.now())}}
        if reports:
            pairs = [[int(report.step), float(report.loss)] for report in reports]
            change["$push"] = {"hpcho.reports": {"$each": pairs, "$slice": -REPORTS_KEPT}}
        own = self._own.pop(trial.tid, None)  # it stays away after an error, when nobody knows the beat
        if not self._jobs.collection.update_one(self._jobs.fence(trial), change).matched_count:
            raise self._jobs.refusal(trial, self._jobs.read(trial.tid))
        if own is not None:
            told = tuple(Report(int(report.step), float(report.loss)) for report in reports)
            self._own[trial.tid] = replace(own, beat=own.beat + 1, reports=(*own.reports, *told)[-REPORTS_KEPT:])

    def settle(self, trial: Trial, change: Change, sources: Mapping[str, Path]) -> Trial:
        """Make the change, files first, if the stored trial still is as given; ``sources`` are then removed.

        Raises ClaimLost.
        """
        kept = None if change.result is None else split(change.result, sources)
        call = (trial.tid, trial.version, change.to)
        pending = self._pending.setdefault(call, Pending())
        try:
            if pending.files is None:
                pending.files = self._upload(trial, kept, sources)
            done = self._write(trial, change, kept, pending)
        except ClaimLost:
            del self._pending[call]
            self._own.pop(trial.tid, None)
            self._jobs.files.delete((pending.files or {}).values())
            raise
        # After another error, which is no answer, the call is still pending.
        del self._pending[call]
        self._own.pop(trial.tid, None)
        self._put_away(trial.tid, sources, pending.files)
        return done

    def restore(self, trial: Trial, sources: Mapping[str, Path]) -> None:
        """Insert a DONE trial with its files, unless one with its tid is there."""
        if self._jobs.read(trial.tid, {"tid": 1}) is not None:
            return
        assert trial.result is not None
        kept = split(trial.result, sources)
        created = Draft(trial.vals, trial.origin, trial.parent, trial.reports)
        document = new_document(created, trial.tid, self._jobs.exp_key, trial.created_at)
        files = self._put(document["_id"], kept, sources)
        try:
            change = self._update(replace(trial, state=TrialState.NEW), trial, kept, Pending(files=files))["$set"]
            _set(document, change | {"book_time": utc(trial.claimed_at or self._jobs.now())})
            self._jobs.collection.insert_one(document)
        except BaseException:
            self._jobs.files.delete(files.values())
            raise
        self._put_away(trial.tid, sources, files)

    def _upload(self, trial: Trial, kept: Kept | None, sources: Mapping[str, Path]) -> Files:
        """Bring the files into GridFS; all of them or, with an error, none. Raises ClaimLost."""
        if not sources and (kept is None or kept.file is None):
            return {}
        document = self._held(trial, Pending())
        return {} if document is None else self._put(document["_id"], kept, sources)

    def _put(self, document_id: ObjectId, kept: Kept | None, sources: Mapping[str, Path]) -> Files:
        wanted: dict[str | None, Path | bytes] = {None: kept.file} if kept is not None and kept.file is not None else {}
        wanted.update(sources.items())
        there: Files = {}
        try:
            for name, source in wanted.items():
                there[name] = self._jobs.files.put(source, f"{document_id}_{as_text(name or 'hpcho.result')}")
        except BaseException:
            self._jobs.files.delete(there.values())
            raise
        return there

    def _put_away(self, tid: int, sources: Mapping[str, Path], files: Files | None) -> None:
        """The trial has its own copies of its files now: theirs stay where copies are looked for, or go."""
        for name, source in sources.items():
            with contextlib.suppress(OSError):
                if self._copy_place is None or not files or name not in files:
                    source.unlink(missing_ok=True)
                else:
                    self._jobs.files.place(files[name], source, self._copy_place(tid, name))

    def _write(self, trial: Trial, change: Change, kept: Kept | None, pending: Pending) -> Trial:
        """The trial as it is after the write. Raises ClaimLost."""
        attempt = None if change.attempt is None else storable(change.attempt)
        done = replace(
            trial,
            state=change.to,
            version=trial.version + change.step,
            owner=change.owner,
            result=None if kept is None else kept.result,
            attempts=trial.attempts if attempt is None else (*trial.attempts, attempt),
            finished_at=None if change.to is TrialState.NEW else self._jobs.now(),
        )
        update = self._update(trial, done, kept, pending)
        if _is_numbered(trial, done):
            if self._held(trial, pending) is None:
                return self._made(trial.tid)
            # Not before: a change that is announced and not made is looked for by readers ever after.
            update["$set"]["hpcho.number"] = self._records.announce(trial.tid)
        if not self._jobs.collection.update_one(self._jobs.fence(trial), update).matched_count:
            if self._held(trial, pending) is not None:
                raise StoreError(f"trial {trial.tid} is as it was and cannot be written: see its document in `jobs`")
            return self._made(trial.tid)
        if trial.state is not TrialState.RUNNING:
            return done
        # Heartbeats have changed it without its version.
        own = self._own.get(trial.tid)
        if own is not None and (own.version, own.owner) == (trial.version, trial.owner):
            return replace(done, beat=own.beat, reports=own.reports)
        after = self._jobs.read(trial.tid, {"hpcho.beat": 1, "hpcho.reports": 1})
        return done if after is None else replace(done, **beats(after["hpcho"]))

    def _held(self, trial: Trial, pending: Pending) -> Document | None:
        """The trial's document; None when ``pending`` was made already. Raises ClaimLost when the trial has changed."""
        found = self._jobs.read(trial.tid)
        if found is not None and (found.get("hpcho") or {}).get("token") == pending.token:
            return None
        if found is None or any(found.get(name) != value for name, value in self._jobs.fence(trial).items()):
            raise self._jobs.refusal(trial, found)
        return found

    def _update(self, trial: Trial, done: Trial, kept: Kept | None, pending: Pending) -> Document:
        """What makes ``trial``'s document that of ``done``."""
        files = dict(pending.files or {})
        change: Document = {
            "state": done.state.value,
            "version": done.version,
            "owner": owner_names(done.owner),
            "refresh_time": utc(done.finished_at or self._jobs.now()),
            "hpcho.owner": done.owner.to_json() if done.owner else None,
            "hpcho.attempts": [attempt.to_json() for attempt in done.attempts],
            "hpcho.settled": done.version,
            "hpcho.token": pending.token,
        }
        if done.state is TrialState.NEW:
            change["result"] = {"status": "new"}
        elif done.state is TrialState.ERROR and done.cause is not None:
            change["error"] = [done.cause.value, done.error]
        if kept is not None:
            change |= _result_fields(kept, files)
        update: Document = {"$set": change}
        if trial.state is TrialState.ERROR:
            update["$unset"] = {"error": ""}
        return update

    def _made(self, tid: int) -> Trial:
        """The trial as a write has left it whose answer was lost."""
        found = self._jobs.read(tid)
        if found is None:
            raise StoreError(f"trial {tid}: its document in `jobs` was removed meanwhile")
        return self._jobs.trial(found)


def _set(document: Document, change: Mapping[str, Any]) -> None:
    """What ``$set`` does, for the names with one dot that there are here."""
    for name, value in change.items():
        outer, _, inner = name.rpartition(".")
        (document[outer] if outer else document)[inner] = value


def _is_numbered(trial: Trial, done: Trial) -> bool:
    """Whether readers find the change by its number; the ends of running trials by their owners they find without."""
    is_end = trial.state is TrialState.RUNNING and done.state in (TrialState.DONE, TrialState.ERROR)
    return not is_end or done.owner is None


def _result_fields(kept: Kept, files: Files) -> dict[str, Any]:
    fields: dict[str, Any] = {"result": kept.inline}
    if kept.result.pruned:
        fields["hpcho.pruned"] = True
    if kept.json is not None:
        fields["hpcho.json"] = kept.json
    if None in files:
        fields["hpcho.file"] = files.pop(None)
    names = kept.result.attachments
    fields["_attachments"] = [[as_text(name or ""), file_id] for name, file_id in files.items()]
    if any(as_text(name) != name for name in names):
        fields["hpcho.names"] = as_json(names)
    return fields
