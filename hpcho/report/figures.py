"""Figures of a Summary. Each function draws one, whatever the trials are: none, one, all failed, all alike."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from matplotlib.collections import LineCollection

from hpcho.report.axis import Axis, duration_axis
from hpcho.report.importance import LEAST
from hpcho.report.look import BEST, FAILED, HEAD, INK, MAIN, MUTED, PALE, WIDTH, blank, drawing, encode, short
from hpcho.report.marks import (
    COLOURS,
    colour_bar,
    dots,
    dress,
    empty,
    inside,
    jitter,
    loss_of,
    note,
    place,
    sample,
    spread,
    star,
)
from hpcho.report.summary import Step, Summary, choose_pair
from hpcho.trial import FAILURES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from hpcho.report.table import Row

__all__ = ["Picture", "duration", "importance", "parallel", "pictures", "progress", "scatter3d", "slices"]

POINTS = 2000
"""Dots in one plot."""
LINES = 300
STEMS = 200
"""Dots of the 3D figure that stand on a stem; more stems would hide the dots."""
PANELS = 20
"""Parameters on one page of slices."""
PAGES = 6
LANES = 12
"""Parallel axes in one figure."""
BARS = 25
FOOT = -0.16
"""Where inactive parameters are drawn, below or beside an axis that runs from 0 to 1."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawn figure: its file name's stem, what it shows in words, and its files' bytes by format."""

    stem: str
    text: str
    files: dict[str, bytes]


def pictures(
    summary: Summary, axes: tuple[str, str] | None = None, formats: Sequence[str] = ("svg", "png")
) -> Iterator[Picture]:
    """Draw all figures, one after the other. Raises UsageError for ``axes`` that the space does not have."""
    choose_pair(summary, axes)
    draws: list[tuple[str, str, Callable[[], Figure]]] = [
        ("progress", "Best loss so far, over trials and over time", partial(progress, summary)),
        ("scatter3d", "Loss against two parameters", partial(scatter3d, summary, axes)),
        ("importance", "Share of the loss' differences that each parameter explains", partial(importance, summary)),
        ("duration", f"{summary.tradeoff.title}, with the Pareto front", partial(duration, summary)),
        ("parallel", "Parallel coordinates of the parameters, coloured by loss", partial(parallel, summary)),
    ]
    pages = min(PAGES, max(1, math.ceil(len(summary.axes) / PANELS)))
    for page in range(pages):
        stem = "parameters" if pages == 1 else f"parameters-{page + 1}"
        draws.append((stem, "Loss against each parameter", partial(slices, summary, page)))
    for stem, text, draw in draws:
        figure = draw()
        yield Picture(stem, text, {form: encode(figure, form) for form in formats})


@drawing
def progress(summary: Summary) -> Figure:
    """Every trial's loss and the best so far, over ended trials (left) and over time (right), where that is known."""
    title = "Best loss so far"
    if not summary.usable:
        return empty(title, summary)
    failed = sum(step.loss is None for step in summary.steps)
    pruned = "pale: trials that were pruned" if any(row.pruned for row in summary.rows) else ""
    steps = sample(summary.steps, POINTS, key=lambda step: math.inf if step.loss is None else step.loss)
    without = f"\N{MULTIPLICATION SIGN} {failed} trials ended without a loss" if failed else ""
    timed = [step.seconds for step in summary.steps if step.seconds is not None]
    untimed = len(summary.steps) - len(timed)
    timeless = f"left out over time: {untimed} without times" if untimed else ""
    figure = blank(10, 3.9, title, note(summary, without, pruned, timeless, drawn=(len(steps), len(summary.steps))))
    trials = Axis("trials that have ended", "linear", 1, max(len(summary.steps), 2), integer=True)
    time, unit_s = duration_axis(timed, "time since the first trial began", log=False)
    order = {step.tid: i + 1 for i, step in enumerate(summary.steps)}
    left, right = figure.add_axes((0.07, 0.14, 0.43, 0.63)), figure.add_axes((0.55, 0.14, 0.43, 0.63))
    _best_so_far(left, summary, steps, trials, lambda step: order[step.tid])
    _best_so_far(right, summary, steps, time, lambda step: None if step.seconds is None else step.seconds / unit_s)
    left.set_ylabel("loss")
    right.set_yticklabels([])
    return figure


