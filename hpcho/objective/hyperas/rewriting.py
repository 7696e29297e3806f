"""Rewrites a hyperas file's syntax tree so that it can run: templates become look-ups, hyperas's imports disappear.

Every new node stands at the place of the one it replaces, so that tracebacks show the file's own lines.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from hpcho.expression import DISTRIBUTIONS, Distribution
from hpcho.objective.hyperas.templates import is_template

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcho.objective.hyperas.functions import Functions
    from hpcho.objective.hyperas.source import Function
    from hpcho.objective.hyperas.templates import Templates

__all__ = ["HOOK", "rewritten"]

HOOK = "__hpcho__"
"""The name under which the rewritten module reaches ``evaluating.Hook``."""

_STAR = {"hyperas.distributions": (*DISTRIBUTIONS, "conditional"), "hyperas": ("optim", "distributions")}


def rewritten(tree: ast.Module, functions: Functions, templates: Templates) -> ast.Module:
    """The module to run. ``tree`` itself is changed."""
    tree.body = [statement for statement in tree.body if statement not in functions.dropped]
    if functions.data_function is not None:
        _Returns().rewrite(functions.data_function)
    module = _Rewriter(templates).visit(tree)
    assert isinstance(module, ast.Module)
    return ast.fix_missing_locations(module)


def _hook(method: str, place: ast.AST, *args: Any) -> ast.expr:
    """A call of one of the hook's methods, at the place of another node."""
    function = ast.Attribute(ast.Name(HOOK, ast.Load()), method, ast.Load())
    values = [arg if isinstance(arg, ast.expr) else ast.Constant(arg) for arg in args]
    call = ast.Call(function, values, [])
    for node in (call, function, function.value, *values):
        if not hasattr(node, "lineno"):
            ast.copy_location(node, place)
    return call


class _Returns(ast.NodeTransformer):
    """Shows the hook the local variables of ``data()`` at its return: hyperas makes them the model's globals."""

    def rewrite(self, function: Function) -> None:
        function.body = [self.visit(statement) for statement in function.body]

    def visit_Return(self, node: ast.Return) -> ast.Return:
        value = node.value or ast.copy_location(ast.Constant(None), node)
        return ast.copy_location(ast.Return(_hook("returned", value, value)), node)

    def _leave(self, node: ast.AST) -> ast.AST:
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = visit_Lambda = _leave  # noqa: N815 - ast's naming


class _Rewriter(ast.NodeTransformer):
    def __init__(self, templates: Templates) -> None:
        self.templates = templates

    def visit_Set(self, node: ast.Set) -> ast.expr:
        if node in self.templates.sites:
            return self.lookup(self.templates.sites[node].call)
        if is_template(node):
            return _hook("nowhere", node)
        return self.walk(node)

    def visit_Call(self, node: ast.Call) -> ast.expr:
        """A distribution without brackets of its own, as an option of a template's choice."""
        return self.lookup(node) if node in self.templates.found else self.walk(node)

    def lookup(self, call: ast.Call) -> ast.expr:
        node, options = self.templates.found[call]
        if isinstance(node, Distribution):
            return _hook("value", call, node.label)
        return self.chosen(call, node.label, [self.walk_expression(option) for option in options], 0)

    def chosen(self, call: ast.Call, label: str, options: Sequence[ast.expr], first: int) -> ast.expr:
        """``a if index < 1 else b``: only the chosen option is evaluated, in its own scope. Halved, not chained."""
        if len(options) == 1:
            return options[0]
        middle = len(options) // 2
        test = ast.Compare(_hook("index", call, label), [ast.Lt()], [ast.Constant(first + middle)])
        low, high = options[:middle], options[middle:]
        chosen = ast.IfExp(
            ast.copy_location(test, call),
            self.chosen(call, label, low, first),
            self.chosen(call, label, high, first + middle),
        )
        return ast.copy_location(chosen, call)

    def visit_Import(self, node: ast.Import) -> list[ast.stmt]:
        kept = [alias for alias in node.names if not _is_replaced(alias.name)]
        statements: list[ast.stmt] = [ast.copy_location(ast.Import(kept), node)] if kept else []
        for alias in node.names:
            if _is_replaced(alias.name):
                whole = _hook("module", node, alias.name, alias.asname is not None)
                statements.append(_assign(alias.asname or alias.name.partition(".")[0], whole, node))
        return statements

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.stmt | list[ast.stmt]:
        module = node.module or ""
        star = node.names[0].name == "*"
        if node.level or not _is_replaced(module) or (star and module.partition(".")[0] == "hyperopt"):
            return node
        names = (
            [(name, name) for name in _STAR.get(module, ())]
            if star
            else [(a.name, a.asname or a.name) for a in node.names]
        )
        statements = [_assign(bound, _hook("imported", node, module, name), node) for name, bound in names]
        return statements or ast.copy_location(ast.Pass(), node)

    def walk(self, node: ast.expr) -> ast.expr:
        walked = self.generic_visit(node)
        assert isinstance(walked, ast.expr)
        return walked

    def walk_expression(self, node: ast.expr) -> ast.expr:
        walked = self.visit(node)
        assert isinstance(walked, ast.expr)
        return walked


def _is_replaced(module: str) -> bool:
    """hyperas may be absent; hyperopt's parts may fail to import (mongoexp) though only the main block uses them."""
    return module.partition(".")[0] in ("hyperas", "hyperopt")


def _assign(name: str, value: ast.expr, place: ast.stmt) -> ast.stmt:
    target = ast.copy_location(ast.Name(name, ast.Store()), place)
    return ast.copy_location(ast.Assign([target], value), place)
