"""The trials as a table for people, as wide as their terminal."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from hpcho.cli.output import last_words, number, seconds, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcho.report.table import Row

__all__ = ["trial_table"]

BESIDE = 32
"""Columns that an error needs to stand beside its row; with fewer it goes below."""
INDENT = "      "


def trial_table(listed: Sequence[Row], params: Sequence[str], width: int | None) -> str:
    """One row a trial, in at most ``width`` columns; with None each in one line, however long.

    An error is wrapped and never cut: it may say how to mend what was wrong. Params that do not fit are left out, from
    the last one on, and it says so.
    """
    shown = list(params)
    while True:
        lines = _table(listed, shown).splitlines()
        longest = max(map(len, lines))
        if width is None or longest <= width or not shown:
            break
        shown.pop()
    errors = ["error", *(last_words(row.error) for row in listed)]
    beside = width is None or width - longest - 2 >= min(BESIDE, max(map(len, errors)))
    text = [_with_error(line, error, longest + 2 if beside else None, width) for line, error in _pairs(lines, errors)]
    if len(shown) < len(params):
        count = len(params) - len(shown)
        said = (
            f"{count} param{'s do' if count > 1 else ' does'} not fit here: a wider terminal, --json or --csv has more"
        )
        text.append(textwrap.fill(said, width or len(said), break_on_hyphens=False))
    return "\n".join(text)


def _pairs(lines: Sequence[str], errors: Sequence[str]) -> Sequence[tuple[str, str]]:
    return list(zip(lines, errors, strict=True))


def _table(listed: Sequence[Row], params: Sequence[str]) -> str:
    """All but the errors."""
    cells = []
    has_interruptions = any(row.interruptions for row in listed)
    for row in listed:
        line = [str(row.tid), row.state_words, number(row.loss), *(number(row.params.get(name)) for name in params)]
        line += [seconds(row.duration_s), str(row.attempts)]
        line += [row.interrupted] if has_interruptions else []
        cells.append([*line, row.cause or ""])
    interrupted = ["interrupted"] if has_interruptions else []
    return table(["tid", "state", "loss", *params, "time", "tries", *interrupted, "cause"], cells)


def _with_error(line: str, error: str, column: int | None, width: int | None) -> str:
    """The row with its error at ``column``, or below it where that is None."""
    if not error or (column is None and error == "error"):
        return line
    begin = f"{line:<{column}}" if column is not None else f"{line}\n{INDENT}"
    room = None if width is None else width - (column if column is not None else len(INDENT))
    if room is None:
        return begin + error
    indent = " " * column if column is not None else INDENT
    wrapped = textwrap.wrap(error, max(room, 1), break_long_words=False, break_on_hyphens=False)
    return begin + f"\n{indent}".join(wrapped)
