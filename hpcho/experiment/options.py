"""The samplers' own options, and the values that each takes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hpcho.experiment.wording import Flaw, listed, meant, shown

__all__ = ["SAMPLER_OPTIONS", "option_flaws"]


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 1


def _is_positive(value: Any) -> bool:
    return type(value) in (int, float) and 0 < value < math.inf


def _is_mean(value: Any) -> bool:
    return type(value) in (int, float) and 1 <= value < math.inf


OPTUNA = "optuna:"
"""What the names of Optuna's samplers begin with."""

Rule = tuple[Callable[[Any], bool], str]

COUNT: Rule = (_is_count, "an integer, 1 or more")
POSITIVE: Rule = (_is_positive, "a number greater than 0")
MEAN: Rule = (_is_mean, "a number, 1 or more")

SAMPLER_OPTIONS: Mapping[str, Mapping[str, Rule]] = {
    "auto": {},
    "tpe": {"n_startup_jobs": COUNT, "n_EI_candidates": COUNT, "gamma": POSITIVE, "prior_weight": POSITIVE},
    "anneal": {"avg_best_idx": MEAN, "shrink_coef": POSITIVE},
    "random": {},
    "atpe": {},
}
"""Sampler -> option -> which values are right, as a test and in words."""


def option_flaws(sampler: Any, options: Mapping[Any, Any]) -> Iterator[Flaw]:
    """What is wrong with a sampler's options, at the place beside ``name`` where YAML has them.

    Where the sampler itself is unknown, an option may be any sampler's. Only Optuna knows those of its own.
    """
    if isinstance(sampler, str) and sampler.startswith(OPTUNA):
        return
    anyones = {option: rule for rules in SAMPLER_OPTIONS.values() for option, rule in rules.items()}
    is_known = isinstance(sampler, str) and sampler in SAMPLER_OPTIONS
    rules = SAMPLER_OPTIONS[sampler] if is_known else anyones
    for key, value in options.items():
        if key not in rules:
            known = ["seed", *rules]
            owners = [name for name, others in SAMPLER_OPTIONS.items() if key in others]
            hint = f"; it is one of {owners[0]}: write `name: {owners[0]}`" if owners else ""
            hint = hint or meant(key, ["name", *known]) or f"; beside name there may be {listed(known, 'and')}"
            yield Flaw((key,), f"unknown option {shown(key)}{f' of {sampler}' if is_known else ''}{hint}", at_key=True)
            continue
        is_right, words = rules[key]
        if not is_right(value):
            yield Flaw((key,), f"must be {words}, not {shown(value)}")
