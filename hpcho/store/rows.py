"""Trials as the rows of the sqlite store, and back."""

from __future__ import annotations

import json
import math
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from hpcho.errors import StoreError
from hpcho.trial import Attempt, Owner, Report, Result, Trial, TrialState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hpcho.trial import Draft

__all__ = ["SCHEMA", "as_attempts", "as_json", "as_origin", "as_owner", "as_reports", "as_trial"]

Row = tuple[Any, ...]

SCHEMA = """
CREATE TABLE trial (
    tid INTEGER PRIMARY KEY,
    state INTEGER NOT NULL,
    version INTEGER NOT NULL,
    vals TEXT NOT NULL,             -- JSON, as owner, result and attempts
    origin TEXT NOT NULL,           -- of a promoted trial with its parent's tid: "promoted 17"
    owner TEXT,
    beat INTEGER NOT NULL,
    result TEXT,
    attempts TEXT NOT NULL,
    created_at REAL NOT NULL,
    claimed_at REAL,
    finished_at REAL,
    seq INTEGER NOT NULL            -- raised by every write to the row; the largest is the last write of all
);
CREATE UNIQUE INDEX trial_seq ON trial (seq);
CREATE INDEX trial_new ON trial (tid) WHERE state = 0;
CREATE TABLE report (
    tid INTEGER NOT NULL,
    n INTEGER NOT NULL,
    step INTEGER NOT NULL,
    loss REAL,
    PRIMARY KEY (tid, n)
) WITHOUT ROWID;
CREATE TABLE record (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""


def as_json(value: Any) -> str:
    """``value`` as JSON, numpy's numbers and arrays as plain ones. Raises TypeError, ValueError (NaN, infinities)."""
    return _ENCODER.encode(value)


@lru_cache
def as_owner(owner: Owner | None) -> str | None:
    """The column ``owner``, which is compared as text."""
    return None if owner is None else as_json(owner.to_json())


def as_origin(draft: Draft) -> str:
    """The column ``origin``."""
    return draft.origin if draft.parent is None else f"{draft.origin} {draft.parent}"


def as_attempts(attempts: Sequence[Attempt]) -> str:
    """The column ``attempts``."""
    return as_json([attempt.to_json() for attempt in attempts])


def as_trial(row: Row, reports: Sequence[Report] = ()) -> Trial:
    """The trial in a row of the table. Raises StoreError for one that was damaged."""
    tid, state, version, vals, origin, owner, beat, result, attempts, created_at, claimed_at, finished_at, _ = row
    try:
        origin, _, parent = origin.partition(" ")
        return Trial(
            tid=tid,
            state=TrialState(state),
            version=version,
            vals={label: list(value) for label, value in json.loads(vals).items()},
            origin=origin,
            parent=int(parent) if parent else None,
            owner=_owner(owner),
            beat=beat,
            result=None if result is None else Result.from_json(json.loads(result)),
            attempts=tuple(map(Attempt.from_json, json.loads(attempts))),
            reports=tuple(reports),
            created_at=created_at,
            claimed_at=claimed_at,
            finished_at=finished_at,
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise StoreError(
            f"trial {tid}: its row in table `trial` is damaged ({type(error).__name__}: {error})"
        ) from error


def as_reports(rows: Iterable[Row]) -> tuple[Report, ...]:
    """The reports in rows of (tid, step, loss), in their order. sqlite keeps NaN as NULL."""
    return tuple(Report(step, math.nan if loss is None else loss) for _, step, loss in rows)


@lru_cache
def _owner(text: str | None) -> Owner | None:
    return None if text is None else Owner.from_json(json.loads(text))


def _plain(value: Any) -> Any:
    """numpy's scalars and arrays as plain Python. Where nobody has imported numpy there are none."""
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, (numpy.generic, numpy.ndarray)):
        return value.tolist()
    raise TypeError(f"a {type(value).__name__} cannot be kept with a trial as JSON: {value!r:.80}")


_ENCODER = json.JSONEncoder(allow_nan=False, default=_plain)  # json.dumps would make one at every call
