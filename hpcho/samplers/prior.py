"""Draws from a search space's prior, as hyperopt's ``rand.suggest`` does, fast."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Prior", "plain"]


class Prior:
    """One random point after another, equal to what ``rand.suggest`` gives for the same generator.

    hyperopt walks the whole graph for each point. Most of it (how many draws, of which trial, from which bounds) is the
    same each time: that part is evaluated here once, and only what depends on a draw is left to do for each point.
    """

    def __init__(self, domain: Any) -> None:
        """``domain``: a ``hyperopt.base.Domain``."""
        # Where a graph stands is no part of a point: one made-up trial id serves all draws.
        given = {domain.s_new_ids: [0], domain.s_rng: None}
        order = list(_evaluation_order(domain.s_idxs_vals, given))
        place = {node: index for index, node in enumerate([*given, *order])}
        self._values: list[Any] = [*given.values(), *([None] * len(order))]
        self._rng_at = place[domain.s_rng]
        self._result_at = place[domain.s_idxs_vals]
        self._steps = self._prepare(order, place)

    def draw(self, rng: np.random.Generator) -> dict[str, list[Any]]:
        """A point's vals, in plain Python numbers."""
        values = self._values.copy()
        values[self._rng_at] = rng
        for at, function, args, kwargs in self._steps:
            values[at] = function(*[values[i] for i in args], **{name: values[i] for name, i in kwargs})
        return plain(values[self._result_at][1])

    def _prepare(self, order: list[Any], place: dict[Any, int]) -> list[_Step]:
        """Evaluate what no draw can change; what is left, in order, is each point's work."""
        from hyperopt.pyll import Literal, scope  # noqa: PLC0415 - importing hyperopt takes a second

        steps: list[_Step] = []
        drawn = {self._rng_at}
        for node in order:
            at = place[node]
            if isinstance(node, Literal):
                self._values[at] = node.obj
                continue
            function = scope._impls[node.name]  # noqa: SLF001 - hyperopt's evaluators look implementations up here too
            args = [place[arg] for arg in node.pos_args]
            kwargs = [(name, place[arg]) for name, arg in node.named_args]
            if drawn.isdisjoint(args) and drawn.isdisjoint(i for _, i in kwargs):
                self._values[at] = function(
                    *[self._values[i] for i in args], **{name: self._values[i] for name, i in kwargs}
                )
            else:
                drawn.add(at)
                steps.append((at, function, args, kwargs))
        return steps


_Step = tuple[int, Callable[..., Any], list[int], list[tuple[str, int]]]
"""Where the value goes, what makes it, and where its arguments stand."""


def plain(vals: dict[str, Any]) -> dict[str, list[Any]]:
    """The vals that hyperopt made, with Python's own ints and floats in the place of numpy's."""
    return {
        label: [value.item() if hasattr(value, "item") else value for value in values] for label, values in vals.items()
    }


def _evaluation_order(result: Any, given: dict[Any, Any]) -> Iterator[Any]:
    """The nodes below ``result`` in the order in which ``pyll.rec_eval`` evaluates them: draws must keep that order."""
    done = set(given)
    todo = [result]
    while todo:
        node = todo.pop()
        if node in done:
            continue
        missing = [arg for arg in node.inputs() if arg not in done]
        if missing:
            todo += [node, *missing]
        else:
            done.add(node)
            yield node
