"""Makes a Space of what an experiment declares, or of a hyperas file's templates."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any

from hpcho import expression
from hpcho.errors import SpaceError
from hpcho.experiment import declared as forms
from hpcho.expression import Choice, Distribution, Literal, Node, Opaque, Structure, Template
from hpcho.space.expressions import bounds, options_of
from hpcho.space.numbers import Integers, LogIntegers, Reals, RealSteps, Scale
from hpcho.space.space import Kind, Leaf, Parameter, Parent, Space

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["build"]


def build(declared: Mapping[str, Any] | None, templates: Sequence[Template] = ()) -> Space:
    """The space that a ``space:`` section declares, or a hyperas file's templates. Raises SpaceError."""
    if declared is None and not templates:
        raise SpaceError("there is nothing to tune: no `space:`, and no template such as {{uniform(0, 1)}}")
    parameters: tuple[forms.Declared, ...] = ()
    if declared is not None:
        reading = forms.read(declared)
        for flaw in reading.flaws:
            raise SpaceError(flaw.message, flaw.path)
        parameters = reading.parameters
    builder = _Builder([*_names(parameters), *_template_names(templates)])
    builder.add_declared(parameters, None)
    builder.add_templates(templates, None)
    return Space(builder.parts)


def _names(parameters: Iterable[forms.Declared]) -> Iterable[str]:
    for parameter in parameters:
        yield parameter.name
        if isinstance(parameter.form, forms.Choice):
            for option in parameter.form.options:
                yield from _names(option.parameters)


def _template_names(templates: Iterable[Template]) -> Iterable[str]:
    for template in templates:
        yield template.label
        for child in _children(template.node):
            yield from _template_names([child])


def _children(node: Node) -> Iterable[Template]:
    """The templates that stand in a node's code."""
    if isinstance(node, Opaque):
        yield from node.children
    for inner in node.options if isinstance(node, Choice) else node.items if isinstance(node, Structure) else ():
        yield from _children(inner)


class _Builder:
    """Collects parameters and gives each label of hyperopt's to one of them."""

    def __init__(self, names: Iterable[str]) -> None:
        self.parts: list[tuple[Parameter, list[Leaf]]] = []
        self._names = frozenset(names)
        self._used: set[str] = set()

    def add_declared(self, parameters: Iterable[forms.Declared], parent: Parent | None) -> None:
        """Add parameters that exist with ``parent``."""
        for parameter in parameters:
            if isinstance(parameter.form, forms.Number):
                self._add_number(parameter.name, parameter.form, parent)
            elif isinstance(parameter.form, forms.Expression):
                self._add_node(parameter.name, expression.parse(parameter.form.text, parameter.name), parent)
            else:
                options = parameter.form.options
                node = Choice(parameter.name, tuple(Literal(option.value) for option in options))
                label = self._add_node(parameter.name, node, parent)
                for index, option in enumerate(options):
                    self.add_declared(option.parameters, (label, index))

    def add_templates(self, templates: Iterable[Template], parent: Parent | None) -> None:
        """Add templates that exist with ``parent``."""
        for template in templates:
            self._add_node(template.label, template.node, parent)

    def _add_number(self, name: str, form: forms.Number, parent: Parent | None) -> None:
        scale = _scale(form)
        node = scale.distribution(self._own_label(name))
        parameter = Parameter(
            name,
            node.label,
            form.kind,
            scale.low,
            scale.high,
            form.log,
            form.step,
            parent=parent,
            node=node,
            scale=scale,
        )
        self.parts.append((parameter, [Leaf(node, parent)]))

    def _add_node(self, name: str, node: Node, parent: Parent | None) -> str:
        """Add an expression as a parameter, then what exists with its options only. Returns its label."""
        node = self._labelled(node, name)
        leaves: list[Leaf] = []
        inside: list[tuple[Template, Parent | None]] = []
        _walk(node, parent, leaves, inside)
        label = node.label if isinstance(node, (Distribution, Choice)) else self._own_label(name)
        self.parts.append((_parameter(name, label, node, parent), leaves))
        for template, where in inside:
            self.add_templates([template], where)
        return label

    def _labelled(self, node: Node, name: str | None = None) -> Node:
        """The node with labels that no other parameter has; ``name`` is given for the outermost one."""
        if isinstance(node, (Distribution, Choice)):
            label = self._inner_label(node.label) if name is None else self._own_label(name)
            if isinstance(node, Distribution):
                return replace(node, label=label)
            return replace(node, label=label, options=tuple(self._labelled(option) for option in node.options))
        if isinstance(node, Structure):
            return replace(node, items=tuple(self._labelled(item) for item in node.items))
        return node

    def _own_label(self, name: str) -> str:
        """The name itself, or name~2, name~3, ... where it is taken."""
        return self._claim(name, self._names - {name})

    def _inner_label(self, label: str) -> str:
        return self._claim(label, self._names)

    def _claim(self, label: str, reserved: frozenset[str]) -> str:
        numbered = (label if n == 1 else f"{label}~{n}" for n in count(1))
        free = next(each for each in numbered if each not in self._used and each not in reserved)
        self._used.add(free)
        return free


def _walk(node: Node, parent: Parent | None, leaves: list[Leaf], inside: list[tuple[Template, Parent | None]]) -> None:
    """Collect the labels of a node, and the templates in its code, with the option that each exists with."""
    if isinstance(node, (Distribution, Choice)):
        leaves.append(Leaf(node, parent))
    if isinstance(node, Opaque):
        inside.extend((child, parent) for child in node.children)
    elif isinstance(node, Choice):
        for index, option in enumerate(node.options):
            _walk(option, (node.label, index), leaves, inside)
    elif isinstance(node, Structure):
        for item in node.items:
            _walk(item, parent, leaves, inside)


def _scale(form: forms.Number) -> Scale:
    if form.kind == "int":
        low, high = int(form.low), int(form.high)
        return LogIntegers(low, high) if form.log else Integers(low, high, int(form.step or 1))
    if form.step is not None:
        return RealSteps(form.low, form.high, form.step)
    return Reals(form.low, form.high, form.log)


def _parameter(name: str, label: str, node: Node, parent: Parent | None) -> Parameter:
    """A parameter whose values are an expression's."""
    if isinstance(node, Distribution):
        low, high = bounds(node)
        kind: Kind = "int" if node.name in ("randint", "uniformint") else "float"
        step = float(node.args[2]) if node.name.startswith("q") else None
        return Parameter(name, label, kind, low, high, "log" in node.name, step, parent=parent, node=node)
    options = options_of(node) if isinstance(node, Choice) else None
    if options is None:
        return Parameter(name, label, "other", parent=parent, node=node)
    return Parameter(name, label, "choice", options=options, parent=parent, node=node)
