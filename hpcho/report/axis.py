"""Axes as data: where a value stands between 0 and 1, and where ticks go.

Everything is placed on the unit interval here, so that logarithms, bounds near the largest float, categories and
outliers are met once and not in every figure.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Axis", "Tick", "duration_axis", "loss_axis", "number", "real", "text_of"]

LARGEST = 1e100
"""Axes end here: beyond it differences of floats overflow, and nobody reads a figure so far out."""
WIDE = 50.0
"""Losses, all positive, whose 95th percentile is so many times their least are drawn on a logarithmic axis."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark at ``at`` (0: the axis' low end, 1: its high end)."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Axis:
    """A range of numbers, linear or logarithmic, or a list of categories.

    ``name`` is what the axis shows; ``unit`` is empty or a unit of time. ``low`` <= ``high``; a logarithmic axis has
    0 < ``low``. ``categories`` are the texts of the options, in the order in which they were declared.
    """

    name: str
    kind: Literal["linear", "log", "categorical"]
    low: float = 0.0
    high: float = 1.0
    integer: bool = False
    categories: tuple[str, ...] = ()
    unit: str = ""

    def place(self, value: Any) -> float | None:
        """Where ``value`` stands: 0..1 inside, below 0 or above 1 outside; None for what has no place here."""
        if self.kind == "categorical":
            text = text_of(value)
            return (self.categories.index(text) + 0.5) / len(self.categories) if text in self.categories else None
        at = real(value)
        if at is None or (self.kind == "log" and at <= 0):
            return None
        low, high = self.low, self.high
        if self.kind == "log":
            low, high, at = math.log(low), math.log(high), math.log(at)
        return (at - low) / (high - low) if high > low else 0.5 + (at > high) - (at < low)

    def ticks(self, count: int = 5) -> tuple[Tick, ...]:
        """About ``count`` ticks at round values; of categories every n-th, so that no more than ``count`` remain."""
        if self.kind == "categorical":
            every = math.ceil(len(self.categories) / max(count, 1))
            ticks = [Tick((i + 0.5) / len(self.categories), text) for i, text in enumerate(self.categories)]
            return tuple(ticks[::every])
        values, step = _decades(self.low, self.high, count) if self.kind == "log" else ([], 0.0)
        if len(values) < 2:  # noqa: PLR2004 - one tick shows no scale
            values, step = _round_values(self.low, self.high, count, integer=self.integer)
        return tuple(Tick(at, number(x, step)) for x in values if (at := self.place(x)) is not None)


def loss_axis(losses: Sequence[float], name: str = "loss") -> Axis:
    """An axis that shows most of ``losses`` well: far outliers fall outside of it, to be drawn at its edge.

    The fences are Tukey's, wide: three interquartile ranges above the third quartile, ten below the first (a very good
    loss is what the search is for). The axis is logarithmic where positive losses spread over orders of magnitude.
    """
    ordered = sorted(min(max(x, -LARGEST), LARGEST) for x in losses)
    if not ordered:
        return Axis(name, "linear")
    log = ordered[0] > 0 and _quantile(ordered, 0.95) / ordered[0] > WIDE
    places = [math.log(x) for x in ordered] if log else ordered
    first, third = _quantile(places, 0.25), _quantile(places, 0.75)
    spread = third - first or _quantile(places, 0.95) - _quantile(places, 0.05)
    inside = [
        x
        for x, at in zip(ordered, places, strict=True)
        if not spread or first - 10 * spread <= at <= third + 3 * spread
    ]
    low, high = inside[0], inside[-1]
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        return Axis(name, "linear", low, high)
    return Axis(name, "log" if log else "linear", low, high)


def duration_axis(seconds: Iterable[float], name: str = "duration", *, log: bool = True) -> tuple[Axis, float]:
    """An axis for times and its unit in seconds: what is placed on it is seconds divided by that unit.

    ``log``: whether it may be logarithmic, where times spread over orders of magnitude.
    """
    seconds = sorted(x for x in seconds if math.isfinite(x))
    longest = seconds[-1] if seconds else 1.0
    unit, unit_s = next((u, s) for u, s, limit in _UNITS if longest < limit)
    if log and seconds and seconds[0] > 0 and longest / seconds[0] > WIDE:
        return Axis(name, "log", seconds[0] / unit_s, longest / unit_s, unit=unit), unit_s
    return Axis(name, "linear", 0.0, longest / unit_s or 1.0, unit=unit), unit_s


_UNITS = (("s", 1.0, 180.0), ("min", 60.0, 10_800.0), ("h", 3600.0, 259_200.0), ("days", 86_400.0, math.inf))
"""A unit, its seconds, and the longest time in seconds that is shown in it."""


def text_of(value: Any) -> str:
    """A category's text: JSON (``null`` for None, ``true`` for True), but a string bare where it cannot be mistaken."""
    if isinstance(value, str):
        try:
            json.loads(value)
        except ValueError:
            return value
    return json.dumps(value, ensure_ascii=False, default=str)


def real(value: Any) -> float | None:
    """``value`` as a float that can be drawn, None for what is no finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        real = float(value)
    except OverflowError:
        return None
    return min(max(real, -LARGEST), LARGEST) if math.isfinite(real) else None


def number(value: float, step: float | None = None) -> str:
    """A number for people: 4 significant digits, or as many as tell it from a neighbour ``step`` away."""
    if isinstance(value, int) and abs(value) < 10**15:
        return str(value)
    digits = 4
    if step and value:
        digits = max(1, min(17, math.floor(math.log10(abs(value))) - math.floor(math.log10(step)) + 1))
    text = f"{value:.{digits}g}"
    if 0 < abs(value) < 1e-3 and "e" not in text:  # noqa: PLR2004 - from here on people write learning rates so
        text = f"{value:.{digits - 1}e}"
    mantissa, e, exponent = text.partition("e")
    if e and 0 <= int(exponent) < 6:  # noqa: PLR2004 - up to here plain digits are shorter
        return f"{value:.0f}"
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    return f"{mantissa}e{int(exponent)}" if e else text


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[int(share * (len(ordered) - 1))]


def _round_values(low: float, high: float, count: int, *, integer: bool) -> tuple[list[float], float]:
    """Multiples of 1, 2 or 5 times a power of ten inside [low, high], and their step."""
    span = high - low
    if span <= 1e-12 * max(abs(low), abs(high)) or span < 1e-290:  # noqa: PLR2004 - no room for steps between floats
        return [low], 0.0
    power = 10.0 ** math.floor(math.log10(span / count))
    step = next(f * power for f in (1.0, 2.0, 5.0, 10.0) if f * power * count >= span * 0.999)
    if integer:
        step = max(1.0, float(math.ceil(step)))
    first = math.ceil(low / step - 1e-9)
    values = [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]
    return (values, step) if values else ([low, high], span)


def _decades(low: float, high: float, count: int) -> tuple[list[float], float | None]:
    """Powers of ten inside [low, high]; where there are few, 2 and 5 times these too."""
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    every = math.ceil((last - first + 1) / count) or 1
    values = [10.0**k for k in range(first, last + 1, every)]
    if len(values) <= count // 2:
        finer = [f * 10.0**k for k in range(first - 1, last + 1) for f in (1, 2, 5)]
        values = [x for x in finer if low <= x <= high * 1.000001]
    return values, None
