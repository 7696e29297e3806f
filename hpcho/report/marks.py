"""What several figures draw alike: axes on the unit interval, dots, the best trial's star, and notes."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any, TypeVar

from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap

from hpcho.report.axis import Axis, number
from hpcho.report.look import BEST, INK, MUTED, WIDTH, blank, short

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from hpcho.report.summary import Summary
    from hpcho.report.table import Row

__all__ = [
    "COLOURS",
    "colour_bar",
    "dots",
    "dress",
    "empty",
    "inside",
    "jitter",
    "loss_of",
    "note",
    "place",
    "sample",
    "spread",
    "star",
]

T = TypeVar("T")
COLOURS = ListedColormap([colormaps["viridis"](i / 255 * 0.93) for i in range(256)], "loss")
"""Low losses dark, high ones bright: viridis, readable with any colour vision, less its palest yellow."""
EDGE = 0.03


def dress(ax: Axes, x: Axis, y: Axis, *, count: int = 5, wide: float = 6.0) -> None:
    """Ticks, labels and limits for two axes on the unit interval; ``wide`` is the plot's width in inches."""
    ticks = x.ticks(count if x.kind != "categorical" else 8)
    width = max(3, int(wide / max(len(ticks), 1) / 0.075))
    ax.set_xticks([t.at for t in ticks], [short(t.text, width) if x.kind == "categorical" else t.text for t in ticks])
    ticks = y.ticks(5)
    ax.set_yticks([t.at for t in ticks], [t.text for t in ticks])
    ax.set(xlim=(-EDGE, 1 + EDGE), ylim=(-2 * EDGE, 1 + 2 * EDGE))
    ax.set_xlabel(f"{short(x.name, 60)} [{x.unit}]" if x.unit else short(x.name, 60))


def place(axis: Axis, value: Any) -> float:
    """Where a value stands that is known to have a place."""
    at = axis.place(value)
    assert at is not None
    return at


def spread(axis: Axis, row: Row, width: float = 0.6, turn: float = 0.0) -> float | None:
    """Where a trial stands on a parameter's axis, of one category spread sideways; None where it is inactive."""
    at = axis.place(row.params[axis.name]) if axis.name in row.params else None
    if at is None or axis.kind != "categorical":
        return at
    return at + min(width / len(axis.categories), 0.25) * jitter(row.tid, turn)


def jitter(tid: int, turn: float = 0.0) -> float:
    """-0.5..0.5, even over consecutive trials, the same in each drawing."""
    return ((tid * 0.618034 + turn) % 1) - 0.5


def inside(at: float) -> float:
    """The nearest place on the axis."""
    return min(max(at, 0.0), 1.0)


def dots(ax: Axes, spots: Sequence[tuple[float, float]], *, s: float, color: str, alpha: float = 0.5) -> None:
    """Dots; one that lies outside becomes a hollow triangle on the edge, pointing outwards."""
    groups: dict[str, list[tuple[float, float]]] = {}
    for x, y in spots:
        marker = "^" if y > 1 else "v" if y < 0 else ">" if x > 1 else "<" if x < 0 else "o"
        groups.setdefault(marker, []).append((inside(x), inside(y)))
    for marker, group in groups.items():
        xs, ys = zip(*group, strict=True)
        if marker == "o":
            ax.scatter(xs, ys, s=s, color=color, alpha=alpha, linewidth=0)
        else:
            ax.scatter(xs, ys, s=s + 12, marker=marker, facecolor="white", edgecolor=color, linewidth=1)


def star(ax: Axes, x: float, y: float, size: float = 150) -> None:
    """The best trial."""
    ax.scatter([x], [y], marker="*", s=size, color=BEST, edgecolor=INK, linewidth=0.7, zorder=6, clip_on=False)


def colour_bar(figure: Figure, rectangle: tuple[float, float, float, float], loss: Axis) -> None:
    """The key to COLOURS."""
    ticks = loss.ticks(5)
    bar = figure.colorbar(ScalarMappable(cmap=COLOURS), cax=figure.add_axes(rectangle))
    bar.set_ticks([t.at for t in ticks], labels=[t.text for t in ticks])
    bar.outline.set_visible(False)
    bar.ax.set_title("loss", size=8.5, color=MUTED, loc="left")


def empty(title: str, summary: Summary, why: str = "No trial has succeeded yet.") -> Figure:
    """What stands in for a figure that has nothing to show."""
    figure = blank(WIDTH, 2.0, title)
    figure.text(0.5, 0.45, why, ha="center", size=10.5, color=MUTED)
    known = ", ".join(f"{count} {state}" for state, count in summary.states.items() if count) or "none"
    figure.text(0.5, 0.3, f"trials: {known}", ha="center", size=8.5, color=MUTED)
    return figure


def note(summary: Summary, *parts: str, drawn: tuple[int, int] = (0, 0)) -> str:
    """A figure's small print: ``parts``, what was left out (``drawn``: so many of so many), what lies off the axis."""
    notes = [part for part in parts if part]
    if drawn[0] < drawn[1]:
        notes.append(f"{drawn[0]} of {drawn[1]} trials drawn (the best, and evenly of the rest)")
    off = [row.loss for row in summary.usable if row.loss is not None and not 0 <= place(summary.loss, row.loss) <= 1]
    if off:
        furthest = max(off, key=abs)
        what = "1 loss" if len(off) == 1 else f"{len(off)} losses"
        notes.append(f"{what} beyond the axis (up to {number(furthest)}) drawn at its end")
    return " · ".join(notes)


def sample(items: Sequence[T], limit: int, key: Callable[[T], float]) -> list[T]:
    """At most ``limit`` items in their order: the best fifth of that by ``key``, and an even sample of the others."""
    if len(items) <= limit:
        return list(items)
    kept = set(heapq.nsmallest(limit // 5, range(len(items)), key=lambda i: key(items[i])))
    others: Iterable[int] = [i for i in range(len(items)) if i not in kept]
    step = (len(items) - len(kept)) / (limit - len(kept))
    others = list(others)
    kept.update(others[int(k * step)] for k in range(limit - len(kept)))
    return [items[i] for i in sorted(kept)]


def loss_of(row: Row) -> float:
    """The loss of a successful trial."""
    assert row.loss is not None
    return row.loss
