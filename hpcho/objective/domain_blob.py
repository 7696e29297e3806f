"""An experiment as hyperopt's own workers evaluate it: a pickled ``hyperopt.base.Domain`` that needs no hpcho.

What travels is text: ``carried``, the objective's files, and the params as plain data. No function is pickled, so
that a worker may run another Python version than the controller.
"""

from __future__ import annotations

import pickle
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpcho.errors import UsageError
from hpcho.expression import Choice, Distribution, Structure
from hpcho.objective import carried
from hpcho.objective.imports import LARGE_BYTES
from hpcho.space.numbers import Integers, LogIntegers, Reals, RealSteps

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hpcho.experiment.schema import ObjectiveSpec
    from hpcho.expression import Node
    from hpcho.space import Space
    from hpcho.space.space import Parameter

__all__ = ["FILENAME", "described", "domain"]

FILENAME = "FMinIter_Domain"
"""The name in GridFS under which hyperopt's workers look for the domain of the experiment ``exp_key``."""
PROTOCOL = 4
"""Of the pickle: what every Python that hyperopt runs on reads."""
PROGRAM = "(exec(compile(text, 'hpcho/objective/carried.py', 'exec'), globals()), Carried(cargo))[1]"
"""What unpickling evaluates, ``text`` and ``cargo`` being given."""


def domain(space: Space, spec: ObjectiveSpec, source: Path) -> bytes:
    """The pickle of ``spec``'s objective over ``space``, with its files in ``source``, to be put under FILENAME.

    Files of 1 MB and more stay behind. Raises UsageError for an objective that is no python one.
    """
    if spec.python is None:
        raise UsageError(
            "store.mongo.stock_workers: hyperopt's own workers evaluate python objectives alone: write the objective "
            "as `python: FILE.py:FUNCTION`, or use hpcho's workers"
        )
    from hyperopt.base import Domain  # noqa: PLC0415 - importing hyperopt takes a second

    cargo = {
        "python": spec.python,
        "data": spec.data,
        "files": dict(_files(source)),
        "parameters": described(space),
    }
    objective = _Travelling(Path(carried.__file__).read_text(encoding="utf-8"), cargo)
    return pickle.dumps(Domain(objective, space.hyperopt(), pass_expr_memo_ctrl=True), protocol=PROTOCOL)


class _Travelling:
    """Pickled here, it is a ``Carried`` where it is unpickled."""

    def __init__(self, text: str, cargo: Mapping[str, Any]) -> None:
        self._text = text
        self._cargo = cargo

    def __reduce__(self) -> tuple[Any, ...]:
        return eval, (PROGRAM, {"__name__": "hpcho_carried", "text": self._text, "cargo": self._cargo})


def described(space: Space) -> list[tuple[str, Any, Any]]:
    """The parameters as plain data: name, parent and what the value is made of. ``carried.decode`` reads them."""
    return [(parameter.name, parameter.parent, _described(parameter)) for parameter in space.parameters]


def _described(parameter: Parameter) -> tuple[Any, ...]:
    if parameter.scale is not None:
        return ("label", parameter.label, _scale(parameter.scale))
    if parameter.kind == "choice":
        options = tuple(("value", option) for option in parameter.options)
        return ("choice", parameter.label, options)
    return _node(parameter.node)


def _scale(scale: Any) -> tuple[Any, ...]:
    if isinstance(scale, Integers):
        return ("integers", scale.low, scale.high, scale.step)
    if isinstance(scale, LogIntegers):
        return ("log integers", scale.low, scale.high)
    if isinstance(scale, RealSteps):
        low, step, top = (Decimal(repr(number)) for number in (scale.low, scale.step, scale.top))
        return ("steps", str(low), str(step), int((top - low) // step))
    assert isinstance(scale, Reals)
    return ("reals", scale.low, scale.high)


def _node(node: Node) -> tuple[Any, ...]:
    if isinstance(node, Distribution):
        return ("label", node.label, ("int" if node.name in ("randint", "uniformint") else "float",))
    if isinstance(node, Choice):
        return ("choice", node.label, tuple(map(_node, node.options)))
    if isinstance(node, Structure):
        items = tuple(map(_node, node.items))
        return ("dict", node.keys, items) if node.kind == "dict" else (node.kind, items)
    return ("value", getattr(node, "value", getattr(node, "text", None)))


def _files(source: Path) -> Iterator[tuple[str, bytes]]:
    """The objective's files by their place in ``source``, links followed."""
    for path in sorted(source.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts and path.stat().st_size < LARGE_BYTES:
            yield path.relative_to(source).as_posix(), path.read_bytes()
