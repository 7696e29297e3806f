"""A Summary and its figures as one HTML file that opens offline.

Everything that comes from a trial is escaped; the page's Content-Security-Policy lets no script run but ours and
nothing be loaded. Figures are images inside the file, so nothing in them can run either.
"""

from __future__ import annotations

import hashlib
import html
import itertools
from base64 import b64encode
from collections import defaultdict
from importlib import resources
from string import Template
from typing import TYPE_CHECKING, Any

from hpcho.report.axis import number, text_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hpcho.report.figures import Picture
    from hpcho.report.summary import CauseCount, Summary
    from hpcho.report.table import Row

__all__ = ["page"]

SVG_BYTES = 1_000_000
"""A figure whose SVG is larger is shown as PNG."""
ROWS = 1000
COLUMNS = 24
"""Parameters in the table."""
ERROR_CHARACTERS = 3000
PLACES = {"scatter3d": "tall", "duration": "", "importance": ""}
"""CSS classes of figures that stand beside others."""


def page(summary: Summary, pictures: Sequence[Picture]) -> str:
    """The whole HTML file."""
    parts = resources.files("hpcho.report")
    style, script = ((parts / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    rows = sorted(summary.rows, key=lambda row: (row.loss is None, row.loss or 0.0, row.tid))[:ROWS]
    names = _columns(summary)
    return Template((parts / "page.html").read_text(encoding="utf-8")).substitute(
        style=style,
        style_hash=_hash(style),
        script=script,
        script_hash=_hash(script),
        title=_text(f"{summary.name}: report"),
        name=_text(summary.name),
        subtitle=_text(_subtitle(summary)),
        cards=_cards(summary),
        best=_best(summary),
        failures=_failures(summary),
        figures="\n".join(map(_figure, pictures)),
        table_note=_text(_table_note(summary, len(rows), len(names))),
        table=_table(rows, names, summary.best),
    )


def _hash(text: str) -> str:
    return f"sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _text(value: Any) -> str:
    """Any text as HTML's; characters that HTML cannot hold are replaced."""
    text = value if isinstance(value, str) else number(value) if isinstance(value, float) else text_of(value)
    return html.escape("".join(c if c >= " " or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text))


def _subtitle(summary: Summary) -> str:
    made = f"as of {summary.made_at}" if summary.made_at else ""
    return " · ".join(part for part in (summary.objective, f"sampler {summary.sampler}", made) if part)


def _cards(summary: Summary) -> str:
    wanted = f" of {summary.wanted}" if summary.wanted else ""
    rate = summary.trials_per_hour
    left = {"running": "trials running", "new": "trials waiting", "cancel": "trials cancelled"}
    cards = [
        ("best loss", number(summary.best.loss) if summary.best and summary.best.loss is not None else "none yet"),
        ("successful trials", f"{summary.ok}{wanted}"),
        ("failed trials", str(summary.failed)),
        ("trials without loss", str(summary.rejected or "")),
        *((name, str(summary.states[state] or "")) for state, name in left.items()),
        ("time that it ran", _seconds(summary.elapsed_s)),
        ("trials per hour", number(rate) if rate is not None else ""),
        ("lost time", f"{summary.wasted_s / summary.spent_s:.0%}" if summary.spent_s else ""),
    ]
    return "".join(
        f'<div class="card"><span class="muted">{_text(name)}</span><b>{_text(value)}</b></div>'
        for name, value in cards
        if value
    )


def _best(summary: Summary) -> str:
    best = summary.best
    if best is None:
        return "<section><h2>Best trial</h2><p>No trial has succeeded yet.</p></section>"
    took = "" if best.duration_s is None else f" · took {_seconds(best.duration_s)}"
    params = "".join(
        f"<div><dt><bdi>{_text(name)}</bdi></dt><dd><bdi>{_text(best.params[name])}</bdi></dd></div>"
        for name in summary.param_names
        if name in best.params
    )
    return (
        f'<section><h2>Best trial</h2><div class="card"><p>#{best.tid} · loss <strong>{_text(best.loss)}</strong>'
        f"{_text(took)}</p><dl>{params}</dl></div></section>"
    )


def _failures(summary: Summary) -> str:
    """Causes with what they cost, those of the infrastructure apart, and the errors, alike ones once."""
    if not summary.causes:
        return ""
    failures = [cause for cause in summary.causes if not cause.is_infrastructure]
    interruptions = [cause for cause in summary.causes if cause.is_infrastructure]
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in summary.rows:
        if row.error and row.state == "error":
            groups[_last_line(row.error)].append(row)
    worst = sorted(groups.items(), key=lambda group: -len(group[1]))[:5]
    errors = "".join(_error(rows[-1].error, f"{len(rows)} \N{MULTIPLICATION SIGN} ") for _, rows in worst)
    return (
        f"<section>{_causes('Failures', failures)}{_causes('Interruptions', interruptions, counts_saved=True)}"
        f'<div class="errors">{errors}</div></section>'
    )


def _causes(title: str, causes: Sequence[CauseCount], *, counts_saved: bool = False) -> str:
    if not causes:
        return ""
    heads = ["trials ended by it", "attempts", *(["with work saved"] if counts_saved else []), "time lost"]
    lines = []
    for cause in causes:
        saved = [cause.saved] if counts_saved else []
        cells = [cause.trials, cause.attempts, *saved, _seconds(cause.wasted_s)]
        numbers = "".join(f'<td class="n">{_text(str(cell))}</td>' for cell in cells)
        lines.append(f"<tr><td>{_text(cause.cause)}</td>{numbers}</tr>")
    head = "<th>cause</th>" + "".join(f'<th class="n">{text}</th>' for text in heads)
    return (
        f'<h2>{title}</h2><div class="wide"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _figure(picture: Picture) -> str:
    svg = picture.files["svg"]
    kind, content = ("png", picture.files["png"]) if len(svg) > SVG_BYTES else ("svg+xml", svg)
    place = PLACES.get(picture.stem, "broad")
    return (
        f'<figure class="{place}"><img alt="{_text(picture.text)}" '
        f'src="data:image/{kind};base64,{b64encode(content).decode()}"></figure>'
    )


def _columns(summary: Summary) -> list[str]:
    """The parameters in the table, as declared; where there are too many, those that matter most."""
    kept = {axis.name for axis in summary.ranked_axes[:COLUMNS]}
    return [name for name in summary.param_names if len(summary.param_names) <= COLUMNS or name in kept]


def _table_note(summary: Summary, rows: int, names: int) -> str:
    shown = f"the {rows} best of {len(summary.rows)} trials" if rows < len(summary.rows) else "all trials, best first"
    params = f", {names} of {len(summary.param_names)} parameters" if names < len(summary.param_names) else ""
    return f"{shown}{params}; trials.csv beside this file holds everything"


def _table(rows: Iterable[Row], names: Sequence[str], best: Row | None) -> str:
    heads = ["trial", "state", "loss", "seconds", "attempts", "interrupted", "cause", *names, "error"]
    head = "".join(f"<th><button><bdi>{_text(name)}</bdi></button></th>" for name in heads)
    lines = []
    for row in rows:
        state = row.state if row.status in (None, "ok") else f"{row.state} ({row.status})"
        plain = (row.tid, state, row.loss, row.duration_s, row.attempts, row.interrupted or None, row.cause)
        cells = [_cell(value) for value in plain]
        cells += ["<td></td>" if name not in row.params else _cell(_shown(row.params[name])) for name in names]
        cells.append(f"<td>{_error(row.error)}</td>" if row.error else "<td></td>")
        mark = ' class="best"' if row is best else ""
        lines.append(f"<tr{mark}>{''.join(cells)}</tr>")
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _cell(value: Any) -> str:
    if value is None:
        return "<td></td>"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f'<td class="n" data-v="{value!r}">{_text(value)}</td>'
    return f"<td><bdi>{_text(value)}</bdi></td>"


def _shown(value: Any) -> Any:
    """A param in its cell: None and structures as text, so that an inactive one alone is empty."""
    return value if isinstance(value, int | float | str) and not isinstance(value, bool) else text_of(value)


def _error(error: str | None, count: str = "") -> str:
    """The error's last line, opening to its traceback (the end of it, where it is long)."""
    error = error or ""
    line, text = _last_line(error), error if len(error) <= ERROR_CHARACTERS else f"…{error[-ERROR_CHARACTERS:]}"
    if line == error.strip():
        return f'<div class="bad">{_text(count + line)}</div>'
    return f'<details><summary class="bad">{_text(count + line)}</summary><pre>{_text(text)}</pre></details>'


def _last_line(error: str) -> str:
    line = next((line.strip() for line in reversed(error.splitlines()) if line.strip()), "no message")
    return line if len(line) <= 200 else f"{line[:199]}…"  # noqa: PLR2004 - as much as a row bears


def _seconds(seconds: float) -> str:
    """A time for people: 3.2 s, 5 min 10 s, 2 h 5 min, 3 days 4 h."""
    units = (("days", 86_400), ("h", 3600), ("min", 60), ("s", 1))
    for (big, size), (small, part) in itertools.pairwise(units):
        if seconds >= size:
            return f"{int(seconds // size)} {big} {int(seconds % size // part)} {small}"
    return f"{number(round(seconds, 2))} s"
