"""hyperopt's expressions by value: drawing one, and finding the point that gives a certain one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from hpcho.experiment.declared import canonical
from hpcho.experiment.wording import shown
from hpcho.expression import Choice, Distribution, Literal, Node, Opaque, Structure

if TYPE_CHECKING:
    import random

__all__ = ["bounds", "draw", "invert", "options_of", "stored_as"]

ROUNDING = 1e-9
"""Relative error that a number may have gathered on its way through text and logarithms."""


def draw(distribution: Distribution, rng: random.Random) -> float:
    """A random value as hyperopt would store it."""
    name, args = distribution.name, distribution.args
    if name == "randint":
        return rng.randrange(*map(int, args))
    step = args[2] if name.startswith("q") else 1 if name == "uniformint" else None
    plain = name.removeprefix("q").removesuffix("int")
    number = rng.uniform(args[0], args[1]) if plain.endswith("uniform") else rng.normalvariate(args[0], args[1])
    if plain.startswith("log"):
        number = math.exp(number)
    return number if step is None else float(round(number / step) * step)


def bounds(distribution: Distribution) -> tuple[float | None, float | None]:
    """The smallest and largest value that a distribution gives; None where there is no bound."""
    name, args = distribution.name, distribution.args
    if name == "randint":
        return (0, args[0] - 1) if len(args) == 1 else (args[0], args[1] - 1)
    is_log = "log" in name
    if name.endswith("normal"):
        return (0.0 if is_log else None), None
    low, high = (math.exp(args[0]), math.exp(args[1])) if is_log else (args[0], args[1])
    step = 1 if name == "uniformint" else args[2] if name.startswith("q") else None
    return (low, high) if step is None else (round(low / step) * step, round(high / step) * step)


def stored_as(distribution: Distribution, value: Any) -> float:
    """What hyperopt would have stored for ``value``. Raises ValueError saying which values there are."""
    low, high = bounds(distribution)
    name = distribution.name
    is_whole = name in ("randint", "uniformint")
    noun = "an integer" if is_whole else "a number"
    reach = "" if low is None else f" from {shown(low)}" + ("" if high is None else f" to {shown(high)}")
    is_number = type(value) in (int, float) and math.isfinite(value)
    slack = ROUNDING * abs(value) if is_number else 0
    is_in = is_number and (low is None or value >= low - slack) and (high is None or value <= high + slack)
    if not is_in or (is_whole and int(value) != value):
        raise ValueError(f"must be {noun}{reach}, not {shown(value)}")
    if name == "randint":
        return int(value)
    if name.startswith("q"):
        step = distribution.args[2]
        if abs(value - round(value / step) * step) > ROUNDING * max(step, abs(value)):
            raise ValueError(f"must be a multiple of {shown(step)}{reach}, not {shown(value)}")
    if name == "lognormal" and value == 0:
        raise ValueError("must be greater than 0, not 0")
    return float(value)


def options_of(choice: Choice) -> tuple[Any, ...] | None:
    """The options' values; None where one of them is not a constant."""
    plain = [option for option in choice.options if isinstance(option, (Literal, Opaque))]
    if len(plain) < len(choice.options):
        return None
    return tuple(option.value if isinstance(option, Literal) else option.text for option in plain)


def invert(node: Node, value: Any) -> dict[str, Any] | None:
    """For each label that is active then, what gives ``value``; None when nothing does. The first option that fits."""
    if isinstance(node, Literal):
        return {} if canonical(node.value) == canonical(value) else None
    if isinstance(node, Opaque):
        return {} if node.text == value else None
    if isinstance(node, Distribution):
        try:
            return {node.label: stored_as(node, value)}
        except ValueError:
            return None
    if isinstance(node, Structure):
        return _invert_structure(node, value)
    fits = ((index, invert(option, value)) for index, option in enumerate(node.options))
    return next(({node.label: index, **found} for index, found in fits if found is not None), None)


def _invert_structure(node: Structure, value: Any) -> dict[str, Any] | None:
    if node.kind == "dict":
        if not isinstance(value, dict) or set(value) != set(node.keys):
            return None
        items = [value[key] for key in node.keys]
    else:
        items = list(value) if isinstance(value, (list, tuple)) else []
        if len(items) != len(node.items):
            return None
    merged: dict[str, Any] = {}
    for item, part in zip(node.items, items, strict=True):
        found = invert(item, part)
        if found is None:
            return None
        merged |= found
    return merged
