"""How commands print: JSON for programs, aligned columns for people."""

from __future__ import annotations

import json
import shutil
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["last_words", "number", "print_json", "say", "seconds", "table", "terminal_width", "warn"]


def say(text: str = "") -> None:
    """A line, or several, of a command's answer."""
    print(text)  # noqa: T201 - printing is what this module is for


def warn(text: str) -> None:
    """What a user should know beside the answer; on stderr, so that --json and pipes stay clean."""
    print(f"hpcho: warning: {text}", file=sys.stderr)  # noqa: T201 - see say


def print_json(document: Any) -> None:
    """One JSON document on stdout, in ASCII: valid whatever the terminal's encoding."""
    say(json.dumps(document, indent=2, allow_nan=False))


def terminal_width() -> int | None:
    """Columns of the terminal that stdout is; None where it is none, and lines may be as long as they are."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def last_words(error: str | None) -> str:
    """What an error says, in one line: the whole of it, or of a traceback the exception at its end."""
    lines = (error or "").strip().splitlines()
    if any(line.startswith("Traceback ") for line in lines):
        after = [i for i, line in enumerate(lines) if line.startswith(("  ", "Traceback "))]
        lines = lines[after[-1] + 1 :] or lines[-1:]
    return " ".join(line.strip() for line in lines)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Aligned columns; one is set flush right when all of its cells are numbers."""
    cells = [list(header), *(list(row) for row in rows)]
    widths = [max(len(cell) for cell in column) for column in zip(*cells, strict=True)]
    right = [bool(rows) and all(_is_number(row[i]) for row in rows) for i in range(len(header))]
    lines = []
    for line in cells:
        columns = zip(line, widths, right, strict=True)
        lines.append("  ".join(cell.rjust(width) if flush else cell.ljust(width) for cell, width, flush in columns))
    return "\n".join(line.rstrip() for line in lines)


def _is_number(cell: str) -> bool:
    try:
        float(cell.rstrip("s"))
    except ValueError:
        return cell in ("", "-")
    return True


def number(value: Any) -> str:
    """A value in a cell: floats with 6 digits, nothing for None."""
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def seconds(value: float | None) -> str:
    """A duration for people: 0.25s, 12.3s, 4m05s, 3h07m."""
    if value is None:
        return ""
    if value < 60:  # noqa: PLR2004 - a minute
        return f"{value:.3g}s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s"
