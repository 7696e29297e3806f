"""Search-space expressions as data: hyperopt's distributions, literals, and structures of them.

Both ``hp: "quniform(1, 4, 1)"`` in experiment.yaml and ``{{quniform(1, 4, 1)}}`` in a hyperas file become these nodes.
Text is parsed with ``ast`` and never evaluated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal as Const, Union

__all__ = ["Choice", "Distribution", "Literal", "Node", "Opaque", "Structure"]


@dataclass(frozen=True)
class Literal:
    """A constant: number, string, None, bool, or a list, tuple or dict of constants."""

    value: Any


@dataclass(frozen=True)
class Opaque:
    """Code that only the objective can evaluate (``Dropout({{uniform(0, 1)}})`` in a hyperas choice).

    Its value among the params is ``text``. ``children`` are the templates inside, active only together with it.
    """

    text: str
    children: tuple["Template", ...] = ()


@dataclass(frozen=True)
class Distribution:
    """One of hyperopt's distributions over numbers, with hyperopt's own meaning and argument order."""

    label: str
    name: str
    args: tuple[float, ...]


@dataclass(frozen=True)
class Choice:
    """hyperopt's choice (weights None) or pchoice (one weight an option, summing to 1)."""

    label: str
    options: tuple["Node", ...]
    weights: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Structure:
    """A list, tuple or dict that holds a distribution somewhere inside; ``keys`` for dicts only."""

    kind: Const["list", "tuple", "dict"]
    items: tuple["Node", ...]
    keys: tuple[Any, ...] = ()


Node = Union[Literal, Opaque, Distribution, Choice, Structure]


@dataclass(frozen=True)
class Template:
    """A labelled expression of a hyperas file: a parameter whose name is ``label``."""

    label: str
    node: Node
