"""A search space, independent of any sampler: points as hyperopt keeps them (vals) and as a user sees them (params)."""

from __future__ import annotations

import copy
import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from typing import Literal as Const

from hpcho import expression
from hpcho.errors import SpaceError
from hpcho.experiment.declared import canonical
from hpcho.experiment.wording import listed, meant, shown
from hpcho.expression import Choice, Distribution, Literal, Node, Opaque
from hpcho.space.expressions import draw, invert, stored_as

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping, Sequence

    from hpcho.space.numbers import Scale
    from hpcho.trial import Vals

__all__ = ["Leaf", "Parameter", "Space"]

Kind = Const["int", "float", "choice", "other"]

Parent = tuple[str, int]
"""A choice's label and the option that a parameter exists with."""


@dataclass(frozen=True)
class Parameter:
    """One name among the params.

    kind: "int" and "float" are numbers from ``low`` to ``high`` (None: unbounded), ``step`` apart if that is given, to
    be drawn on a logarithmic axis if ``log``; "choice" is one of ``options``; "other" may be any value. ``label`` is
    hyperopt's, unlike any other parameter's; a name may stand for several parameters, of which one is active at most.
    ``parent`` is the label of the choice and the index of its option that the parameter exists with; None: always.
    """

    name: str
    label: str
    kind: Kind
    low: float | None = None
    high: float | None = None
    log: bool = False
    step: float | None = None
    options: tuple[Any, ...] = ()
    parent: Parent | None = None
    node: Node = field(repr=False, kw_only=True)
    """What hyperopt samples."""
    scale: Scale | None = field(default=None, repr=False, kw_only=True)
    """How a declared number is stored; None for what is not one."""


@dataclass(frozen=True)
class Leaf:
    """One label of hyperopt's, and when it is active."""

    node: Distribution | Choice
    parent: Parent | None

    @property
    def label(self) -> str:
        """The label."""
        return self.node.label


class Space:
    """Parameters with the labels inside each of them, both in order of appearance, parents before children."""

    def __init__(self, parts: Sequence[tuple[Parameter, Sequence[Leaf]]]) -> None:
        self._parts = tuple(parts)
        self.parameters = tuple(parameter for parameter, _ in parts)
        leaves = [leaf for _, leaves in parts for leaf in leaves]
        self.leaves = tuple(leaves)
        self.labels = tuple(leaf.label for leaf in leaves)
        self._decoders = [(p.name, p.label, _conversion(p), p) for p in self.parameters]
        self._parents = {leaf.label: leaf.parent for leaf in leaves}
        self._owners = {leaf.label: parameter.name for parameter, leaves in parts for leaf in leaves}
        self._names_below = self._find_names_below()

    def decode(self, vals: Vals) -> dict[str, Any]:
        """The params of a point: flat, inactive ones absent. A label that is missing from ``vals`` is inactive."""
        params: dict[str, Any] = {}
        for name, label, convert, parameter in self._decoders:
            if convert is not None:
                stored = vals.get(label)
                if stored:
                    params[name] = convert(stored[0])
            elif _holds(parameter.parent, vals):
                params[name] = expression.value(parameter.node, vals)
        return params

    def sample(self, rng: random.Random) -> Vals:
        """A random point of the prior."""
        return self.encode({}, rng)

    def encode(self, params: Mapping[str, Any], rng: random.Random) -> Vals:
        """The point that has these params; what they leave out is sampled.

        A choice that is left out takes an option which holds the given params. Raises SpaceError, with the parameter's
        name as its path, for a name or value that is not in the space and for a parameter that is inactive here.
        """
        self._check_names(params)
        vals: dict[str, list[Any]] = {label: [] for label in self.labels}
        used = set()
        for parameter, leaves in self._parts:
            if not _holds(parameter.parent, vals):
                continue
            if parameter.name in params:
                used.add(parameter.name)
                for label, stored in _point_of(parameter, params[parameter.name]).items():
                    vals[label] = [stored]
                continue
            for leaf in leaves:
                if _holds(leaf.parent, vals):
                    vals[leaf.label] = [self._draw(leaf, params, rng)]
        for name in params:
            if name not in used:
                raise SpaceError(self._why_inactive(name, vals), (name,))
        return vals

    def place(self, params: Mapping[str, Any]) -> Vals:
        """The point that has these params; nothing is sampled, and what does not exist there is left out.

        Raises SpaceError, with the parameter's name as its path, for a value that is not in the space, and for a
        parameter that would have to be sampled.
        """
        vals: dict[str, list[Any]] = {label: [] for label in self.labels}
        for parameter, _ in self._parts:
            if not _holds(parameter.parent, vals):
                continue
            if parameter.name not in params:
                raise SpaceError("is missing", (parameter.name,))
            for label, stored in _point_of(parameter, params[parameter.name]).items():
                vals[label] = [stored]
        return vals

    def hyperopt(self) -> Any:
        """A pyll graph for ``hyperopt.base.Domain``; its labels are ``labels``, and its vals go into ``decode``."""
        # hyperopt and numpy take half a second to import, which reading an experiment does without.
        from hpcho.space.graph import build_graph  # noqa: PLC0415 - see above

        return build_graph(self.parameters)

    def fingerprint(self) -> str:
        """The same text for the same space: same names, values, prior and storage; the order of names is no matter."""
        parts = sorted(json.dumps(_facts(parameter), sort_keys=True) for parameter in self.parameters)
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def _find_names_below(self) -> dict[Parent, set[str]]:
        """The names that exist with each option of each choice, at any depth."""
        found: dict[Parent, set[str]] = {}
        for parameter in self.parameters:
            parent = parameter.parent
            while parent is not None:
                found.setdefault(parent, set()).add(parameter.name)
                parent = self._parents[parent[0]]
        return found

    def _check_names(self, params: Mapping[str, Any]) -> None:
        names = {parameter.name for parameter in self.parameters}
        for name in params:
            if name not in names:
                hint = meant(name, names) or f"; the parameters are {listed(sorted(names), 'and')}"
                raise SpaceError(f"is no parameter of the space{hint}", (name,))

    def _draw(self, leaf: Leaf, params: Mapping[str, Any], rng: random.Random) -> Any:
        """A random value for a label; of a choice, an option that holds all the params given below that choice."""
        if isinstance(leaf.node, Distribution):
            return draw(leaf.node, rng)
        below = [self._names_below.get((leaf.label, index), set()) for index in range(len(leaf.node.options))]
        given = [name for name in params if any(name in names for names in below)]
        fitting = [index for index, names in enumerate(below) if names.issuperset(given)]
        if not fitting:
            message = f"{listed(given, 'and')} never exist together: each comes with another {self._owners[leaf.label]}"
            raise SpaceError(message, (given[-1],))
        weights = None if leaf.node.weights is None else [leaf.node.weights[index] for index in fitting]
        # An option of weight 0 can still be asked for by its parameters.
        return rng.choices(fitting, weights if weights and any(weights) else None)[0]

    def _why_inactive(self, name: str, vals: Vals) -> str:
        """What the params say that excludes ``name``."""
        parent = next(p.parent for p in self.parameters if p.name == name)
        while parent is not None and not vals[parent[0]]:
            parent = self._parents[parent[0]]
        assert parent is not None  # a parameter without parent is always active
        choice = self._owners[parent[0]]
        return f"does not exist when {choice} is {shown(self.decode(vals)[choice])}"