def _best_so_far(
    ax: Axes, summary: Summary, steps: Sequence[Step], x: Axis, value: Callable[[Step], float | None]
) -> None:
    """``steps`` are drawn as dots; those that have no ``value`` are left out."""
    dress(ax, x, summary.loss)
    given_up = {row.tid for row in summary.rows if row.pruned}
    spots = [(step, place(x, at)) for step in steps if (at := value(step)) is not None]
    for is_pruned, alpha in ((True, 0.15), (False, 0.45)):
        shown = [(step.loss, at) for step, at in spots if (step.tid in given_up) is is_pruned]
        ok = [(at, place(summary.loss, loss)) for loss, at in shown if loss is not None]
        dots(ax, ok, s=16, color=MAIN, alpha=alpha)
    failed = [at for step, at in spots if step.loss is None]
    ax.scatter(failed, [1.07] * len(failed), marker="x", s=14, color=FAILED, linewidth=0.9, clip_on=False)
    set_aside = given_up | {row.tid for row in summary.rows if row.infeasible}
    line: list[tuple[float, float]] = []
    least, last = math.inf, 0.0
    for step in summary.steps:
        if (at := value(step)) is None:
            continue
        last = place(x, at)
        if step.loss is not None and step.tid not in set_aside and step.loss < least:
            least = step.loss
            line.append((last, inside(place(summary.loss, least))))
    if not spots:
        ax.text(0.5, 0.5, "no trial has times", transform=ax.transAxes, ha="center", va="center", color=MUTED)
    if not line:
        return  # all have been pruned so far, or none is feasible
    line.append((last, line[-1][1]))
    ax.step(*zip(*line, strict=True), where="post", color=BEST, linewidth=2)
    star(ax, *line[-2])


@drawing
def importance(summary: Summary) -> Figure:
    """Bars: the share of the differences in loss that each parameter explains by itself; whiskers: how sure that is."""
    title = "Importance of the parameters"
    known = [(axis, share) for axis in summary.ranked_axes if (share := summary.shares[axis.name]) is not None]
    bars = known[:BARS]
    if not bars:
        return empty(title, summary, f"This needs {LEAST} successful trials whose losses differ.")
    left_out = len(summary.axes) - len(bars)
    small = "share of the variance of the losses' ranks that a parameter explains by itself, with 90 % confidence"
    height = HEAD + 0.4 + 0.27 * len(bars)
    figure = blank(WIDTH, height, title, small + (f" · {left_out} parameters are not shown" if left_out else ""))
    ax = figure.add_axes((0.32, 0.34 / height, 0.6, 1 - (HEAD + 0.34) / height))
    ax.barh(range(len(bars)), [share.value for _, share in bars], height=0.62, color=MAIN)
    ax.hlines(range(len(bars)), [share.low for _, share in bars], [share.high for _, share in bars], color=INK, lw=1)
    for i, (_, share) in enumerate(bars):
        ax.text(share.high + 0.012, i, f"{share.value:.0%}", va="center", size=8, color=MUTED)
    most = max(max(share.high for _, share in bars) * 1.15, 0.1)
    ticks = Axis("", "linear", 0.0, min(most, 1.0) * 100).ticks(4)
    ax.set_xticks([float(tick.text) / 100 for tick in ticks], [f"{tick.text}%" for tick in ticks])
    ax.set_yticks(range(len(bars)), [short(axis.name, 26) for axis, _ in bars], color=INK)
    ax.set(ylim=(len(bars) - 0.4, -0.6), xlim=(0, most))
    ax.grid(visible=False, axis="y")
    return figure


