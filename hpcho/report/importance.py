"""How much of the differences in loss each parameter explains by itself."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from hpcho.report.axis import Axis, text_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["LEAST", "importances"]

LEAST = 10
"""Fewer successful trials than this say nothing."""
BINS = 8
"""Numbers are cut into at most so many bins."""


def importances(axes: Sequence[Axis], points: Sequence[tuple[Mapping[str, Any], float]]) -> dict[str, float | None]:
    """For each axis the share (0..1) of the variance of the losses' ranks that its parameter explains.

    ``points`` are params and losses of successful trials. The measure is the correlation ratio, corrected for chance:
    Kelley's epsilon squared (T. L. Kelley, "An unbiased correlation ratio measure", PNAS 21, 1935), over bins with
    equally many trials, or over categories. Ranks make it indifferent to outliers and to the loss' scale. A parameter
    that is active in some trials only is judged among these, and its share counts as much of the whole as they do.

    Limits: only what a parameter does alone is seen, interactions are not; it speaks of the region that was tried, and
    a sampler that has settled on good values no longer varies them. None: too few trials, or all losses are equal.
    """
    ranks = _ranks([loss for _, loss in points])
    total = sum((rank - (len(ranks) + 1) / 2) ** 2 for rank in ranks)
    if len(points) < LEAST or not total:
        return {axis.name: None for axis in axes}
    return {axis.name: _share(axis, points, ranks, total) for axis in axes}


def _share(
    axis: Axis, points: Sequence[tuple[Mapping[str, Any], float]], ranks: Sequence[float], total: float
) -> float | None:
    active = [
        (params[axis.name], rank)
        for (params, _), rank in zip(points, ranks, strict=True)
        if axis.name in params and axis.place(params[axis.name]) is not None
    ]
    if len(active) < LEAST:
        return None
    groups = defaultdict(list)
    for group, (_, rank) in zip(_groups(axis, [value for value, _ in active]), active, strict=True):
        groups[group].append(rank)
    if len(groups) < 2 or len(active) <= len(groups):  # noqa: PLR2004 - one group explains nothing
        return 0.0
    mean = sum(rank for _, rank in active) / len(active)
    between = sum(len(g) * (sum(g) / len(g) - mean) ** 2 for g in groups.values())
    within = sum((rank - sum(g) / len(g)) ** 2 for g in groups.values() for rank in g)
    chance = (len(groups) - 1) * within / (len(active) - len(groups))
    return min(max((between - chance) / total, 0.0), 1.0)


def _groups(axis: Axis, values: Sequence[Any]) -> list[Any]:
    """A bin for each value; equal values share one."""
    if axis.kind == "categorical":
        return [text_of(value) for value in values]
    bins = max(3, min(BINS, len(values) // 8))
    return [int((rank - 0.5) / len(values) * bins) for rank in _ranks(values)]


def _ranks(values: Sequence[float]) -> list[float]:
    """1 for the least; equal values share the mean of their ranks."""
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end < len(order) and values[order[end]] == values[order[start]]:
            end += 1
        for i in order[start:end]:
            ranks[i] = (start + 1 + end) / 2
        start = end
    return ranks
