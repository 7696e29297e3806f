"""Trials as hyperopt's documents, and back.

Beside hyperopt's fields a document has, under ``hpcho``:

    origin, created_at      as in Trial; parent, where there is one
    pruned                  true where the pruner ended the trial, else absent
    owner                   the owner in full (hyperopt has "host:pid" alone)
    beat, reports           heartbeats of the present claim; [step, loss] pairs
    attempts                the ended ones
    settled                 the version at our last write but claims; with another, hyperopt's code has written since
    token                   names one claim or settling, so that a repeated one is recognised
    number                  of a numbered change (following.py)
    json, file, names, vals what BSON cannot hold as it is, as JSON (``file``: in GridFS); absent if there is none

A document without ``hpcho`` is hyperopt's own and reads as well: of its attempts, the last one is known.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from bson import ObjectId

from hpcho.errors import StoreError
from hpcho.store.rows import as_json
from hpcho.trial import Attempt, Cause, Draft, Owner, Report, Result, Trial, TrialState, to_document

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hpcho.store.mongo.connection import Document

__all__ = [
    "Damaged",
    "Kept",
    "as_text",
    "as_trial",
    "beats",
    "new_document",
    "owner_names",
    "split",
    "utc",
]

INLINE_BYTES = 1 << 20
"""How much of a result, as JSON, stands in its document (MongoDB's own limit is 16 MB); the rest goes to GridFS."""
NESTED = 40
"""How deep a value in a document may be nested; MongoDB ends at 100, hyperopt's and our own levels included."""
ERROR_CHARACTERS = 500_000
"""How much of an attempt's error is kept: some of each end."""
RESERVED = ("loss", "status", "attachments")


class Damaged(StoreError):
    """One trial's document cannot be read; the others are still good."""


def utc(seconds: float) -> datetime:
    """Naive UTC, as hyperopt stores times."""
    return datetime.fromtimestamp(seconds, timezone.utc).replace(tzinfo=None)


def owner_names(owner: Owner | None) -> list[str] | None:
    """The field ``owner``."""
    return None if owner is None else [str(owner)]


def new_document(draft: Draft, tid: int, exp_key: str | None, created_at: float) -> Document:
    """The document of a new trial. Raises TypeError, ValueError for what is not JSON."""
    vals: dict[str, list[Any]] = _plain(dict(draft.vals))
    natural = {label: value for label, value in vals.items() if _is_natural({label: value})}
    document = to_document(Trial(tid=tid, state=TrialState.NEW, version=0, vals=natural), "")
    own: Document = {"origin": draft.origin, "created_at": created_at, "owner": None, "beat": 0}
    own |= {"reports": [[int(report.step), float(report.loss)] for report in draft.reports]}
    own |= {"attempts": [], "settled": 0}
    if draft.parent is not None:
        own["parent"] = draft.parent
    if len(natural) < len(vals):
        own["vals"] = as_json(vals)
    return {"_id": ObjectId(), **document, "exp_key": exp_key, "hpcho": own}


@dataclass(frozen=True)
class Kept:
    """A result in the parts that are kept apart: ``result`` holds all of it, as it will be read."""

    result: Result
    inline: Document
    json: str | None
    file: bytes | None


def split(result: Result, names: Iterable[str]) -> Kept:
    """What of ``result`` goes where. Raises TypeError, ValueError for what is not JSON."""
    data: dict[str, Any] = _plain({key: value for key, value in result.data.items() if key not in RESERVED})
    loss = _plain(result.loss)
    texts = {key: as_json(value) for key, value in data.items()}
    left = sum(map(len, texts.values()))
    spilled, odd, inline = {}, {}, {}
    for key in sorted(data, key=lambda key: -len(texts[key])):
        if left > INLINE_BYTES:
            spilled[key] = data[key]
            left -= len(texts[key])
        elif _is_natural({key: data[key]}):
            inline[key] = data[key]
        else:
            odd[key] = data[key]
    return Kept(
        Result(loss, result.status, data, tuple(names), result.pruned),
        # In the order in which the objective gave them.
        {**{key: inline[key] for key in data if key in inline}, "loss": loss, "status": result.status},
        as_json(odd) if odd else None,
        as_json(spilled).encode() if spilled else None,
    )


def storable(attempt: Attempt) -> Attempt:
    """The attempt with an error that a document can hold."""
    return attempt if attempt.error is None else replace(attempt, error=as_text(_shortened(attempt.error)))


def as_text(text: str) -> str:
    """``text`` as BSON can hold it: half of a surrogate pair is written out."""
    return text.encode("utf-8", "backslashreplace").decode()


def beats(own: Mapping[str, Any]) -> dict[str, Any]:
    """What heartbeats change of a trial, from what stands under ``hpcho``."""
    reports = tuple(Report(step, loss) for step, loss in own.get("reports", ()))
    return {"beat": own.get("beat", 0), "reports": reports}


def as_trial(document: Mapping[str, Any], read_file: Callable[[ObjectId], bytes]) -> Trial:
    """The trial in a document. Raises Damaged; of what ``read_file`` raises, Damaged is told of this trial."""
    try:
        return _trial(document, read_file)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError, Damaged) as error:
        raise Damaged(
            f"trial {document.get('tid')}: its document {document.get('_id')} in `jobs` is damaged "
            f"({type(error).__name__}: {error})"
        ) from error


