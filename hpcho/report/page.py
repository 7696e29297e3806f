"""A Summary as one HTML file that opens offline.

Everything that comes from a trial is data: escaped in the HTML, or in a JSON document that the page's own script shows
as text. The page's Content-Security-Policy lets no script run but ours and nothing be loaded.
"""

from __future__ import annotations

import hashlib
import html
import itertools
import json
from base64 import b64encode
from collections import defaultdict
from importlib import resources
from string import Template
from typing import TYPE_CHECKING, Any

from hpcho.report.axis import number, text_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcho.report.summary import CauseCount, Summary
    from hpcho.report.table import Row

__all__ = ["page"]

ERROR_CHARACTERS = 3000
SCRIPTS = (
    "base",
    "plots",
    "history",
    "parameters",
    "lanes",
    "turning",
    "costs",
    "workers",
    "trial",
    "table",
    "following",
    "main",
)
"""The page's own script, in the order of its parts."""
LIBRARY = "echarts.min.js"


def page(summary: Summary, data: str, *, went: str | None = None, reload_s: float | None = None) -> str:
    """The whole HTML file.

    ``data`` is the ``island``; ``went``: how the run stands, in words; ``reload_s``: the page opens itself again after
    so many seconds.
    """
    parts = resources.files("hpcho.report")
    web = parts / "web"
    style = (web / "page.css").read_text(encoding="utf-8")
    library = (parts / "vendor" / LIBRARY).read_text(encoding="utf-8")
    script = "\n".join((web / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS)
    script = f'"use strict";\n(() => {{\n{script}\n}})();'
    return Template((web / "page.html").read_text(encoding="utf-8")).substitute(
        style=style,
        style_hash=_hash(style),
        library=library,
        library_hash=_hash(library),
        script=script,
        script_hash=_hash(script),
        data=data,
        reload=f"{reload_s:g}" if reload_s else "",
        title=_text(f"{summary.name}: report"),
        name=_text(summary.name),
        subtitle=_text(_subtitle(summary)),
        went=f'<p id="went">{_text(went)}</p>' if went else "",
        cards=_cards(summary),
        best=_best(summary),
        # Where nothing went well, why not is what matters first.
        first_failures="" if summary.usable else _failures(summary),
        last_failures=_failures(summary) if summary.usable else "",
    )


def _hash(text: str) -> str:
    return f"sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _text(value: Any) -> str:
    """Any text as HTML's; characters that HTML cannot hold are replaced."""
    text = value if isinstance(value, str) else number(value) if isinstance(value, float) else text_of(value)
    return html.escape("".join(c if c >= " " or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text))


def _subtitle(summary: Summary) -> str:
    sampler = f"sampler {summary.sampler}" if summary.sampler else ""
    made = f"as of {summary.made_at}" if summary.made_at else ""
    goals = summary.goals
    minimised = "" if goals.is_loss_alone else f"minimises {', '.join(goals.minimise)}"
    parts = (summary.objective, minimised, *map(str, goals.constraints), sampler, made)
    return " · ".join(part for part in parts if part)


def _cards(summary: Summary) -> str:
    wanted = f" of {summary.wanted}" if summary.wanted else ""
    rate = summary.trials_per_hour
    left = {"running": "trials running", "new": "trials waiting", "cancel": "trials cancelled"}
    cards = [
        ("best loss", number(summary.best.loss) if summary.best and summary.best.loss is not None else "none yet"),
        ("trials in the Pareto set", str(len(summary.tradeoff.front)) if summary.goals.are_several else ""),
        ("successful trials", f"{summary.ok}{wanted}"),
        ("pruned among them", str(sum(row.pruned for row in summary.rows) or "")),
        ("infeasible trials", str(sum(row.infeasible for row in summary.rows) or "")),
        ("failed trials", str(summary.failed)),
        ("trials without loss", str(summary.rejected or "")),
        *((name, str(summary.states[state] or "")) for state, name in left.items()),
        ("time that it ran", _seconds(summary.elapsed_s) if summary.elapsed_s else ""),
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
        return f"<h2>Best trial</h2><p>No trial {'is feasible' if summary.usable else 'has succeeded'} yet.</p>"
    took = "" if best.duration_s is None else f" · took {_seconds(best.duration_s)}"
    params = "".join(
        f"<div><dt><bdi>{_text(name)}</bdi></dt><dd><bdi>{_param(best.params[name])}</bdi></dd></div>"
        for name in summary.param_names
        if name in best.params
    )
    values = {name: value for name, value in (best.values or {}).items() if name not in ("loss", "duration_s")}
    more = "".join(f" · <bdi>{_text(name)}</bdi> <strong>{_text(value)}</strong>" for name, value in values.items())
    copied = json.dumps(best.params, ensure_ascii=False, default=str)
    return (
        f'<div class="head"><h2>Best trial</h2><button class="copy" data-copy="{_text(copied)}">Copy params</button>'
        f"</div><p>#{best.tid} · loss <strong>{_text(best.loss)}</strong>{more}{_text(took)}</p>"
        f'<dl tabindex="0">{params}</dl>'
    )


def _param(value: Any) -> str:
    """A param in short, in whole when it is pointed at."""
    shown, exact = _text(value), _text(text_of(value))
    return shown if shown == exact else f'<span title="{exact}">{shown}</span>'


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
        f'<h2>{title}</h2><div class="wide" tabindex="0" role="group" aria-label="{title}"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


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