def _holds(parent: Parent | None, vals: Vals) -> bool:
    """Whether a point has taken the option that something exists with."""
    if parent is None:
        return True
    chosen = vals.get(parent[0])
    return bool(chosen) and chosen is not None and int(chosen[0]) == parent[1]


def _conversion(parameter: Parameter) -> Callable[[Any], Any] | None:
    """How to read a parameter off what its one label stores; None where it takes more than that."""
    if parameter.scale is not None:
        return parameter.scale.decode
    if parameter.kind != "choice":
        return None
    options = parameter.options
    if any(isinstance(option, (list, tuple, dict)) for option in options):
        return lambda index: copy.deepcopy(options[int(index)])  # what one trial does to a list must not reach the next
    return lambda index: options[int(index)]


def _point_of(parameter: Parameter, value: Any) -> dict[str, Any]:
    """What to store for a value, by label. Raises SpaceError."""
    try:
        if parameter.scale is not None:
            return {parameter.label: parameter.scale.encode(value)}
        if isinstance(parameter.node, Distribution):
            return {parameter.label: stored_as(parameter.node, value)}
    except ValueError as error:
        raise SpaceError(str(error), (parameter.name,)) from None
    found = invert(parameter.node, value)
    if found is not None:
        return found
    if parameter.kind == "choice":
        words = [option if isinstance(option, str) else shown(option) for option in parameter.options]
        message = f"must be {listed(words)}, not {shown(value)}{meant(value, words)}"
    else:
        message = f"its expression never gives {shown(value)}"
    raise SpaceError(message, (parameter.name,))


def _facts(parameter: Parameter) -> list[Any]:
    """All that makes a parameter what it is, as JSON data."""
    scale = parameter.scale
    # A bound that no step reaches says nothing: what counts is the last value there is.
    numbers = [type(scale).__name__, scale.low, scale.high, parameter.step or 1] if scale is not None else None
    return [parameter.name, parameter.label, parameter.parent, numbers, _node_facts(parameter.node)]


def _node_facts(node: Node) -> list[Any]:
    if isinstance(node, Literal):
        return ["value", canonical(node.value)]
    if isinstance(node, Opaque):
        return ["code", node.text]
    if isinstance(node, Distribution):
        return [node.name, node.label, [float(number) for number in node.args]]
    if isinstance(node, Choice):
        return ["choice", node.label, node.weights, [_node_facts(option) for option in node.options]]
    return [node.kind, [canonical(key) for key in node.keys], [_node_facts(item) for item in node.items]]