@drawing
def scatter3d(summary: Summary, axes: tuple[str, str] | None = None) -> Figure:
    """The classic: loss over the plane of two parameters, given by name or else the most important ones."""
    pair = choose_pair(summary, axes)
    title = "Loss against two parameters"
    if pair is None or not summary.usable:
        return empty(title, summary, *([] if pair else ["This needs two parameters that vary."]))
    x, y = pair
    title = f"Loss against {short(x.name, 24)} and {short(y.name, 24)}"
    rows = [row for row in summary.usable if spread(x, row) is not None and spread(y, row) is not None]
    if not rows:
        return empty(title, summary, "The two were never active in one successful trial.")
    chosen = sample(rows, POINTS, key=loss_of)
    left_out = len(summary.usable) - len(rows)
    without = f"left out: {left_out} trials in which not both are active" if left_out else ""
    figure = blank(WIDTH, 6.0, title, note(summary, without, drawn=(len(chosen), len(rows))))
    ax: Any = figure.add_axes((-0.09, -0.04, 1.08, 0.98), projection="3d", computed_zorder=False)
    _dress_3d(ax, x, y, summary.loss)
    xs = [inside(spread(x, row, 0.3) or 0.0) for row in chosen]
    ys = [inside(spread(y, row, 0.3, turn=0.5) or 0.0) for row in chosen]
    zs = [inside(place(summary.loss, row.loss)) for row in chosen]
    for a, b, c in list(zip(xs, ys, zs, strict=True))[:STEMS]:
        ax.plot((a, a), (b, b), (0, c), color="#aab4c0", linewidth=0.5, zorder=1)
    ax.scatter(xs, ys, zs, c=zs, cmap=COLOURS, vmin=0, vmax=1, s=30, alpha=0.95, linewidth=0, zorder=2)
    for i in (i for i, row in enumerate(chosen) if row is summary.best):
        ax.scatter(xs[i], ys[i], zs[i], marker="*", s=240, color=BEST, edgecolor=INK, linewidth=0.7, zorder=3)
    return figure


def _dress_3d(ax: Any, x: Axis, y: Axis, z: Axis) -> None:
    for axis, side in ((x, ax.xaxis), (y, ax.yaxis), (z, ax.zaxis)):
        ticks = axis.ticks(5 if axis.kind != "categorical" else 8)
        side.set_ticks([tick.at for tick in ticks], [short(tick.text, 12) for tick in ticks])
        side.set_label_text(short(axis.name, 24), color=INK)
        side.labelpad = 8 if side is not ax.zaxis else 2
        side.set_pane_color(PALE)
    ax.set(xlim=(0, 1), ylim=(0, 1), zlim=(0, 1))
    ax.view_init(elev=22, azim=-56)
    ax.set_box_aspect((1, 1, 0.82), zoom=0.95)


@drawing
def duration(summary: Summary) -> Figure:
    """Loss against the last attempt's duration, or what is minimised, and the Pareto front: what is had for what."""
    traded = summary.tradeoff
    rows = [row for row in summary.usable if row.tid in traded.places]
    if not rows:
        return empty(traded.title, summary)
    chosen = sample(rows, POINTS, key=loss_of)
    (across, x_unit), (up, y_unit) = traded.axis(traded.across), traded.axis(traded.up)
    up = summary.loss if traded.up == "loss" else up
    front = f"{'line' if traded.is_line else 'orange'}: the Pareto front (no other trial is better in all)"
    figure = blank(WIDTH, 3.9, traded.title, note(summary, front, drawn=(len(chosen), len(rows))))
    ax = figure.add_axes((0.12, 0.13, 0.85, 0.64))
    dress(ax, across, up, wide=4.5)
    ax.set_ylabel(traded.up)
    spots = {tid: (place(across, x / x_unit), place(up, y / y_unit)) for tid, (x, y) in traded.places.items()}
    for rejected, colour in ((True, MUTED), (False, MAIN)):
        dots(ax, [spots[row.tid] for row in chosen if row.infeasible is rejected], s=20, color=colour)
    line = [(inside(spots[tid][0]), inside(spots[tid][1])) for tid in traded.front]
    xs, ys = zip(*line, strict=True) if line else ((), ())
    if traded.is_line:
        ax.step(xs, ys, where="post", color=BEST, linewidth=1.6)
    ax.scatter(xs, ys, s=38, color=BEST, edgecolor=INK, linewidth=0.6, zorder=4)
    free = math.inf
    for tid, spot in list(zip(traded.front, line, strict=True))[::-1]:
        if abs(spot[1] - free) > 0.07:  # noqa: PLR2004 - the height of a line of text
            free = spot[1]
            ax.annotate(f"#{tid}", spot, (5, 6), textcoords="offset points", size=8, color=INK)
    return figure


