"""Reads expressions: from text, or from a syntax tree that somebody else has parsed."""

from __future__ import annotations

import ast
import difflib
import math
import textwrap
import warnings
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from hpcho.errors import ExpressionError
from hpcho.expression.nodes import Choice, Distribution, Literal, Node, Structure, value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, MutableMapping, Sequence
    from collections.abc import Set as AbstractSet

__all__ = ["DISTRIBUTIONS", "Found", "distribution_name", "from_ast", "parse"]

_ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    "uniform": ("low", "high"),
    "quniform": ("low", "high", "q"),
    "loguniform": ("low", "high"),
    "qloguniform": ("low", "high", "q"),
    "normal": ("mu", "sigma"),
    "qnormal": ("mu", "sigma", "q"),
    "lognormal": ("mu", "sigma"),
    "qlognormal": ("mu", "sigma", "q"),
    "randint": ("low", "high"),  # or one alone: the upper bound
    "uniformint": ("low", "high"),
    "choice": ("options",),
    "pchoice": ("p_options",),
}
_USAGE = {name: f"{name}({', '.join(arguments)})" for name, arguments in _ARGUMENTS.items()} | {
    "randint": "randint(upper) or randint(low, high)",
    "choice": "choice([a, b])",
    "pchoice": "pchoice([(0.3, a), (0.7, b)])",
}

DISTRIBUTIONS = tuple(_ARGUMENTS)
"""The names of hyperopt's distributions."""

_ALLOWED = f"Allowed are constants, lists, tuples and dicts of them, and {', '.join(DISTRIBUTIONS)}"
_MAX_TEXT = 20_000  # characters; keeps Python's own parser far from the end of its stack
_MAX_DEPTH = 50  # keeps every walk over a node, here and elsewhere, far from Python's recursion limit
_MAX_EXPONENT = 709.0  # exp() of more is infinite

Found: TypeAlias = "MutableMapping[ast.Call, tuple[Distribution | Choice, Sequence[ast.expr]]]"
"""Each distribution's call in a syntax tree, with its node and (for a choice) its options' expressions."""


def parse(text: str, label: str) -> Node:
    """Read a hyperopt expression. Raises ExpressionError with the column of the first thing that is wrong.

    Distributions inside the outermost one are labelled ``label_1``, ``label_2``, ... in the order in which they stand,
    unless they bring their own label, as hyperopt demands (``choice([uniform('a', 0, 1), 0])``).
    """
    if len(text) > _MAX_TEXT:
        raise ExpressionError(f"the expression has {len(text)} characters; at most {_MAX_TEXT} are read")
    source = f"({text}\n)".replace("\r\n", " \n").replace("\r", "\n")  # brackets let an expression span lines
    try:
        tree = _syntax(source)
        return from_ast(tree, label, column=lambda node: max(0, _offset(source, node.lineno, node.col_offset) - 1))
    except (RecursionError, MemoryError):
        raise ExpressionError("the expression is nested too deeply to be read") from None


def from_ast(
    tree: ast.expr,
    label: str,
    *,
    column: Callable[[ast.expr], int] = lambda node: node.col_offset,
    opaque: Callable[[ast.expr], Node] | None = None,
    taken: AbstractSet[str] = frozenset(),
    found: Found | None = None,
) -> Node:
    """The node of an expression's syntax tree. Raises ExpressionError; ``column`` says where in the user's text.

    ``opaque`` makes the nodes of those options of a choice that are code; without it, code is an error. ``taken``
    labels are not given to inner distributions. ``found`` receives each distribution's call.
    """
    promised = {own for inner in ast.walk(tree) if (own := _own_label(inner)) is not None}
    labels = _Labels(label, {label, *taken}, promised)
    return _Reader(labels, column, opaque, {} if found is None else found).read(tree, 0)


def distribution_name(tree: ast.AST) -> str | None:
    """The distribution that a syntax tree calls (``uniform(...)`` or ``hp.uniform(...)``); None for anything else."""
    name = (_called(tree) or "").removeprefix("hp.")
    return name if name in _ARGUMENTS else None


