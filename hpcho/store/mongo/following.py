"""Finds what changed among an experiment's trials, at the cost of what changed.

There is no clock in it, and no counter that every write would have to wait for. A trial's life is followed by what
cannot be missed of it:

new trials      have larger tids than all before. Two programs may add at once, and the smaller tids appear last: tids
                left out below the highest are asked for again.
claims          A running trial is found by its state; there are no more of them than workers. Its mark tells whether
                it is as it was.
ends            A trial seen running that is not any more is read again. One seen new may have been claimed and ended
                since: whether it still is new is asked for (of a long queue: whether any in its range has ended).
anything else   (released, tried again, reaped, cancelled, requeued, adopted) is rare, and is numbered: the experiment's
                next number is taken and the tid announced, then the write leaves the number in the document. What is
                announced is read, and until it has its number, read again.

hyperopt's own workers and drivers make only the first three kinds of change, so theirs are found as well.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from pymongo import collection

    from hpcho.store.mongo.connection import Document

__all__ = ["Cursor", "Follower"]

KEPT = 64
"""How many of the tids left out, and of the changes announced, are waited for: the newest. Those of programs that were
killed in between never come; in a database of several experiments, others' tids are among those left out."""
HEAD = 64
"""How many of the new trials, from the first to be claimed on, are looked at one by one."""
SHORT = 16
"""A queue that is so short is looked at one by one as a whole: what other hands have damaged or removed shows then."""
MARK = {"tid": 1, "state": 1, "version": 1, "owner": 1, "book_time": 1, "refresh_time": 1, "hpcho.beat": 1}


@dataclass(frozen=True)
class Series:
    """Which of the numbers 0, 1, 2, ... were seen: the highest, and those below that were not."""

    highest: int = -1
    gaps: frozenset[int] = frozenset()

    def and_seen(self, numbers: Iterable[int]) -> Series:
        """The same with ``numbers``."""
        seen = set(numbers)
        highest = max(seen, default=self.highest)
        if highest <= self.highest:
            return Series(self.highest, self.gaps - seen) if self.gaps & seen else self
        skipped = range(max(self.highest + 1, highest - KEPT), highest)
        gaps = self.gaps.union(skipped) - seen
        return Series(highest, frozenset(sorted(gaps)[-KEPT:]))


@dataclass(frozen=True)
class Cursor:
    """What a reader has seen.

    ``running``: tid -> mark; ``new``: the tids, in order; ``number``: of the last change announced; ``awaited``: tid ->
    number of those announced whose documents did not have it yet; ``gone``: the tids asked for last that had none.
    """

    running: Mapping[int, tuple[Any, ...]] = field(default_factory=dict)
    new: tuple[int, ...] = ()
    tids: Series = Series()
    number: int = 0
    awaited: Mapping[int, int] = field(default_factory=dict)
    gone: frozenset[int] = frozenset()


