"""How a declared number is stored: on which hyperopt distribution, and back.

hyperopt's ``quniform(low, high, q)`` rounds to multiples of q and so leaves its own bounds. Here each scale asks it for
half a step more on either side and takes every number between its bounds equally often, and no other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any, Protocol

from hpcho.experiment.wording import shown
from hpcho.expression import Distribution

__all__ = ["Integers", "LogIntegers", "RealSteps", "Reals", "Scale"]


class Scale(Protocol):
    """One declared number's range."""

    @property
    def low(self) -> float:
        """The smallest value."""

    @property
    def high(self) -> float:
        """The largest value there can be; with a step it may be less than the declared bound."""

    def distribution(self, label: str) -> Distribution:
        """What hyperopt samples."""

    def decode(self, stored: float) -> float:
        """The value for what hyperopt gave; always one of the declared ones, however far off ``stored`` is."""

    def encode(self, value: Any) -> float:
        """What to store for a value. Raises ValueError saying which values there are."""


@dataclass(frozen=True)
class Integers:
    """``low``, ``low + step``, ... up to ``top``, equally likely. Stored less ``low % step``: a multiple of step."""

    low: int
    top: int
    step: int = 1

    @cached_property
    def high(self) -> int:
        """The last value that a step reaches."""
        return self.low + (self.top - self.low) // self.step * self.step

    def distribution(self, label: str) -> Distribution:
        """quniform over the stored values, with half a step around."""
        offset = self.low % self.step
        return Distribution(label, "quniform", (*_edges(self.low - offset, self.high - offset, self.step), self.step))

    def decode(self, stored: float) -> int:
        """The integer nearest to ``stored`` on the grid."""
        index = round((stored + self.low % self.step - self.low) / self.step)
        return min(max(self.low + index * self.step, self.low), self.high)

    def encode(self, value: Any) -> float:
        """Raises ValueError beyond the bounds and between the steps."""
        number = _integer(value, self.low, self.high)
        if (number - self.low) % self.step:
            below = number - (number - self.low) % self.step
            raise ValueError(
                f"must be {self.low} plus a multiple of {self.step} (near are {below} and {below + self.step}), "
                f"not {shown(value)}"
            )
        return float(number - self.low % self.step)


@dataclass(frozen=True)
class LogIntegers:
    """Integers from ``low`` (1 or more) to ``high``, the smaller ones likelier."""

    low: int
    high: int

    def distribution(self, label: str) -> Distribution:
        """qloguniform with a half around."""
        bottom, top = math.log(self.low - 0.5), math.log(self.high + 0.5)
        while round(math.exp(bottom)) < self.low:
            bottom = math.nextafter(bottom, math.inf)
        while round(math.exp(top)) > self.high:
            top = math.nextafter(top, -math.inf)
        return Distribution(label, "qloguniform", (bottom, top, 1))

    def decode(self, stored: float) -> int:
        """The integer nearest to ``stored``."""
        return min(max(round(stored), self.low), self.high)

    def encode(self, value: Any) -> float:
        """Raises ValueError beyond the bounds."""
        return float(_integer(value, self.low, self.high))


@dataclass(frozen=True)
class Reals:
    """Numbers from ``low`` to ``high``; with ``log`` (low > 0) each order of magnitude is as likely as another."""

    low: float
    high: float
    log: bool = False

    def distribution(self, label: str) -> Distribution:
        """Uniform or loguniform; what is stored is the number itself."""
        if self.log:
            return Distribution(label, "loguniform", (math.log(self.low), math.log(self.high)))
        return Distribution(label, "uniform", (self.low, self.high))

    def decode(self, stored: float) -> float:
        """The number itself, within the bounds: exp(log(low)) may miss them by a rounding."""
        return min(max(float(stored), self.low), self.high)

    def encode(self, value: Any) -> float:
        """Raises ValueError beyond the bounds."""
        return _number(value, self.low, self.high)


@dataclass(frozen=True)
class RealSteps:
    """``low``, ``low + step``, ... up to ``top``, equally likely, as exact as they are written. Stored by index."""

    low: float
    top: float
    step: float

    @cached_property
    def _exact(self) -> tuple[Decimal, Decimal, int]:
        """Low and step as written, and the last index: 0.1 * 3 is not 0.3 in floating point."""
        low, step = Decimal(repr(self.low)), Decimal(repr(self.step))
        return low, step, int((Decimal(repr(self.top)) - low) // step)

    @property
    def high(self) -> float:
        """The last value that a step reaches."""
        return self.decode(self._exact[2])

    def distribution(self, label: str) -> Distribution:
        """quniform over the indexes, with a half around."""
        return Distribution(label, "quniform", (*_edges(0, self._exact[2], 1), 1))

    def decode(self, stored: float) -> float:
        """The number at the index nearest to ``stored``."""
        low, step, last = self._exact
        return float(low + step * min(max(round(stored), 0), last))

    def encode(self, value: Any) -> float:
        """Raises ValueError beyond the bounds and between the steps."""
        number = _number(value, self.low, self.high)
        index = min(max(round((number - self.low) / self.step), 0), self._exact[2])
        nearest = self.decode(index)
        if abs(nearest - number) > 1e-9 * self.step:
            raise ValueError(
                f"must be {shown(self.low)} plus a multiple of {shown(self.step)} (near is {shown(nearest)}), "
                f"not {shown(value)}"
            )
        return float(index)


def _edges(first: int, last: int, step: int) -> tuple[float, float]:
    """Half a step around ``first`` to ``last``, a hair inward where rounding to the step would leave them."""
    low, high = first - step / 2, last + step / 2
    while round(low / step) * step < first:
        low = math.nextafter(low, math.inf)
    while round(high / step) * step > last:
        high = math.nextafter(high, -math.inf)
    return low, high


def _integer(value: Any, low: int, high: int) -> int:
    is_whole = type(value) is int or (isinstance(value, float) and value.is_integer())
    if not is_whole or not low <= value <= high:
        raise ValueError(f"must be an integer from {low} to {high}, not {shown(value)}")
    return int(value)


def _number(value: Any, low: float, high: float) -> float:
    if type(value) not in (int, float) or not low <= value <= high:
        raise ValueError(f"must be a number from {shown(low)} to {shown(high)}, not {shown(value)}")
    return float(value)