def _trial(document: Mapping[str, Any], read_file: Callable[[ObjectId], bytes]) -> Trial:
    own = document.get("hpcho") or {}
    state, version, tid = TrialState(document["state"]), document["version"], document["tid"]
    owner = _owner(document["owner"], own)
    if type(tid) is not int or type(version) is not int:
        raise TypeError("tid and version must be whole numbers")
    if (owner is not None) != (state is TrialState.RUNNING) and state in (TrialState.NEW, TrialState.RUNNING):
        raise ValueError(f"it is {state.label} with owner {owner}")
    vals = json.loads(own["vals"]) if "vals" in own else document["misc"]["vals"]
    claimed_at, refreshed_at = _seconds(document.get("book_time")), _seconds(document.get("refresh_time"))
    is_foreign = version != own.get("settled")
    attempts = tuple(map(Attempt.from_json, own.get("attempts", ())))
    if is_foreign and state in (TrialState.DONE, TrialState.ERROR):
        attempts = (*attempts, _last_attempt(document, owner, claimed_at, refreshed_at))
    is_open = state in (TrialState.NEW, TrialState.RUNNING)
    return Trial(
        tid=tid,
        state=state,
        version=version,
        vals={label: list(value) for label, value in vals.items()},
        origin=own.get("origin", "sampler"),
        parent=own.get("parent"),
        owner=owner,
        result=_result(document, own, read_file, is_foreign=is_foreign) if state is TrialState.DONE else None,
        attempts=attempts,
        created_at=_created_at(document, own),
        claimed_at=claimed_at,
        finished_at=None if is_open else refreshed_at,
        **beats(own),
    )


def _owner(names: Any, own: Mapping[str, Any]) -> Owner | None:
    if names is None:
        return None
    (name,) = names
    full = own.get("owner")
    if full is not None and str(Owner.from_json(full)) == name:
        return Owner.from_json(full)
    host, _, pid = name.rpartition(":")
    return Owner(host, int(pid))


def _result(
    document: Mapping[str, Any], own: Mapping[str, Any], read_file: Callable[[ObjectId], bytes], *, is_foreign: bool
) -> Result:
    data = dict(document["result"])
    loss, status = data.pop("loss", None), data.pop("status")
    attached = document.get("_attachments") or ()
    names = tuple(json.loads(own["names"])) if "names" in own else tuple(name for name, _ in attached)
    if is_foreign:
        # hyperopt keeps any loss; for us only a finite one is a success, and values are JSON.
        is_finite = isinstance(loss, (int, float)) and math.isfinite(loss)
        loss, status = (loss, status) if is_finite and status == "ok" else (None, "fail")
        return Result(loss, status, _readable(data), names)
    if "json" in own:
        data |= json.loads(own["json"])
    if "file" in own:
        data |= json.loads(read_file(own["file"]))
    return Result(loss, status, data, names, bool(own.get("pruned")))


def _last_attempt(
    document: Mapping[str, Any], owner: Owner | None, claimed_at: float | None, refreshed_at: float | None
) -> Attempt:
    """The attempt that hyperopt's own worker has ended, from what it leaves behind."""
    began = claimed_at or refreshed_at or 0.0
    ended = max(began, refreshed_at or began)
    if document["state"] == TrialState.DONE:
        return Attempt(owner, began, ended)
    error = document.get("error") or ()
    return Attempt(owner, began, ended, Cause.OBJECTIVE, ": ".join(map(str, error)) or "hyperopt kept no error")


def _created_at(document: Mapping[str, Any], own: Mapping[str, Any]) -> float:
    if "created_at" in own:
        return float(own["created_at"])
    made = document.get("_id")
    return made.generation_time.timestamp() if isinstance(made, ObjectId) else 0.0


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.replace(tzinfo=timezone.utc).timestamp()


def _plain(value: Any) -> Any:
    """``value`` as plain Python that is JSON, whatever numpy it holds."""
    return json.loads(as_json(value))


def _readable(value: Any) -> Any:
    """What hyperopt's own code has stored, as JSON: times and ids as text, bytes in base 64, NaN as None."""
    if isinstance(value, Mapping):
        return {key: _readable(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_readable(inner) for inner in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (str, int)) else str(value)


def _is_natural(value: Any, depth: int = NESTED) -> bool:
    """Whether a document can hold plain ``value`` so that it comes back as it was."""
    if isinstance(value, dict):
        return depth > 0 and all(_is_key(key) and _is_natural(inner, depth - 1) for key, inner in value.items())
    if isinstance(value, list):
        return depth > 0 and all(_is_natural(inner, depth - 1) for inner in value)
    if isinstance(value, str):
        return _is_text(value)
    return not isinstance(value, int) or -(1 << 63) <= value < 1 << 63


def _is_key(key: str) -> bool:
    return bool(key) and key[0] != "$" and "." not in key and "\0" not in key and _is_text(key)


def _is_text(text: str) -> bool:
    return text.isascii() or as_text(text) == text


def _shortened(error: str) -> str:
    if len(error) <= ERROR_CHARACTERS:
        return error
    half = ERROR_CHARACTERS // 2
    return f"{error[:half]}\n... ({len(error) - 2 * half} characters left out)\n{error[-half:]}"
