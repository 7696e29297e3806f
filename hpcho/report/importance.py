"""How much of the differences in loss each parameter explains by itself, and how sure that is."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpcho.report.axis import Axis, text_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["LEAST", "Share", "importances"]

LEAST = 10
"""Fewer successful trials than this say nothing."""
BINS = 8
"""Numbers are cut into at most so many bins."""
FOLDS = 20
"""The jackknife leaves out one part of so many at a time."""
SURE = 1.645
"""Standard errors on each side of what holds with 90 % confidence."""


@dataclass(frozen=True, slots=True)
class Share:
    """A share of the variance (0..1), and the ends of its 90 % confidence interval."""

    value: float
    low: float
    high: float


def importances(axes: Sequence[Axis], points: Sequence[tuple[Mapping[str, Any], float]]) -> dict[str, Share | None]:
    """For each axis the share (0..1) of the variance of the losses' ranks that its parameter explains.

    ``points`` are params and losses of successful trials. The measure is the correlation ratio, corrected for chance:
    Kelley's epsilon squared (T. L. Kelley, "An unbiased correlation ratio measure", PNAS 21, 1935), over bins with
    equally many trials, or over categories. Ranks make it indifferent to outliers and to the loss' scale. A parameter
    that is active in some trials only is judged among these, and its share counts as much of the whole as they do.

    The confidence interval is the jackknife's over FOLDS parts of the trials, with each parameter's bins as they are.

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
) -> Share | None:
    active = [
        (params[axis.name], rank)
        for (params, _), rank in zip(points, ranks, strict=True)
        if axis.name in params and axis.place(params[axis.name]) is not None
    ]
    if len(active) < LEAST:
        return None
    # Each group's parts: how many ranks, their sum, and the sum of their squares.
    groups: dict[Any, list[Part]] = defaultdict(lambda: [(0, 0.0, 0.0)] * FOLDS)
    middle = (len(ranks) + 1) / 2
    for i, (group, (_, rank)) in enumerate(zip(_groups(axis, [value for value, _ in active]), active, strict=True)):
        count, added, squares = groups[group][i % FOLDS]
        groups[group][i % FOLDS] = (count + 1, added + rank - middle, squares + (rank - middle) ** 2)
    value = _explained([_sum(parts) for parts in groups.values()], total)
    folds = min(FOLDS, len(active))
    of_active = sum((rank - middle) ** 2 for _, rank in active) or 1.0
    without = []
    for fold in range(folds):
        rest = [_sum(parts[:fold] + parts[fold + 1 :]) for parts in groups.values()]
        without.append(_explained(rest, total * sum(squares for _, _, squares in rest) / of_active))
    mean = sum(without) / folds
    error = math.sqrt((folds - 1) / folds * sum((x - mean) ** 2 for x in without))
    return Share(value, max(value - SURE * error, 0.0), min(value + SURE * error, 1.0))


Part = tuple[int, float, float]


def _sum(parts: Sequence[Part]) -> Part:
    return sum(part[0] for part in parts), sum(part[1] for part in parts), sum(part[2] for part in parts)


def _explained(groups: Sequence[Part], total: float) -> float:
    """Kelley's share of ``total``, the ranks' sum of squares, for groups of ranks."""
    groups = [group for group in groups if group[0]]
    active = sum(count for count, _, _ in groups)
    if len(groups) < 2 or active <= len(groups):  # noqa: PLR2004 - one group explains nothing
        return 0.0
    mean = sum(added for _, added, _ in groups) / active
    between = sum(count * (added / count - mean) ** 2 for count, added, _ in groups)
    within = sum(squares - added**2 / count for count, added, squares in groups)
    chance = (len(groups) - 1) * within / (active - len(groups))
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
