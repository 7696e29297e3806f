"""Works out constants that hyperas files write as small sums: ``np.log(1e-4)``, ``2 ** 5``, ``range(1, 4)``.

hyperas ran such code when it built its space; here it is worked out from the syntax tree, and nothing is executed.
"""

from __future__ import annotations

import ast
import math
import operator
from typing import TYPE_CHECKING, Any

from hpcho.expression import distribution_name
from hpcho.objective.hyperas.source import dotted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["folded"]

_OPERATORS: Mapping[type[ast.AST], Callable[..., float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: lambda base, power: base**power if abs(base) <= 1e6 and abs(power) <= 64 else math.pow(base, power),  # noqa: PLR2004 - keeps integers exact and small
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}
_FUNCTIONS: Mapping[str, Callable[..., float]] = {
    "log": math.log,
    "log2": math.log2,
    "log10": math.log10,
    "log1p": math.log1p,
    "exp": math.exp,
    "sqrt": math.sqrt,
    "float": float,
}
_OWNERS = ("", "np.", "numpy.", "math.")
_MAX_RANGE = 10_000


def folded(call: ast.Call) -> ast.Call:
    """A distribution's call with its numbers and its options worked out where they are constant."""
    if distribution_name(call) in ("choice", "pchoice"):
        args: list[ast.expr] = [_options(arg) for arg in call.args]
        keywords = [ast.keyword(each.arg, _options(each.value)) for each in call.keywords]
    else:
        args = [_constant(arg, functions=True) for arg in call.args]
        keywords = [ast.keyword(each.arg, _constant(each.value, functions=True)) for each in call.keywords]
    return ast.copy_location(ast.Call(call.func, args, keywords), call)


def _options(tree: ast.expr) -> ast.expr:
    """A choice's options; ``range(...)`` is written out."""
    if isinstance(tree, ast.Call) and dotted(tree.func) == "list" and len(tree.args) == 1:
        return _options(tree.args[0])
    if isinstance(tree, ast.Call) and dotted(tree.func) == "range" and (values := _range(tree)) is not None:
        elements: list[ast.expr] = [ast.copy_location(ast.Constant(value), tree) for value in values]
        return ast.copy_location(ast.List(elements, ast.Load()), tree)
    return _option(tree)


def _range(call: ast.Call) -> range | None:
    """The numbers of ``range(...)``; None where they are not constant, or so many that they can hardly be meant."""
    bounds: list[Any] = [_number(arg, functions=False) for arg in call.args]
    try:
        values = range(*bounds)
        return values if len(values) <= _MAX_RANGE and not call.keywords else None
    except (TypeError, ValueError, OverflowError):
        return None


def _option(tree: ast.expr) -> ast.expr:
    if isinstance(tree, ast.List):
        return ast.copy_location(ast.List([_option(each) for each in tree.elts], tree.ctx), tree)
    if isinstance(tree, ast.Tuple):
        return ast.copy_location(ast.Tuple([_option(each) for each in tree.elts], tree.ctx), tree)
    if isinstance(tree, ast.Dict):
        return ast.copy_location(ast.Dict(tree.keys, [_option(each) for each in tree.values]), tree)
    if isinstance(tree, ast.Call) and distribution_name(tree) is not None:
        return folded(tree)
    return _constant(tree, functions=False)


def _constant(tree: ast.expr, *, functions: bool) -> ast.expr:
    number = None if isinstance(tree, ast.Constant) else _number(tree, functions=functions)
    return tree if number is None else ast.copy_location(ast.Constant(number), tree)


def _number(tree: ast.expr, *, functions: bool) -> float | None:
    """The number that a tree of constants stands for; None for anything else."""
    if isinstance(tree, ast.Constant):
        return tree.value if isinstance(tree.value, (int, float)) else None
    if isinstance(tree, (ast.UnaryOp, ast.BinOp)):
        function = _OPERATORS.get(type(tree.op))
        operands = [tree.operand] if isinstance(tree, ast.UnaryOp) else [tree.left, tree.right]
    elif isinstance(tree, ast.Call) and functions and not tree.keywords:
        function, operands = _function(tree.func), tree.args
    else:
        return None
    numbers = [_number(operand, functions=functions) for operand in operands]
    if function is None or None in numbers:
        return None
    try:
        number = function(*numbers)
    except (ArithmeticError, ValueError):
        return None  # the reader of expressions tells what cannot stand there
    return number if isinstance(number, (int, float)) else None  # a root of a negative number is complex


def _function(func: ast.expr) -> Callable[..., float] | None:
    name = dotted(func) or ""
    owner = name[: name.rfind(".") + 1]
    return _FUNCTIONS.get(name[len(owner) :]) if owner in _OWNERS else None