@drawing
def slices(summary: Summary, page: int = 0) -> Figure:
    """Loss against each parameter, most important first, PANELS a page; failed trials as marks above."""
    title = "Loss against each parameter"
    ranked = summary.ranked_axes
    shown = ranked[page * PANELS : (page + 1) * PANELS]
    if not shown or not summary.usable:
        return empty(title, summary, *([] if shown else ["No parameter varies."]))
    failures = {cause.value for cause in FAILURES}
    failed = [row for row in summary.rows if row.state == "error" and row.cause in failures]
    rows = sample(summary.usable, POINTS // (1 if len(shown) <= 4 else 4), key=loss_of)  # noqa: PLR2004 - one line
    first = page * PANELS + 1
    which = f"parameters {first} to {first + len(shown) - 1} of {len(ranked)}, most important first"
    crosses = "\N{MULTIPLICATION SIGN} failed trials" if failed else ""
    shares = "percentages: see importance" if any(summary.importance[a.name] is not None for a in shown) else ""
    columns, lines = min(len(shown), 4), math.ceil(len(shown) / 4)
    across, down = 2.4 if columns > 1 else 4.5, 2.15 if columns > 1 else 3.0
    width, height = 0.7 + across * columns, HEAD + down * lines
    small = note(
        summary, which if len(ranked) > PANELS else "", crosses, shares, drawn=(len(rows), len(summary.usable))
    )
    figure = blank(width, height, title, small)
    for i, axis in enumerate(shown):
        line, column = divmod(i, columns)
        corner = (0.6 + column * across, height - HEAD - (line + 1) * down + 0.38)
        size = (across - 0.22, down - 0.78)
        ax = figure.add_axes((corner[0] / width, corner[1] / height, size[0] / width, size[1] / height))
        _slice(ax, summary, axis, rows, sample(failed, POINTS // 4, key=lambda row: row.tid), size[0])
        if column:
            ax.set_yticklabels([])
    return figure


def _slice(ax: Axes, summary: Summary, axis: Axis, rows: Sequence[Row], failed: Sequence[Row], wide: float) -> None:
    dress(ax, axis, summary.loss, wide=wide)
    ax.set_xlabel("")
    share = summary.importance[axis.name]
    ax.set_title(short(axis.name, 26 if share is None else 22), loc="left", size=9.5, pad=9)
    if share is not None:
        ax.set_title(f"{share:.0%}", loc="right", size=8.5, color=MUTED, pad=9)
    active = [(at, place(summary.loss, row.loss)) for row in rows if (at := spread(axis, row)) is not None]
    dots(ax, active, s=11, color=MAIN)
    marks = [inside(at) for row in failed if (at := spread(axis, row)) is not None]
    ax.scatter(marks, [1.1] * len(marks), marker="x", s=11, color=FAILED, linewidth=0.8, clip_on=False)
    best = spread(axis, summary.best) if summary.best else None
    if summary.best and best is not None:
        star(ax, inside(best), inside(place(summary.loss, summary.best.loss)), size=90)
    inactive = [row for row in rows if axis.name not in row.params]
    if inactive:
        _inactive_strip(ax, summary, inactive)


def _inactive_strip(ax: Axes, summary: Summary, rows: Sequence[Row]) -> None:
    """Trials without the parameter, on a band of their own beside the axis."""
    ax.axvspan(FOOT - 0.09, FOOT + 0.09, color=PALE, linewidth=0, zorder=0)
    ax.set_xlim(FOOT - 0.09, 1.03)
    ax.text(0, -0.19, "inactive", transform=ax.transAxes, size=7, color=MUTED, va="top")
    xs = [FOOT + 0.12 * jitter(row.tid) for row in rows]
    ys = [inside(place(summary.loss, row.loss)) for row in rows]
    ax.scatter(xs, ys, s=8, color=MUTED, alpha=0.5, linewidth=0)


@drawing
def parallel(summary: Summary) -> Figure:
    """A line a trial across the parameters' axes to its loss; through the band at the foot where one is inactive."""
    title = "Parallel coordinates"
    lanes = [*summary.ranked_axes[:LANES], summary.loss]
    if not summary.usable or len(lanes) == 1:
        return empty(title, summary, *([] if not summary.usable else ["No parameter varies."]))
    rows = sample(summary.usable, LINES, key=loss_of)
    more = len(summary.axes) - LANES
    which = f"the {LANES} most important of {len(summary.axes)} parameters" if more > 0 else ""
    width = min(max(7.2, 1.15 * len(lanes) + 1.3), 14)
    small = note(summary, which, "a line is a trial, its colour the loss", drawn=(len(rows), len(summary.usable)))
    figure = blank(width, 5.2, title, small)
    ax = figure.add_axes((0.75 / width, 0.04, 1 - 2.0 / width, 0.7))
    paths = [[(i, _height(lane, summary, row)) for i, lane in enumerate(lanes)] for row in rows]
    ordered = sorted(zip(rows, paths, strict=True), key=lambda entry: loss_of(entry[0]), reverse=True)
    colours = [COLOURS(inside(place(summary.loss, row.loss))) for row, _ in ordered]
    ax.add_collection(LineCollection([path for _, path in ordered], colors=colours, linewidths=1.0, alpha=0.65))
    if summary.best is not None:
        best = [(i, _height(lane, summary, summary.best)) for i, lane in enumerate(lanes)]
        ax.plot(*zip(*best, strict=True), color=BEST, linewidth=2.2)
        star(ax, *best[-1])
    _lanes(ax, lanes, (width - 2.0) / (len(lanes) - 1))
    if any(axis.name not in row.params for axis in lanes[:-1] for row in rows):
        ax.axhspan(FOOT - 0.05, FOOT + 0.05, color=PALE, linewidth=0, zorder=0)
        ax.text(-0.06, FOOT, "inactive", size=8, color=MUTED, ha="right", va="center")
    colour_bar(figure, (1 - 0.75 / width, 0.2, 0.14 / width, 0.45), summary.loss)
    return figure


def _height(lane: Axis, summary: Summary, row: Row) -> float:
    """Where a trial's line crosses a lane."""
    if lane is summary.loss:
        return inside(place(lane, row.loss))
    at = spread(lane, row, 0.4)
    return FOOT + 0.07 * jitter(row.tid) if at is None else inside(at)


def _lanes(ax: Axes, lanes: Sequence[Axis], wide: float) -> None:
    """The parallel axes with their ticks and, slanted above, their names; ``wide`` inches lie between two."""
    ax.set_axis_off()
    ax.set(xlim=(-0.06, len(lanes) - 0.94), ylim=(FOOT - 0.06, 1.04))
    for i, lane in enumerate(lanes):
        ax.plot((i, i), (0, 1), color="#98a2ae", linewidth=1, zorder=1.5)
        ax.text(i, 1.05, short(lane.name, 22), size=9, weight="bold", rotation=20, ha="left", va="bottom")
        for tick in lane.ticks(6 if lane.kind != "categorical" else 10):
            text = short(tick.text, max(4, int(wide / 0.085)))
            halo = {"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 0.6}
            ax.text(i + 0.03, tick.at, text, size=7.5, color=INK, va="center", bbox=halo, zorder=5)
