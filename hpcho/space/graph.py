"""A search space as hyperopt's pyll graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hyperopt import hp, pyll

from hpcho.expression import Choice, Distribution, Node, Structure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcho.space.space import Parameter

__all__ = ["build_graph"]


def build_graph(parameters: Sequence[Parameter]) -> Any:
    """A dict of the parameters that are always active; an option holds those that exist with it."""
    return _Graph(parameters).level(None)


class _Graph:
    def __init__(self, parameters: Sequence[Parameter]) -> None:
        self._parameters = parameters

    def level(self, parent: tuple[str, int] | None) -> dict[str, Any]:
        """The parameters that exist with ``parent``."""
        return {p.label: self.node(p.node) for p in self._parameters if p.parent == parent}

    def node(self, node: Node) -> Any:
        if isinstance(node, Distribution):
            return getattr(hp, node.name)(node.label, *node.args)
        if isinstance(node, Choice):
            return self.choice(node)
        if isinstance(node, Structure):
            return [self.node(item) for item in node.items]
        # Samplers see indexes only. What stands for the option itself is read off those by Space.decode.
        return pyll.Literal(None)

    def choice(self, node: Choice) -> Any:
        options = [[self.node(option), self.level((node.label, i))] for i, option in enumerate(node.options)]
        if node.weights is None:
            return hp.choice(node.label, options)
        return hp.pchoice(node.label, list(zip(node.weights, options, strict=True)))
