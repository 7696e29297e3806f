"""The lease on a managed server's data: at most one process, on any machine, serves them.

    lease-7/holder.json     who holds it, how often it has beaten, and the server it has started

Taking the lease is a rename: a folder with the next number is put in place, which fails where another process has just
done so, on network file systems too (locks do not work on all of them). A holder of this host is judged by its process:
the lease of one that was killed is free at once. Another host's is judged by its counter, which must stand still for
LEASE_S by the clock of the one that waits. Numbers are never used again: a holder that was stopped for long finds a
higher one, and goes.
"""

from __future__ import annotations

import contextlib
import json
import logging
import secrets
import shutil
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from hpcho.jobdir import write_atomically
from hpcho.trial import Owner

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["LEASE_S", "TAKEN", "Holder", "Lease", "LeaseLost", "read"]

log = logging.getLogger(__name__)

BEAT_S = 2.0
LEASE_S = 20.0
TAKEN = 4
"""What a process that wanted the lease and did not get it exits with."""

PREFIX = "lease-"
FILE = "holder.json"
UNKNOWN = Owner("an unknown host", 0)
"""Whoever wrote a lease that cannot be read: judged by whether it changes, like another host's."""


class LeaseLost(Exception):
    """Another process serves the data by now."""


@dataclass(frozen=True)
class Holder:
    """Who holds, or held, the lease with this ``number``. ``server`` is the database's own process."""

    number: int
    owner: Owner
    beat: int = 0
    server: Owner | None = None
    has_left: bool = False

    @property
    def is_here(self) -> bool:
        """Whether it is a process of this host."""
        return self.owner.host == Owner.here().host

    @property
    def may_live(self) -> bool:
        """Whether it may hold the lease still. Of another host's process nobody here can tell at once."""
        return not self.has_left and (not self.is_here or self.owner.is_alive_here())

    @property
    def may_serve(self) -> bool:
        """Whether its server may be up. Of another host's process nobody here can tell."""
        return self.may_live and (not self.is_here or (self.server is not None and self.server.is_alive_here()))

    def to_json(self) -> dict[str, Any]:
        """Plain data, but for the number, which stands in the folder's name."""
        server = self.server.to_json() if self.server else None
        return {"owner": self.owner.to_json(), "beat": self.beat, "server": server, "has_left": self.has_left}

    @classmethod
    def from_json(cls, number: int, data: Mapping[str, Any]) -> Holder:
        """The holder that ``to_json`` gave."""
        server = Owner.from_json(data["server"]) if data["server"] else None
        return cls(number, Owner.from_json(data["owner"]), data["beat"], server, data["has_left"])


def read(place: Path) -> Holder | None:
    """The last holder of the lease on ``place``; None where there was none yet."""
    number = _highest(place)
    if number == 0:
        return None
    try:
        return Holder.from_json(number, json.loads((place / f"{PREFIX}{number}" / FILE).read_text(encoding="utf-8")))
    except FileNotFoundError:
        later = _highest(place)
        return read(place) if later > number else Holder(number, UNKNOWN)
    except (ValueError, KeyError, TypeError):
        return Holder(number, UNKNOWN)


@dataclass
class Lease:
    """A process's hold on ``place``, a folder that is there."""

    place: Path
    holder: Holder | None = None
    """What stands in the lease; None while this process has none."""
    earlier: Holder | None = None
    """Whom it was taken from."""
    _beaten_at: float = field(default=0.0, repr=False)

    def take(self, patience_s: float = LEASE_S) -> Holder | None:
        """Take the lease, and wait up to ``patience_s`` for another host's holder to show no life.

        Returns who holds it: this process, or the one that had it or was faster.
        """
        seen = read(self.place)
        deadline = time.monotonic() + patience_s
        while seen is not None and seen.may_live:
            if seen.is_here:
                return seen
            time.sleep(min(BEAT_S / 4, patience_s))
            now = read(self.place)
            if now != seen:
                seen, deadline = now, 0.0
                if seen is not None and seen.may_live:
                    return seen
                continue
            if time.monotonic() >= deadline:
                log.warning("the lease of %s (%s) has stood still for %g s: taking it", seen.owner, self.place, LEASE_S)
                break
        self.earlier = seen
        return self._put_in_place(Holder((seen.number if seen else 0) + 1, Owner.here()))

    def beat(self, server: Owner | None = None) -> None:
        """Show life, at most every BEAT_S but when ``server`` is news. Raises LeaseLost."""
        assert self.holder is not None
        now = time.monotonic()
        news = server is not None and server != self.holder.server
        if now - self._beaten_at < BEAT_S and not news:
            return
        self._write(replace(self.holder, beat=self.holder.beat + 1, server=server or self.holder.server))
        self._beaten_at = now

    def leave(self) -> None:
        """Give the lease up; harmless when it is not held."""
        if self.holder is not None:
            with contextlib.suppress(LeaseLost):
                self._write(replace(self.holder, has_left=True))
            self.holder = None

    def _put_in_place(self, mine: Holder) -> Holder | None:
        draft = self.place / f".{PREFIX}{secrets.token_hex(8)}"
        draft.mkdir(mode=0o700)
        write_atomically(draft / FILE, json.dumps(mine.to_json()))
        try:
            # A folder is renamed onto another only where that is empty.
            draft.rename(self.place / f"{PREFIX}{mine.number}")
        except OSError:
            shutil.rmtree(draft, ignore_errors=True)
            return read(self.place)
        if _highest(self.place) != mine.number:  # this number was another's long ago
            shutil.rmtree(self.place / f"{PREFIX}{mine.number}", ignore_errors=True)
            return read(self.place)
        for number in _numbers(self.place):
            if number < mine.number:
                shutil.rmtree(self.place / f"{PREFIX}{number}", ignore_errors=True)
        self.holder, self._beaten_at = mine, time.monotonic()
        return mine

    def _write(self, holder: Holder) -> None:
        if _highest(self.place) != holder.number:
            self.holder = None
            raise LeaseLost(f"another process serves {self.place} by now")
        try:
            write_atomically(self.place / f"{PREFIX}{holder.number}" / FILE, json.dumps(holder.to_json()))
        except FileNotFoundError:
            self.holder = None
            raise LeaseLost(f"the lease on {self.place} is gone") from None
        except OSError as error:
            # A full disk is no reason to leave. Were it to stand still for long, another host might take it.
            log.warning("the lease on %s cannot be renewed: %s", self.place, error)
        self.holder = holder


def _numbers(place: Path) -> list[int]:
    try:
        names = [entry.name for entry in place.iterdir()]
    except FileNotFoundError:
        return []
    return [int(name[len(PREFIX) :]) for name in names if name.startswith(PREFIX) and name[len(PREFIX) :].isdecimal()]


def _highest(place: Path) -> int:
    return max(_numbers(place), default=0)
