"""The store as a worker needs it to serve hyperopt's own driver: hyperopt's claims, results, attachments and errors."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bson import ObjectId, encode, json_util

from hpcho.store.mongo.documents import as_text, utc
from hpcho.store.mongo.store import MongoStore
from hpcho.store.stock.files import Files
from hpcho.trial import Cause, Failure, Result, Trial, TrialState

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from hpcho.store.mongo.connection import Connection, Document
    from hpcho.trial import Owner

__all__ = ["StockStore", "result_of"]

DOMAIN = "FMinIter_Domain"
"""The file that holds fmin's objective and search space."""
COMMAND = ["domain_attachment", DOMAIN]
"""What fmin writes into each of its trials: evaluate that."""
RESULT_BYTES = 15 << 20
"""How much of a document may be the result; MongoDB's limit is 16 MB."""
DOCUMENT = "document"
"""The entry of a Result that holds hyperopt's own result, as JSON that knows all of BSON's types."""


def result_of(document: Mapping[str, Any], names: tuple[str, ...]) -> Result:
    """What ``finish`` takes for hyperopt's result ``document``; ``names`` are its attachments'.

    Raises what BSON says of values that it cannot hold, and ValueError when they are too many.
    """
    size = len(encode(document))
    if size > RESULT_BYTES:
        raise ValueError(f"the result takes {size >> 20} MB, and a trial has room for {RESULT_BYTES >> 20}: attach it")
    text = json_util.dumps(document, json_options=json_util.CANONICAL_JSON_OPTIONS)
    return Result(None, str(document.get("status")), {DOCUMENT: text}, names)


def error_pair(cause: Cause, text: str) -> list[str]:
    """hyperopt's error for a traceback: the exception's class as ``str`` shows it, and its message."""
    _, found, last = text.rpartition("Traceback (most recent call last):\n")
    lines = last.splitlines()
    said = next((number for number, line in enumerate(lines) if not line.startswith(" ")), None)
    if not found or said is None or cause is not Cause.OBJECTIVE:
        return [f"hpcho: {cause}", text]
    kind, _, message = "\n".join(lines[said:]).partition(": ")
    return [f"<class '{kind.strip()}'>", message]


@dataclass
class Pending:
    """An end that was not answered yet; ``attached`` is in GridFS once it is set."""

    token: ObjectId = field(default_factory=ObjectId)
    attached: list[list[Any]] | None = None


class StockStore(MongoStore):
    """The trials of one ``fmin``. ``finish`` takes results of ``result_of`` alone."""

    def __init__(self, connection: Connection, exp_key: str) -> None:
        super().__init__(connection, exp_key)
        self._named = Files(connection.database, exp_key)
        self._unanswered: dict[tuple[int, int], Pending] = {}

    def domain_id(self) -> str | None:
        """Names the present objective; None while there is none (its driver has not begun, or begins again)."""
        with self._asking():
            found = self._named.newest(DOMAIN)
        return None if found is None else str(found)

    def domain(self, domain_id: str) -> bytes | None:
        """The pickled objective; None when another has taken its place."""
        with self._asking():
            return self._named.read(ObjectId(domain_id))

    def claim(self, owner: Owner) -> Trial | None:
        """As a store's. Trials that are no fmin's become errors."""
        while (trial := super().claim(owner)) is not None:
            with self._asking():
                found = self._jobs.read(trial.tid, {"misc.cmd": 1})
            command = list(((found or {}).get("misc") or {}).get("cmd") or ())
            if command == COMMAND:
                return trial
            what = command[0] if command else "nothing"
            error = f"hpcho evaluates fmin's trials ({COMMAND[0]}), and this one says {what!r}"
            self.fail(trial, Failure(Cause.OBJECTIVE, error), retry=False)
        return None

    def finish(self, trial: Trial, result: Result, files: Mapping[str, Path] | None = None) -> Trial:
        """Attachments, then the result and the state, as hyperopt stores them."""
        document = json_util.loads(result.data[DOCUMENT], json_options=json_util.CANONICAL_JSON_OPTIONS)
        return self._end(trial, {"state": TrialState.DONE.value, "result": document}, files or {})

    def fail(self, trial: Trial, failure: Failure, *, retry: bool) -> Trial:
        """State 3 and hyperopt's error: the exception's class and what it says. The whole text is under ``hpcho``."""
        if retry:
            return super().fail(trial, failure, retry=retry)
        whole = as_text(failure.error)
        change = {"state": TrialState.ERROR.value, "error": error_pair(failure.cause, whole), "hpcho.traceback": whole}
        return self._end(trial, change, {})

    def get(self, key: str) -> Any:
        """Nobody but hpcho keeps records: there are none."""
        del key
        return None

    def _end(self, trial: Trial, change: Document, files: Mapping[str, Path]) -> Trial:
        """Write a trial's end if it still is ours. The same call may be made again when it was not answered."""
        fence = self._jobs.fence(trial)
        with self._asking():
            pending = self._unanswered.setdefault((trial.tid, trial.version), Pending())
            if files and pending.attached is None:
                found = self._jobs.collection.find_one(fence)
                pending.attached = None if found is None else self._attach(found, files)
            at = utc(self._jobs.now())
            update = {**change, "version": trial.version + 1, "refresh_time": at, "hpcho.token": pending.token}
            if pending.attached:
                update["_attachments"] = pending.attached
            self._jobs.collection.update_one(fence, {"$set": update})
            # Whether this or an earlier call has written it: what stands there tells, whoever was not answered.
            found = self._jobs.read(trial.tid)
            del self._unanswered[trial.tid, trial.version]
            if found is None or (found.get("hpcho") or {}).get("token") != pending.token:
                self._named.delete(file_id for name, file_id in pending.attached or () if name in files)
                raise self._jobs.refusal(trial, found)
            for path in files.values():
                path.unlink(missing_ok=True)
            return self._jobs.trial(found)

    def _attach(self, found: Document, files: Mapping[str, Path]) -> list[list[Any]]:
        """Bring files into GridFS; those attached before stay, under other names."""
        kept = [pair for pair in found.get("_attachments") or () if pair[0] not in files]
        for name, path in files.items():
            label = as_text(name)
            with path.open("rb") as file:
                kept.append([label, self._named.add(f"{found['_id']}_{label}", file)])
        return kept