def _syntax(source: str) -> ast.expr:
    """The tree of a bracketed expression."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # '\d' in a string is no business of the search space
            tree = ast.parse(source, mode="eval").body
    except SyntaxError as error:
        column = _offset(source, error.lineno or 1, (error.offset or 1) - 1, encoded=False) - 1
        end = len(source) - len("(\n)")
        raise ExpressionError(f"the expression is not valid Python: {error.msg}", max(0, min(column, end))) from None
    except ValueError as error:  # a null character, a lone surrogate
        raise ExpressionError(f"the expression cannot be read: {error}") from None
    if isinstance(tree, ast.Tuple) and not tree.elts and tree.col_offset == 0:
        raise ExpressionError(f"the expression is empty. {_ALLOWED}")
    return tree


def _offset(source: str, line: int, column: int, *, encoded: bool = True) -> int:
    """Characters before a place that ``ast`` gives as a line and a column, which it counts in UTF-8 bytes."""
    lines = source.split("\n")
    if encoded:
        column = len(lines[line - 1].encode()[:column].decode(errors="ignore"))
    return sum(len(before) + 1 for before in lines[: line - 1]) + column


def _called(tree: ast.AST) -> str | None:
    """The dotted name that a call calls; None for anything else."""
    return _dotted(tree.func) if isinstance(tree, ast.Call) else None


def _dotted(tree: ast.AST) -> str | None:
    if isinstance(tree, ast.Name):
        return tree.id
    if isinstance(tree, ast.Attribute) and (owner := _dotted(tree.value)) is not None:
        return f"{owner}.{tree.attr}"
    return None


def _own_label(tree: ast.AST) -> str | None:
    """The label that a distribution brings as its first argument."""
    if not isinstance(tree, ast.Call) or distribution_name(tree) is None or not tree.args:
        return None
    first = tree.args[0]
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else None


def _scalar(tree: ast.expr) -> tuple[bool, Any]:
    """Whether this is a constant that an expression may hold, and which."""
    if isinstance(tree, ast.UnaryOp) and isinstance(tree.op, (ast.USub, ast.UAdd)):
        known, number = _scalar(tree.operand)
        known = known and isinstance(number, (int, float)) and not isinstance(number, bool)
        return known, (-number if isinstance(tree.op, ast.USub) else number) if known else None
    if not isinstance(tree, ast.Constant) or not isinstance(tree.value, (int, float, str, type(None))):
        return False, None
    return not isinstance(tree.value, float) or math.isfinite(tree.value), tree.value


def _is_plain(tree: ast.expr) -> bool:
    """Whether an option consists of constants, structures and distributions alone, so that no code need run for it."""
    if isinstance(tree, (ast.List, ast.Tuple)):
        return all(map(_is_plain, tree.elts))
    if isinstance(tree, ast.Dict):
        return all(key is not None and _scalar(key)[0] for key in tree.keys) and all(map(_is_plain, tree.values))
    return distribution_name(tree) is not None or _scalar(tree)[0]


class _Labels:
    """Gives each distribution of one expression its label."""

    def __init__(self, outer: str, used: set[str], promised: AbstractSet[str]) -> None:
        self.outer = outer
        self.used = used
        self.promised = promised  # labels that inner distributions bring; not for others
        self.count = 0

    def derive(self) -> str:
        """The next free one of ``outer_1``, ``outer_2``, ..."""
        while True:
            self.count += 1
            label = f"{self.outer}_{self.count}"
            if label not in self.used and label not in self.promised:
                return label


class _Reader:
    """Makes the nodes of one expression's syntax tree."""

    def __init__(
        self,
        labels: _Labels,
        column: Callable[[ast.expr], int],
        opaque: Callable[[ast.expr], Node] | None,
        found: Found,
    ) -> None:
        self.labels = labels
        self.column = column
        self.opaque = opaque
        self.found = found

    def read(self, tree: ast.expr, depth: int) -> Node:
        if depth > _MAX_DEPTH:
            self.fail(tree, f"this is nested more than {_MAX_DEPTH} levels deep")
        if isinstance(tree, ast.Call):
            return self.call(tree, depth)
        if isinstance(tree, ast.List):
            return _structure(Structure("list", tuple(self.read(item, depth + 1) for item in tree.elts)))
        if isinstance(tree, ast.Tuple):
            return _structure(Structure("tuple", tuple(self.read(item, depth + 1) for item in tree.elts)))
        if isinstance(tree, ast.Dict):
            keys = tuple(self.scalar(key or tree) for key in tree.keys)  # no key: **, refused like any other code
            if len(set(keys)) < len(keys):
                self.fail(tree, "this dict has the same key twice")
            return _structure(Structure("dict", tuple(self.read(item, depth + 1) for item in tree.values), keys))
        return Literal(self.scalar(tree))

    def scalar(self, tree: ast.expr) -> Any:
        known, constant = _scalar(tree)
        if not known:
            self.refuse(tree)
        return constant

    def call(self, call: ast.Call, depth: int) -> Distribution | Choice:
        name = distribution_name(call)
        if name is None:
            self.refuse(call)
        given = self.arguments(call, name)
        label = self.label(call, depth)
        node: Distribution | Choice
        options: Sequence[ast.expr] = ()
        if name in ("choice", "pchoice"):
            weights, options = self.options(name, *given.values())
            node = Choice(label, tuple(self.option(each, depth + 1) for each in options), weights)
        else:
            args = {key: self.number(tree, name) for key, tree in given.items()}
            self.check(name, args, given)
            node = Distribution(label, name, tuple(args.values()))
        self.found[call] = node, options
        return node

    def label(self, call: ast.Call, depth: int) -> str:
        """The expression's own label for the outermost distribution; else the one that it brings, or a derived one."""
        own = _own_label(call)
        if depth == 0:
            if own not in (None, self.labels.outer):
                self.fail(call.args[0], f"drop the label {own!r}: the parameter's name is {self.labels.outer!r}")
            return self.labels.outer
        if own in self.labels.used:
            self.fail(call.args[0], f"the label {own!r} stands twice: drop it, and one is made")
        label = own or self.labels.derive()
        self.labels.used.add(label)
        return label

    def arguments(self, call: ast.Call, name: str) -> dict[str, ast.expr]:
        """The arguments by hyperopt's names, in hyperopt's order, without the label."""
        expected, usage = _ARGUMENTS[name], _USAGE[name]
        positional = call.args[1:] if _own_label(call) is not None else call.args
        given: dict[str, ast.expr] = {}
        for tree in positional:
            if isinstance(tree, ast.Starred):
                self.refuse(tree)
            if len(given) == len(expected):
                self.fail(tree, f"{len(positional)} arguments are too many: it is {usage}")
            given[expected[len(given)]] = tree
        for keyword in call.keywords:
            if keyword.arg not in expected:
                self.fail(keyword.value, f"{name} has no argument {keyword.arg or '**'}: it is {usage}")
            if keyword.arg in given:
                self.fail(keyword.value, f"{keyword.arg} is given twice: it is {usage}")
            given[keyword.arg] = keyword.value
        missing = [each for each in expected if each not in given]
        if missing and not (name == "randint" and missing == ["high"]):
            self.fail(call, f"{' and '.join(missing)} missing: it is {usage}")
        return {each: given[each] for each in expected if each in given}

    def options(self, name: str, tree: ast.expr) -> tuple[tuple[float, ...] | None, Sequence[ast.expr]]:
        """A choice's weights (None unless pchoice) and its options' expressions."""
        if not isinstance(tree, (ast.List, ast.Tuple)):
            self.fail(tree, f"{name} needs its options written out as a list: {_USAGE[name]}")
        if not tree.elts:
            self.fail(tree, f"{name} has no options: it is {_USAGE[name]}")
        for starred in (option for option in tree.elts if isinstance(option, ast.Starred)):
            self.refuse(starred)
        if name == "choice":
            return None, tree.elts
        pairs = [pair.elts for pair in tree.elts if isinstance(pair, (ast.List, ast.Tuple))]
        if [len(pair) for pair in pairs] != [2] * len(tree.elts):
            self.fail(tree, f"each option of pchoice is a pair of its weight and its value: {_USAGE[name]}")
        weights = tuple(self.number(weight, name) for weight, _ in pairs)
        if min(weights) < 0 or not math.isclose(sum(weights), 1, abs_tol=1e-9):
            self.fail(tree, f"pchoice's weights must not be negative and must sum to 1, not {sum(weights):g}")
        return weights, [option for _, option in pairs]

    def option(self, tree: ast.expr, depth: int) -> Node:
        return self.read(tree, depth) if self.opaque is None or _is_plain(tree) else self.opaque(tree)

    def number(self, tree: ast.expr, name: str) -> float:
        called = _called(tree)
        if called is not None and "loguniform" in name and called.rpartition(".")[2].startswith("log"):
            self.fail(
                tree,
                f"{called}(...) cannot stand here: {name} takes the logarithms themselves, as numbers; "
                "{float: [low, high], log: true} takes real bounds",
            )
        number = self.scalar(tree)
        if isinstance(number, bool) or not isinstance(number, (int, float)):
            self.fail(tree, f"{name} takes numbers, not {_shown(tree)}")
        if abs(number) > 1e300:  # noqa: PLR2004 - sums and differences of less cannot overflow a float
            self.fail(tree, f"{name} takes numbers up to 1e300")
        return number

    def check(self, name: str, args: Mapping[str, float], given: Mapping[str, ast.expr]) -> None:
        """Hold the numbers to what the distribution demands."""
        if name == "randint":
            for key, number in args.items():
                if not isinstance(number, int):
                    self.fail(given[key], f"randint takes whole numbers, not {number!r}")
            if len(args) == 1 and args["low"] < 1:
                self.fail(given["low"], f"randint's upper bound must be at least 1, not {args['low']}")
        low, high = args.get("low"), args.get("high")
        if low is not None and high is not None and low >= high:
            self.fail(given["high"], f"low must be less than high: {low:g} is not less than {high:g}")
        for key in ("q", "sigma"):
            if key in args and args[key] <= 0:
                self.fail(given[key], f"{key} must be greater than 0, not {args[key]:g}")
        if "loguniform" in name and high is not None and high > _MAX_EXPONENT:
            self.fail(given["high"], f"{name} takes logarithms: e to the power of {high:g} is infinite")

    def refuse(self, tree: ast.expr) -> NoReturn:
        """Say why this cannot stand in an expression."""
        called, name = _called(tree), (_dotted(tree) or "").removeprefix("hp.")
        if name in _ARGUMENTS:
            self.fail(tree, f"{name} needs its arguments: {_USAGE[name]}")
        if called is None:
            self.fail(tree, f"{_shown(tree)} cannot stand in an expression: write the value itself. {_ALLOWED}")
        near = difflib.get_close_matches(called.rpartition(".")[2].lower(), DISTRIBUTIONS, 1)
        hint = f"; did you mean {near[0]}?" if near else "."
        self.fail(tree, f"{called}(...) is not one of hyperopt's distributions{hint} {_ALLOWED}")

    def fail(self, tree: ast.expr, message: str) -> NoReturn:
        raise ExpressionError(message, self.column(tree))


def _structure(node: Structure) -> Node:
    """One literal for a structure without distributions."""
    plain = all(isinstance(item, Literal) for item in node.items)
    return Literal(value(node, {})) if plain else node


def _shown(tree: ast.expr) -> str:
    return textwrap.shorten(ast.unparse(tree), 60, placeholder=" ...")
