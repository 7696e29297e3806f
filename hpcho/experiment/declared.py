"""The space section of experiment.yaml: its forms, read into plain data with everything that is wrong in them.

    {int: [low, high], step: s, log: true}      low, low + s, ... <= high
    {float: [low, high], step: s, log: true}
    {hp: "quniform(1, 4, 1)"}                   a hyperopt expression
    {choice: [relu, {sgd: {momentum: {float: [0, 1]}}}, {value: {a: 1}}, {value: 2, space: {units_2: ...}}]}

An option is a plain value, ``{name: {parameters that exist only with it}}``, or ``{value: anything, space: {...}}``.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from hpcho import expression
from hpcho.errors import ExpressionError
from hpcho.experiment.wording import Flaw, Path, dotted, listed, meant, shown

__all__ = ["Choice", "Declared", "Expression", "Number", "Option", "Reading", "canonical", "read"]

FORMS = ("int", "float", "hp", "choice")
EXTRAS = {"int": ("step", "log"), "float": ("step", "log"), "hp": (), "choice": ()}
EXAMPLES = '{int: [1, 10]}, {float: [0, 1]}, {choice: [a, b]} or {hp: "uniform(0, 1)"}'

LARGEST = 2**53
"""Integers up to here are exact as floats, which is how samplers handle them."""
MOST_STEPS = 10**15


@dataclass(frozen=True)
class Number:
    """Numbers from ``low`` to ``high``, ``step`` apart when it is given."""

    kind: Literal["int", "float"]
    low: float
    high: float
    step: float | None = None
    log: bool = False


@dataclass(frozen=True)
class Expression:
    """A hyperopt expression, which parses."""

    text: str


@dataclass(frozen=True)
class Option:
    """One option of a choice, and the parameters that exist only with it."""

    value: Any
    parameters: tuple[Declared, ...] = ()


@dataclass(frozen=True)
class Choice:
    """One of several options."""

    options: tuple[Option, ...]


@dataclass(frozen=True)
class Declared:
    """A parameter as declared."""

    name: str
    form: Number | Expression | Choice


@dataclass(frozen=True)
class Reading:
    """What a space section says. ``names`` holds those of parameters with flaws, too."""

    parameters: tuple[Declared, ...]
    flaws: tuple[Flaw, ...]
    names: frozenset[str]


def read(section: Mapping[Any, Any]) -> Reading:
    """Read a space section; flaws' paths begin below it."""
    reader = _Reader()
    parameters = reader.section(section, (), ())
    if not section:
        reader.flaws.append(Flaw((), f"needs at least one parameter, such as lr: {EXAMPLES}"))
    reader.check_names()
    return Reading(parameters, tuple(reader.flaws), frozenset(name for name, _, _ in reader.seen))


def canonical(value: Any) -> str:
    """The same text for equal options: 1 and 1.0 are one, true and 1 are two."""
    return json.dumps(_plain(value), sort_keys=True)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


Chain = tuple[tuple[Path, int], ...]
"""The choices above a parameter with the option that it belongs to, outermost first."""


