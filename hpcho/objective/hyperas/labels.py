"""Names templates as hyperas 0.4.1 does, and sensibly where hyperas fails.

hyperas takes the identifier that stands directly before a template and its ``=`` or ``(``: of a variable, a keyword
or a call. Where the same text stands several times in the function, the first one's identifier counts for all, and
where there is none, that of the template before. Repeated names get ``_1``, ``_2``, ...
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from hpcho.expression import distribution_name
from hpcho.objective.hyperas.source import dotted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hpcho.objective.hyperas.source import Source
    from hpcho.objective.hyperas.templates import Site

__all__ = ["assign"]

_BEFORE = re.compile(r"(\w+)\s*[=(]\s*\Z")
_REACH = 500  # characters before a template in which its identifier is looked for


def assign(source: Source, model: Sequence[Site], others: Iterable[Site]) -> dict[Site, str]:
    """A label for each template: of the model function, in order, then of the other functions."""
    names = _as_hyperas(source, model)
    if names is None:
        names = [_sensible(source, site) for site in model]
    others = list(others)
    names += [_sensible(source, site) for site in others]
    labels: dict[Site, str] = {}
    counts: dict[str, int] = {}
    for site, name in zip([*model, *others], names, strict=True):
        label = name if name not in counts else f"{name}_{counts[name]}"
        while label in labels.values():  # a name that itself ends in _1
            counts[name] = counts.get(name, 0) + 1
            label = f"{name}_{counts[name]}"
        counts[name] = counts.get(name, 0) + 1
        labels[site] = label
    return labels


def _as_hyperas(source: Source, sites: Sequence[Site]) -> list[str] | None:
    """The names by hyperas's rules; None where its parser fails on the function.

    It fails on a ``}`` inside a template, so on nested templates, and when the first one has no identifier. After
    ``if`` it would take an unrelated name; there, and only there, ours differs.
    """
    if any(site.outer or "}" in site.text[2:-2] for site in sites):
        return None
    names: list[str] = []
    before = None
    for site in sites:
        same = (_identifier(source, other) for other in sites if other.text == site.text)
        own = next(filter(None, same), None)
        name = own or _condition(source, site) or before
        before = own or before
        if before is None or name is None:
            return None
        names.append(name)
    return names


def _identifier(source: Source, site: Site) -> str | None:
    """The identifier directly before a template."""
    if site.start is None:
        return None
    found = _BEFORE.search(source.text, max(0, site.start - _REACH), site.start)
    return found[1] if found else None


def _condition(source: Source, site: Site) -> str | None:
    """The keyword of the condition in which a template stands: if, elif, while or match."""
    for child, parent in source.around(site.tree):
        if isinstance(parent, (ast.If, ast.While, ast.IfExp)) and child is parent.test:
            keyword = re.match(r"elif|while", source.text[source.offset(parent) :])
            return keyword[0] if keyword and isinstance(parent, ast.stmt) else "if"
        if isinstance(parent, ast.Match):
            return "match"
        if not isinstance(parent, (ast.Compare, ast.BoolOp, ast.UnaryOp)):
            break
    return None


def _sensible(source: Source, site: Site) -> str:
    """A name from what stands around a template."""
    name = _identifier(source, site) or _condition(source, site)
    if name is not None:
        return name
    for child, parent in source.around(site.tree):
        name = _from(parent, child)
        if name := re.sub(r"\W+", "_", name or "").strip("_"):
            return name
    return "template"


def _from(parent: ast.AST, child: ast.AST) -> str | None:
    """The name that a syntax node gives to what stands inside it."""
    name: ast.AST | str | None = None
    if isinstance(parent, ast.keyword):
        name = parent.arg
    elif isinstance(parent, ast.Call) and distribution_name(parent) is None and child is not parent.func:
        name = parent.func
    elif isinstance(parent, ast.Dict) and child in parent.values:
        name = parent.keys[[*parent.values].index(child)]
    elif isinstance(parent, ast.Subscript) and child is parent.slice:
        name = parent.value
    elif isinstance(parent, ast.Assign):
        name = parent.targets[0]
    elif isinstance(parent, (ast.AnnAssign, ast.AugAssign, ast.NamedExpr, ast.For)):
        name = parent.target
    elif isinstance(parent, (ast.FunctionDef, ast.AsyncFunctionDef)):
        name = parent.name
    return _last(name) if isinstance(name, ast.AST) else name


def _last(node: ast.AST | None) -> str | None:
    """The last word of ``a.b``, ``a["b"]`` or ``"b"``."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.Subscript):
        return _last(node.slice) or _last(node.value)
    return (dotted(node) or "").rpartition(".")[2] if node is not None else None
