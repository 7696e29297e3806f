"""A Summary as the plain data that the page's own script draws from: one JSON document, in columns to be small."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from hpcho.report.axis import real, text_of
from hpcho.report.table import number_names

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence

    from hpcho.report.axis import Axis
    from hpcho.report.files import Folders
    from hpcho.report.summary import Summary
    from hpcho.report.table import Row
    from hpcho.trial import Report, Trial

__all__ = ["island"]

ERROR_CHARACTERS = 3000
ERRORS = 1_500_000
"""Characters of all errors together."""
CURVES = 400
"""Trials whose learning curves are in the page, the best and evenly of the rest."""
CURVE_POINTS = 120
VALUES = 200_000
"""Numbers among the params; where there are more, they are rounded to 6 digits."""
TEXT = 500
"""Characters of a param's value."""

T = TypeVar("T", bound="Hashable")


class Numbered(Generic[T]):
    """Different things, each with a number."""

    def __init__(self) -> None:
        self.known: dict[T, int] = {}

    def __call__(self, thing: T) -> int:
        return self.known.setdefault(thing, len(self.known))


def island(summary: Summary, trials: Sequence[Trial], folders: Folders | None, pair: tuple[str, str] | None) -> str:
    """The document, safe inside a ``<script type="application/json">``: nothing in it can end that element.

    ``trials`` are those of ``summary``. A trial is spoken of by its place in ``summary.rows``. Half a surrogate pair
    stands there as it is, to be written as JSON writes it (``errors="backslashreplace"``).
    """
    places = {row.tid: i for i, row in enumerate(summary.rows)}
    known = {
        "name": summary.name,
        "best": places[summary.best.tid] if summary.best else None,
        "gpus": summary.gpus,
        "loss": _axis(summary.loss),
        "axes": [_axis(axis) | _share(summary, axis) for axis in summary.ranked_axes],
        "pair": pair or summary.pair,
        "tradeoff": _tradeoff(summary, places),
        "numbers": [
            {"name": name, "values": [row.numbers[name] for row in summary.rows]} for name in number_names(summary.rows)
        ],
        "trials": _trials(summary.rows),
        "pruned": [places[row.tid] for row in summary.rows if row.pruned],
        "parents": {places[row.tid]: places[row.parent] for row in summary.rows if row.parent in places},
        "params": _params(summary),
        "steps": _steps(summary, places),
        "timeline": _timeline(summary, places),
        "causes": [
            [cause.cause, cause.wasted_s, cause.attempts, cause.saved, cause.is_infrastructure]
            for cause in summary.causes
        ],
        "curves": _curves(summary, trials, places),
        "logs": {places[tid]: found for tid, found in folders.tails(summary.rows).items()} if folders else {},
        "files": {places[tid]: found for tid, found in _files(trials, folders).items()},
    }
    text = json.dumps(known, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return (
        text.replace("<", "\\u003c").replace(">", "\\u003e").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    )


def _files(trials: Sequence[Trial], folders: Folders | None) -> Mapping[int, Sequence[tuple[str, str | None]]]:
    if folders:
        return folders.attachments(trials)
    return {t.tid: [(name, None) for name in t.result.attachments] for t in trials if t.result and t.result.attachments}


def _axis(axis: Axis) -> dict[str, Any]:
    return {
        "name": axis.name,
        "kind": axis.kind,
        "low": axis.low,
        "high": axis.high,
        "categories": axis.categories,
        "ticks": [[round(tick.at, 5), tick.text] for tick in axis.ticks(5 if axis.kind != "categorical" else 10)],
    }


def _tradeoff(summary: Summary, places: Mapping[int, int]) -> dict[str, Any]:
    """Two numbers of trials, drawn against each other."""
    traded = summary.tradeoff
    return {
        "title": traded.title,
        "across": traded.across,
        "up": traded.up,
        "trial": [places[tid] for tid in traded.places],
        "xs": [_short(x) for x, _ in traded.places.values()],
        "ys": [_short(y) for _, y in traded.places.values()],
        "front": [places[tid] for tid in traded.front],
        "line": traded.is_line,
    }


def _share(summary: Summary, axis: Axis) -> dict[str, Any]:
    share = summary.shares[axis.name]
    return {"share": [round(x, 4) for x in (share.value, share.low, share.high)] if share else None}


def _trials(rows: Sequence[Row]) -> dict[str, Any]:
    errors: Numbered[str] = Numbered()
    left = ERRORS
    which: list[int | None] = []
    for row in rows:
        error = (
            row.error if not row.error or len(row.error) <= ERROR_CHARACTERS else f"…{row.error[-ERROR_CHARACTERS:]}"
        )
        if error and error not in errors.known:
            # Where errors differ too much to be kept whole, their ends are.
            error = error if len(error) <= left else f"…{error[-200:]}"
            left -= len(error)
        which.append(errors(error) if error else None)
    return {
        "tid": [row.tid for row in rows],
        "state": [row.state_words for row in rows],
        "infeasible": [int(row.infeasible) for row in rows],
        "loss": [row.loss for row in rows],
        "seconds": [_short(row.duration_s) for row in rows],
        "attempts": [row.attempts for row in rows],
        "interrupted": [row.interrupted for row in rows],
        "cause": [row.cause for row in rows],
        "owner": [row.owner for row in rows],
        "started": [row.started for row in rows],
        "finished": [row.finished for row in rows],
        "error": which,
        "errors": list(errors.known),
    }


def _params(summary: Summary) -> list[dict[str, Any]]:
    """For each name a column: numbers as they are, all else as places in a list of texts; null where inactive."""
    rows, names = summary.rows, summary.param_names
    is_rounded = len(rows) * len(names) > VALUES
    axes = {axis.name: axis for axis in summary.axes}
    return [
        _column(name, [row.params.get(name, _column) for row in rows], axes.get(name), is_rounded) for name in names
    ]


def _column(name: str, values: Sequence[Any], axis: Axis | None, is_rounded: bool) -> dict[str, Any]:
    """``values`` of one param; this function itself stands for an inactive one."""
    texts: Numbered[str] = Numbered()
    is_categorical = axis is not None and axis.kind == "categorical"
    if not is_categorical and all(value is _column or real(value) is not None for value in values):
        numbers = [None if value is _column else value for value in values]
        return {"name": name, "values": [_short(value) for value in numbers] if is_rounded else numbers}
    for text in axis.categories if axis else ():
        texts(text)
    places = [None if value is _column else texts(text_of(value)) for value in values]
    return {
        "name": name,
        "values": places,
        "texts": [text if len(text) <= TEXT else f"{text[:TEXT]}…" for text in texts.known],
    }


def _short(value: float | None) -> float | None:
    return value if value is None or isinstance(value, int) else float(f"{value:.6g}")


def _steps(summary: Summary, places: Mapping[int, int]) -> dict[str, Any]:
    """Ends in their order: which trial, seconds since the start, and seconds of work until then; None: not known."""
    busy = summary.timeline.busy_s()
    work: list[float | None] = []
    at = 0
    for step in summary.steps:
        if step.seconds is None:
            work.append(None)
            continue
        while at + 1 < len(busy) and busy[at + 1][0] <= step.seconds:
            at += 1
        work.append(round(busy[at][1], 3) if busy else 0.0)
    return {
        "trial": [places[step.tid] for step in summary.steps],
        "seconds": [None if step.seconds is None else round(step.seconds, 3) for step in summary.steps],
        "work": work,
    }


def _timeline(summary: Summary, places: Mapping[int, int]) -> dict[str, Any]:
    line = summary.timeline
    workers = {worker: i for i, worker in enumerate(line.workers)}
    return {
        "began": line.began_at,
        "workers": line.workers,
        "untimed": line.untimed,
        "trial": [places[span.tid] for span in line.spans],
        "worker": [workers[span.worker] for span in line.spans],
        "start": [round(span.start, 3) for span in line.spans],
        "end": [round(span.end, 3) for span in line.spans],
        "outcome": [span.outcome for span in line.spans],
        "saved": [int(span.saved) for span in line.spans],
    }


def _curves(summary: Summary, trials: Sequence[Trial], places: Mapping[int, int]) -> list[dict[str, Any]]:
    """Reported losses by step, of the best trials and an even sample of the others."""
    losses = {row.tid: row.loss for row in summary.rows}
    told = [trial for trial in trials if trial.reports]
    told.sort(key=lambda t: (losses[t.tid] is None, losses[t.tid] or 0.0, t.tid))
    best, rest = told[: CURVES // 2], told[CURVES // 2 :]
    every = max(len(rest) // (CURVES // 2), 1)
    chosen = [*best, *rest[::every][: CURVES // 2]]
    return [{"trial": places[trial.tid], "points": _thin(trial.reports)} for trial in chosen]


def _thin(reports: Iterable[Report]) -> list[tuple[int, float]]:
    """At most CURVE_POINTS of the reports, the last among them; of a step told twice the later one."""
    by_step = {report.step: loss for report in reports if (loss := real(report.loss)) is not None}
    points = [(step, float(f"{loss:.6g}")) for step, loss in sorted(by_step.items())]
    every = -(-len(points) // CURVE_POINTS) or 1
    return points[::-1][::every][::-1]
