"""What lies in the trials' folders: the ends of their logs, and where their attachments are."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from hpcho.store.files import file_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from hpcho.jobdir import JobDir
    from hpcho.report.table import Row
    from hpcho.trial import Trial

__all__ = ["Folders", "as_shown"]

LOGS = ("stdout.log", "stderr.log")
TAIL = 3000
"""Characters of each log's end."""
READ_BYTES = 8 * TAIL
"""So many are read for that: a progress bar leaves much behind of which nothing is seen."""
READ = 600
"""So many trials' logs are read: a cluster's filesystem may take milliseconds for each."""
TOTAL = 1_500_000
"""Characters of all logs together."""


@dataclass(frozen=True)
class Folders:
    """The trials' folders of ``jobdir``, as a page in the folder ``out`` sees them."""

    jobdir: JobDir
    out: Path

    def tails(self, rows: Sequence[Row]) -> dict[int, list[tuple[str, str]]]:
        """tid -> (log's name, its end), of the trials whose logs a reader is likeliest to want, within bounds."""
        tails: dict[int, list[tuple[str, str]]] = {}
        total = 0
        for row in _wanted(rows):
            folder = self.jobdir.trial(row.tid)
            found = [(name, text) for name in LOGS if (text := _tail(folder / name))]
            total += sum(len(text) for _, text in found)
            if total > TOTAL:
                break
            if found:
                tails[row.tid] = found
        return tails

    def attachments(self, trials: Iterable[Trial]) -> dict[int, list[tuple[str, str | None]]]:
        """tid -> (attachment's name, its relative URL, or None where no file lies in the trial's folder)."""
        return {
            trial.tid: [(name, self._url(trial.tid, name)) for name in trial.result.attachments]
            for trial in trials
            if trial.result and trial.result.attachments
        }

    def _url(self, tid: int, name: str) -> str | None:
        path = self.jobdir.trial(tid) / "attachments" / file_name(name)
        if not path.is_file():
            return None
        # It begins with a dot, so that no name can make another scheme of it.
        return f"./{quote(os.path.relpath(path, self.out), errors='surrogateescape')}"


def _wanted(rows: Sequence[Row]) -> list[Row]:
    """The best trial and those that failed or run, newest first; then the others, best first."""

    def rank(row: Row) -> tuple[int, float]:
        if row.state in ("error", "running"):
            return 1, -row.tid
        return (2, row.loss) if row.loss is not None else (3, row.tid)

    ranked = sorted((row for row in rows if row.state != "new"), key=rank)
    best = min((row for row in rows if row.loss is not None), key=lambda row: row.rank, default=None)
    return ([best, *(row for row in ranked if row is not best)] if best else ranked)[:READ]


ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
"""What colours a terminal, moves its cursor or sets its title."""


def as_shown(text: str) -> str:
    """``text`` as a terminal shows it in the end, without colours: of a line that was drawn anew, its last state."""
    lines = ESCAPES.sub("", text).split("\n")
    return "\n".join(_rubbed_out(line.rstrip("\r\b").rpartition("\r")[2]) for line in lines)


def _rubbed_out(line: str) -> str:
    """``line`` without what its backspaces go back over."""
    if "\b" not in line:
        return line
    left: list[str] = []
    for character in line:
        if character != "\b":
            left.append(character)
        elif left:
            left.pop()
    return "".join(left)


def _tail(path: Path) -> str:
    """The end of a log; empty where there is none that can be read."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - READ_BYTES, 0))
            text = as_shown(file.read().decode(errors="replace"))
    except OSError:
        return ""
    return text if len(text) <= TAIL and size <= READ_BYTES else f"…{text[-TAIL:]}"