class _Reader:
    def __init__(self) -> None:
        self.flaws: list[Flaw] = []
        self.seen: list[tuple[str, Path, Chain]] = []

    def flaw(self, path: Path, message: str, *, at_key: bool = False, offset: int | None = None) -> None:
        self.flaws.append(Flaw(path, message, at_key, offset))

    def section(self, section: Mapping[Any, Any], path: Path, chain: Chain) -> tuple[Declared, ...]:
        made = []
        for name, spec in section.items():
            here = (*path, name)
            if not isinstance(name, str):
                message = f"a parameter's name must be a string: write {shown(str(name))} in quotes"
                self.flaw(here, message, at_key=True)
                continue
            if not name.strip():
                self.flaw(here, "a parameter's name must not be empty", at_key=True)
            self.seen.append((name, here, chain))
            form = self.form(spec, here, chain)
            if form is not None:
                made.append(Declared(name, form))
        return tuple(made)

    def check_names(self) -> None:
        """The same name twice is fine only where at most one of the two can be active."""
        first: dict[str, list[tuple[Path, Chain]]] = {}
        for name, path, chain in self.seen:
            for other_path, other_chain in first.setdefault(name, []):
                if not _exclude(chain, other_chain):
                    message = (
                        f"{dotted(other_path)} has this name too, and both can be active at once: rename one (the same "
                        "name may stand only in different options of one choice)"
                    )
                    self.flaw(path, message, at_key=True)
                    break
            first[name].append((path, chain))

    def form(self, spec: Any, path: Path, chain: Chain) -> Number | Expression | Choice | None:
        if not isinstance(spec, Mapping):
            self.flaw(path, f"a parameter is {EXAMPLES}, not {shown(spec)}; {_bare_hint(spec)}")
            return None
        forms = [form for form in FORMS if form in spec]
        if len(forms) != 1:
            self.wrong_forms(spec, forms, path)
            return None
        form = forms[0]
        if form == "hp" and len(spec) > 1 and str(spec[form]).count("(") > str(spec[form]).count(")"):
            message = 'must stand in quotes, as in {hp: "quniform(1, 4, 1)"}: a comma ends plain text inside of {}'
            self.flaw((*path, form), message)
            return None
        known = (form, *EXTRAS[form])
        for key in spec:
            if key not in known:
                hint = meant(key, known) or f"; {form} takes {listed(EXTRAS[form], 'and') or 'no further keys'}"
                self.flaw((*path, key), f"unknown key {shown(key)}{hint}", at_key=True)
        if form == "choice":
            return self.choice(spec[form], (*path, form), chain)
        if form == "hp":
            return self.expression(spec[form], (*path, form))
        return self.number(form, spec, path)

    def wrong_forms(self, spec: Mapping[Any, Any], forms: Sequence[str], path: Path) -> None:
        if forms:
            self.flaw(path, f"a parameter has one form, and this one has {listed(forms, 'and')}: keep one of them")
        elif not spec:
            self.flaw(path, f"a parameter needs a form: {EXAMPLES}")
        for key, value in spec.items() if not forms else ():
            if key in expression.DISTRIBUTIONS:
                arguments = ", ".join(map(shown, value)) if isinstance(value, list) else "..."
                hint = f'; write {{hp: "{key}({arguments})"}}'
            else:
                hint = meant(key, (*FORMS, "step", "log")) or f"; a parameter is {EXAMPLES}"
            if key not in ("step", "log"):
                self.flaw((*path, key), f"unknown form {shown(key)}{hint}", at_key=True)
            elif len(spec) == 1:
                self.flaw(path, f"{key} alone is no form: a parameter is {EXAMPLES}")

    def expression(self, text: Any, path: Path) -> Expression | None:
        if not isinstance(text, str):
            self.flaw(path, f'must be a hyperopt expression such as "uniform(0, 1)", not {shown(text)}')
            return None
        try:
            expression.parse(text, path[-2])
        except ExpressionError as error:
            self.flaw(path, str(error), offset=error.column)
            return None
        return Expression(text)

    def number(self, kind: str, spec: Mapping[Any, Any], path: Path) -> Number | None:
        before = len(self.flaws)
        bounds = spec[kind]
        if not isinstance(bounds, (list, tuple)) or len(bounds) != 2:  # noqa: PLR2004 - low and high
            self.flaw((*path, kind), f"must be [low, high], not {shown(bounds)}")
            return None
        fits = [self.bound(kind, bound, (*path, kind, index)) for index, bound in enumerate(bounds)]
        step, log = spec.get("step"), spec.get("log", False)
        if not isinstance(log, bool):
            self.flaw((*path, "log"), f"must be true or false, not {shown(log)}")
        if step is not None and log is True:
            self.flaw((*path, "step"), "does not go with log: remove one of the two", at_key=True)
        if all(fits):
            self.range(kind, bounds, (*path, kind), log=log is True)
        if step is not None:
            self.step(kind, step, bounds if len(self.flaws) == before else None, (*path, "step"))
        if len(self.flaws) > before:
            return None
        exact = float if kind == "float" else int
        steps = None if step is None else exact(step)
        return Number("float" if kind == "float" else "int", exact(bounds[0]), exact(bounds[1]), steps, log)

    def bound(self, kind: str, bound: Any, path: Path) -> bool:
        before = len(self.flaws)
        if kind == "int" and type(bound) is not int:
            is_whole = isinstance(bound, float) and bound.is_integer()
            hint = f"; write {int(bound)}" if is_whole else ""
            self.flaw(path, f"must be an integer, not {shown(bound)}{hint}")
        elif type(bound) not in (int, float) or not math.isfinite(bound):
            self.flaw(path, f"must be a finite number, not {shown(bound)}")
        elif kind == "int" and abs(bound) > LARGEST:
            self.flaw(path, f"must lie within -2**53 and 2**53, where integers are exact, not {shown(bound)}")
        return len(self.flaws) == before

    def range(self, kind: str, bounds: Sequence[Any], path: Path, *, log: bool) -> None:
        low, high = bounds
        if low >= high:
            self.flaw(path, f"low must be less than high, and {shown(low)} is not less than {shown(high)}")
        elif not math.isfinite(high - low):
            self.flaw(path, "is too wide for floating-point numbers")
        if log and low <= 0:
            least = "1 or more" if kind == "int" else "greater than 0"
            self.flaw(
                (*path, 0), f"must be {least} with log: true (real bounds, not their logarithms), not {shown(low)}"
            )

    def step(self, kind: str, step: Any, bounds: Sequence[Any] | None, path: Path) -> None:
        wanted = (int,) if kind == "int" else (int, float)
        if type(step) not in wanted or not 0 < step < math.inf:
            noun = "an integer, 1 or more" if kind == "int" else "a number greater than 0"
            self.flaw(path, f"must be {noun}, not {shown(step)}")
        elif bounds is not None and _exact(step) > (width := _exact(bounds[1]) - _exact(bounds[0])):
            self.flaw(path, f"must not be larger than the range {shown(bounds)}, and is {shown(step)}")
        elif bounds is not None and kind == "float" and width / _exact(step) > MOST_STEPS:
            self.flaw(path, f"is too small for the range {shown(bounds)}: leave it out")

    def choice(self, options: Any, path: Path, chain: Chain) -> Choice | None:
        if not isinstance(options, (list, tuple)):
            self.flaw(path, f"must be a list of options, not {shown(options)}")
            return None
        if not options:
            self.flaw(path, "needs at least one option")
            return None
        read_ones = [
            self.option(option, (*path, index), (*chain, (path, index))) for index, option in enumerate(options)
        ]
        earlier: dict[str, int] = {}
        for index, option in enumerate(read_ones):
            if option is None:
                continue
            first = earlier.setdefault(canonical(option.value), index)
            if first != index:
                self.flaw((*path, index), f"the option {shown(option.value)} was given before, at {first}: remove one")
        return Choice(tuple(option for option in read_ones if option is not None))

    def option(self, option: Any, path: Path, chain: Chain) -> Option | None:
        if not isinstance(option, Mapping):
            return Option(option) if self.literal(option, path) else None
        if "value" in option and set(option) <= {"value", "space"}:
            value, section, where = option["value"], option.get("space"), (*path, "space")
            if not self.literal(value, (*path, "value")):
                return None
        elif len(option) != 1:
            message = (
                "an option with parameters is {name: {parameter: ...}}; write {value: {...}} for one that is a dict"
            )
            self.flaw(path, f"{message}, not {shown(option)}")
            return None
        else:
            value, section = next(iter(option.items()))
            where = (*path, value)
            if not isinstance(value, str):
                self.flaw(
                    where, f"write {{value: {shown(value)}, space: {{...}}}} for it, since it is no string", at_key=True
                )
                return None
        if section is not None and not isinstance(section, Mapping):
            message = f"must be a mapping of the parameters that exist only with {shown(value)}, not {shown(section)}"
            self.flaw(where, f"{message}; for an option that is a dict write {{value: {shown(option)}}}")
            return None
        return Option(value, self.section(section or {}, where, chain))

    def literal(self, value: Any, path: Path) -> bool:
        """Whether a value is what JSON can keep, too; a flaw where not."""
        if isinstance(value, Mapping):
            for key in value:
                if not isinstance(key, str):
                    message = f"a dict option's keys must be strings: write {shown(str(key))} in quotes"
                    self.flaw((*path, key), message, at_key=True)
                    return False
            return all(self.literal(item, (*path, key)) for key, item in value.items())
        if isinstance(value, (list, tuple)):
            return all(self.literal(item, (*path, index)) for index, item in enumerate(value))
        return True


def _exact(number: float) -> Decimal:
    """The number as written: 0.3 - 0.1 is less than 0.2 in floating point."""
    return Decimal(repr(number))


def _exclude(one: Chain, other: Chain) -> bool:
    for (choice, option), (other_choice, other_option) in zip(one, other, strict=False):
        if choice != other_choice:
            return False
        if option != other_option:
            return True
    return False


def _bare_hint(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return f"write {{choice: {shown(value)}}} for these options"
    if isinstance(value, str) and re.match(r"\s*(?:hp\.)?\w+\s*\(", value):
        return f"write {{hp: {shown(value)}}}"
    return f"write {{choice: [{shown(value)}]}} for a constant"
