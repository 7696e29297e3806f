"""What an expression consists of, and its value at a point of the search space."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias
from typing import Literal as Const

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["Choice", "Distribution", "Literal", "Node", "Opaque", "Structure", "Template", "leaves", "value"]


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
    children: tuple[Template, ...] = ()


@dataclass(frozen=True)
class Distribution:
    """One of hyperopt's distributions over numbers, with hyperopt's own meaning and argument order.

    ``randint`` keeps the one or two arguments that it was written with: ``(upper,)`` or ``(low, high)``.
    """

    label: str
    name: str
    args: tuple[float, ...]


@dataclass(frozen=True)
class Choice:
    """hyperopt's choice (weights None) or pchoice (one weight an option, summing to 1)."""

    label: str
    options: tuple[Node, ...]
    weights: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Structure:
    """A list, tuple or dict that holds a distribution somewhere inside; ``keys`` for dicts only."""

    kind: Const["list", "tuple", "dict"]
    items: tuple[Node, ...]
    keys: tuple[Any, ...] = ()


Node: TypeAlias = "Literal | Opaque | Distribution | Choice | Structure"


@dataclass(frozen=True)
class Template:
    """A labelled expression of a hyperas file: a parameter whose name is ``label``."""

    label: str
    node: Node


def leaves(node: Node) -> Iterator[Distribution | Choice]:
    """Every labelled node inside, the node itself included, in the order in which they stand."""
    if isinstance(node, (Distribution, Choice)):
        yield node
    for child in _children(node):
        yield from leaves(child)


def _children(node: Node) -> Sequence[Node]:
    if isinstance(node, Choice):
        return node.options
    if isinstance(node, Structure):
        return node.items
    if isinstance(node, Opaque):
        return [child.node for child in node.children]
    return ()


def value(node: Node, vals: Mapping[str, Sequence[Any]]) -> Any:
    """The node's value at a point, as hyperopt 0.3.0 means it: quniform gives floats, randint and uniformint ints.

    ``vals`` holds one value for each label that is active there; a choice's is its option's index. Raises KeyError or
    IndexError where one is missing. Lists stay lists (hyperopt itself hands over tuples).
    """
    if isinstance(node, Distribution):
        number = vals[node.label][0]
        return int(number) if node.name in ("randint", "uniformint") else float(number)
    if isinstance(node, Choice):
        return value(node.options[int(vals[node.label][0])], vals)
    if isinstance(node, Structure):
        return _structure(node, [value(item, vals) for item in node.items])
    if isinstance(node, Opaque):
        return node.text
    return copy.deepcopy(node.value)  # what one trial does to a list must not reach the next


def _structure(node: Structure, items: list[Any]) -> Any:
    if node.kind == "dict":
        return dict(zip(node.keys, items, strict=True))
    return tuple(items) if node.kind == "tuple" else items