class Follower:
    """Reads the documents of one experiment. Errors are pymongo's own; the caller translates them.

    ``announced`` gives the number of the last change announced, and the tids of the last ones, its own at the end.
    """

    def __init__(
        self,
        jobs: collection.Collection[Document],
        exp_key: str | None,
        announced: Callable[[], tuple[int, list[int]]],
    ) -> None:
        self.jobs = jobs
        self._exp_key = exp_key
        self._announced = announced

    def all(self) -> tuple[Cursor, list[Document]]:
        """Every document, and the cursor from here on."""
        last, tids = self._announced()
        documents = list(self.jobs.find({"exp_key": self._exp_key}))
        readable = [document for document in documents if _has_tid(document)]
        awaited = dict(zip(tids, range(last - len(tids) + 1, last + 1), strict=True))
        return _advanced(Cursor(number=last, awaited=awaited), (), readable), documents

    def since(self, cursor: Cursor) -> tuple[Cursor, list[Document]]:
        """The documents that changed since ``cursor``, and the next cursor."""
        # What runs was seen running or new, or was announced, or has just come: the rest need not be looked through.
        first = min((*cursor.running, *cursor.new[:1], *cursor.tids.gaps, *cursor.awaited), default=cursor.tids.highest)
        running = {"state": 1, "tid": {"$gte": first}}
        marks = {document["tid"]: _mark(document) for document in self._find(running, MARK)}
        # After the scan: what is claimed meanwhile is in the one or in the other.
        arrived = self._find({"tid": {"$gt": cursor.tids.highest}})
        last, announced = self._announced()
        if last - cursor.number > len(announced):
            anew, documents = self.all()
            return replace(anew, gone=_without({*cursor.running, *cursor.new}, documents)), documents
        recent = range(cursor.number + 1, last + 1)
        awaited = {**cursor.awaited, **dict(zip(announced[len(announced) - len(recent) :], recent, strict=True))}
        suspects = {tid for tid, mark in marks.items() if cursor.running.get(tid) != mark}
        suspects |= cursor.running.keys() - marks.keys()
        suspects |= self._no_longer_new(cursor.new)
        suspects |= awaited.keys() | self._late(cursor.tids.and_seen(document["tid"] for document in arrived))
        suspects = suspects.difference(document["tid"] for document in arrived)
        documents = [*arrived, *(self._find({"tid": _one_of(suspects)}) if suspects else ())]
        if gone := _without(suspects, documents):
            # Once more: what is just being written must not seem to be gone.
            documents += self._find({"tid": _one_of(gone)})
        return _advanced(replace(cursor, number=last, awaited=awaited), suspects, documents), documents

    def _no_longer_new(self, new: tuple[int, ...]) -> set[int]:
        """Those of the tids seen new that are not new any more."""
        if not new:
            return set()
        if len(new) <= SHORT:
            return self._not_found(new)
        others = new[-1] - new[0] + 1 - len(new)
        if others < len(new):
            # Claimers begin with the smallest tid: fewer have ended in this range than are new.
            return {*self._between(2, new), *self._between(3, new)}.intersection(new)
        return self._not_found(new[:HEAD]) | self._no_longer_new(new[HEAD:])

    def _not_found(self, tids: tuple[int, ...]) -> set[int]:
        return set(tids).difference(self._between(0, tids))

    def _between(self, state: int, tids: tuple[int, ...]) -> list[int]:
        # Not $lte: there is a server that then leaves out the last one, where its index has more fields behind the tid.
        found = self._find({"state": state, "tid": {"$gte": tids[0], "$lt": tids[-1] + 1}}, {"_id": 0, "tid": 1})
        return [document["tid"] for document in found]

    def _late(self, tids: Series) -> set[int]:
        """Trials whose tids were passed over and are there now."""
        return (
            {document["tid"] for document in self._find({"tid": _one_of(tids.gaps)}, {"tid": 1})}
            if tids.gaps
            else set()
        )

    def _find(self, where: Document, fields: Mapping[str, Any] | None = None) -> list[Document]:
        """Documents that other hands have left a tid; ``all`` has the others too, for a warning."""
        found = self.jobs.find({"exp_key": self._exp_key, **where}, fields)
        return [document for document in found if _has_tid(document)]


def _advanced(cursor: Cursor, suspects: Collection[int], documents: Collection[Document]) -> Cursor:
    """The cursor once ``documents`` were delivered: of them, what they say now counts, of the others what is known."""
    running, new, awaited = dict(cursor.running), set(cursor.new), dict(cursor.awaited)
    for tid in suspects:
        running.pop(tid, None)
        new.discard(tid)
    for document in documents:
        tid, state = document["tid"], document.get("state")
        if state == 1:
            running[tid] = _mark(document)
        elif state == 0:
            new.add(tid)
        if tid in awaited and _number(document) >= awaited[tid]:
            del awaited[tid]
    return Cursor(
        running,
        tuple(sorted(new)) if new != set(cursor.new) else cursor.new,
        cursor.tids.and_seen(document["tid"] for document in documents),
        cursor.number,
        dict(sorted(awaited.items(), key=lambda item: item[1])[-KEPT:]),
        _without(suspects, documents),
    )


def _without(tids: Iterable[int], documents: Iterable[Document]) -> frozenset[int]:
    """Those of ``tids`` that none of the documents has."""
    return frozenset(tids).difference(document["tid"] for document in documents if _has_tid(document))


def _mark(document: Document) -> tuple[Any, ...]:
    """What tells one state of a running trial from another."""
    own = document.get("hpcho")
    beat = own.get("beat") if isinstance(own, dict) else None
    return (
        *(document.get(name) for name in ("version", "book_time", "refresh_time")),
        str(document.get("owner")),
        beat,
    )


def _number(document: Document) -> int:
    """The number of the document's last numbered change."""
    own = document.get("hpcho")
    number = own.get("number") if isinstance(own, dict) else None
    return number if isinstance(number, int) else 0


def _has_tid(document: Document) -> bool:
    """Whether other hands have left it a tid."""
    return type(document.get("tid")) is int


def _one_of(numbers: Iterable[int]) -> Document:
    return {"$in": sorted(numbers)}
