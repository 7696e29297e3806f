"""Finds the templates of a hyperas file and reads them."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hpcho.errors import ExpressionError
from hpcho.expression import Node, Opaque, Template, distribution_name, from_ast, leaves
from hpcho.objective.hyperas import labels
from hpcho.objective.hyperas.folding import folded
from hpcho.objective.hyperas.source import is_deferred, is_main_guard, module_statements

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcho.expression import Found
    from hpcho.objective.hyperas.functions import Functions
    from hpcho.objective.hyperas.source import Source

__all__ = ["Site", "Templates", "is_template", "read"]


@dataclass(frozen=True, eq=False)
class Site:
    """A place where a template stands. ``outer`` is the template in whose option it stands.

    ``call`` is the distribution's call with its constants worked out. ``start`` counts the characters before it; None
    where Python does not tell (inside f-strings, before 3.12).
    """

    tree: ast.Set
    call: ast.Call
    text: str
    start: int | None
    outer: ast.Set | None


@dataclass(frozen=True)
class Templates:
    """``outermost`` are the file's parameters in their order; ``found`` has every distribution inside of them."""

    outermost: tuple[Template, ...]
    sites: dict[ast.Set, Site]
    found: Found = field(default_factory=dict)


def is_template(node: ast.AST) -> bool:
    """Whether this is a set in a set. Python cannot run that, so it can only be meant as a template."""
    return isinstance(node, ast.Set) and any(isinstance(element, ast.Set) for element in node.elts)


def read(source: Source, functions: Functions) -> Templates:
    """The templates of what the model function uses. Raises ObjectiveLoadError with file and line.

    Templates elsewhere are errors where they would run: hpcho has no value for them.
    """
    trees = sorted((node for node in ast.walk(source.tree) if is_template(node)), key=source.offset)  # type: ignore[arg-type] # sets are expressions
    statements = frozenset(module_statements(source.tree))
    live: list[ast.Set] = []
    for tree in trees:
        assert isinstance(tree, ast.Set)
        if _belongs(source, functions, statements, tree):
            live.append(tree)
    sites = [_site(source, tree) for tree in live]
    model = [site for site in sites if any(parent is functions.model for _, parent in source.around(site.tree))]
    named = labels.assign(source, model, [site for site in sites if site not in model])
    return _Reader(source, named).read()


def _belongs(source: Source, functions: Functions, statements: frozenset[ast.stmt], tree: ast.Set) -> bool:
    """Whether a template is one of the model's; False where it never runs."""
    deferred, where = False, None
    for child, parent in source.around(tree):
        deferred = deferred or is_deferred(child, parent)
        if isinstance(parent, ast.If) and child in parent.body and is_main_guard(parent):
            return False
        if isinstance(parent, ast.stmt) and parent in functions.dropped:
            return False
        if isinstance(parent, ast.stmt) and parent in statements and where is None:
            where = parent
    name = functions.model.name
    if not deferred:
        raise source.error(
            tree,
            f"this template stands outside of the model function, where it has no value yet: move it into {name}()",
        )
    if where is not functions.data_function and where in functions.used_by_model:
        return True
    if where in functions.used_by_data:
        raise source.error(
            tree,
            f"this template stands where {functions.data}() uses it, outside of the model function: data() runs once, "
            f"before there are values. Move it into {name}()",
        )
    return False


def _site(source: Source, tree: ast.Set) -> Site:
    call = tree.elts[0].elts[0] if len(tree.elts) == 1 and isinstance(tree.elts[0], ast.Set) else None
    text = source.segment(tree)
    placed = text.startswith("{") and text.endswith("}")
    if not placed:
        text = ast.unparse(tree)
    if call is None or len(tree.elts[0].elts) != 1 or not isinstance(call, ast.Call):  # type: ignore[attr-defined] # a set
        raise source.error(
            tree,
            f"this is no template: {' '.join(text.split())}. Between {{{{ and }}}} stands one distribution, "
            "for example {{uniform(0, 1)}}",
        )
    outer = next((parent for _, parent in source.around(tree) if is_template(parent)), None)
    assert outer is None or isinstance(outer, ast.Set)
    call = folded(call) if distribution_name(call) else call
    return Site(tree, call, text, source.offset(tree) if placed else None, outer)


class _Reader:
    """Makes the nodes of labelled templates."""

    def __init__(self, source: Source, named: dict[Site, str]) -> None:
        self.source = source
        self.named = named
        self.sites = {site.tree: site for site in named}
        self.taken = set(named.values())
        self.found: Found = {}

    def read(self) -> Templates:
        outermost = tuple(self.template(site) for site in self.named if site.outer is None)
        return Templates(outermost, self.sites, self.found)

    def template(self, site: Site) -> Template:
        label = self.named[site]
        try:
            node = from_ast(
                site.call,
                label,
                column=self.source.offset,
                opaque=self.opaque,
                taken=self.taken,
                found=self.found,
            )
        except ExpressionError as error:
            raise self.source.error(error.column, f"in the template {label}: {error}") from None
        self.taken |= {leaf.label for leaf in leaves(node)}
        return Template(label, node)

    def opaque(self, tree: ast.expr) -> Node:
        """An option that is code, with the templates in it; or a template itself."""
        if isinstance(tree, ast.Set) and tree in self.sites:
            return self.template(self.sites[tree]).node
        inner: Sequence[Site] = [
            self.sites[node] for node in ast.walk(tree) if isinstance(node, ast.Set) and node in self.sites
        ]
        outermost = [site for site in inner if not any(site.outer is other.tree for other in inner)]
        text = self.source.segment(tree)
        if "\n" in text:
            text = ast.unparse(tree)
        children = sorted(outermost, key=lambda site: list(self.named).index(site))
        return Opaque(text, tuple(self.template(site) for site in children))
