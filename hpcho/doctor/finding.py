"""What a check has found."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from enum import Enum

__all__ = ["Finding", "Level", "failed", "ok", "warning"]


class Level(str, Enum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, how it is, and how to mend it where it is not as it should be."""

    name: str
    level: Level
    words: str
    mend: str = ""

    def at(self, place: str) -> Finding:
        """The same, found on another machine."""
        return replace(self, name=f"{place}: {self.name}")

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Finding:
        """What ``to_json`` gave. Raises ValueError, TypeError or KeyError for anything else."""
        data = json.loads(text)
        return cls(data["name"], Level(data["level"]), data["words"], data["mend"])


def ok(name: str, words: str) -> Finding:
    """It works."""
    return Finding(name, Level.OK, words)


def warning(name: str, words: str, mend: str) -> Finding:
    """It works, or may, and there is something to know."""
    return Finding(name, Level.WARNING, words, mend)


def failed(name: str, words: str, mend: str) -> Finding:
    """It does not work."""
    return Finding(name, Level.FAILED, words, mend)
