"""The user's objective: a Python function, a classic hyperas file or a command.

This is what a worker's child imports before anything of the user's, so each kind is imported only when it is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hpcho.errors import ObjectiveLoadError

if TYPE_CHECKING:
    from pathlib import Path

    from hpcho.experiment.schema import ObjectiveSpec
    from hpcho.expression import Template
    from hpcho.objective.base import Objective

__all__ = ["load", "templates"]


def load(spec: ObjectiveSpec | Mapping[str, Any], source: Path) -> Objective:
    """The objective that ``spec`` names, its files looked up in ``source``. Runs none of the user's code yet.

    ``spec`` is the model, or the same as plain JSON data (a worker's child does without pydantic). Raises
    ObjectiveLoadError when a file is missing or a name cannot be understood.
    """
    python, data, hyperas, command = (_setting(spec, key) for key in ("python", "data", "hyperas", "command"))
    if python:
        from hpcho.objective.python import PythonObjective  # noqa: PLC0415 - each child needs one kind only

        return PythonObjective(python, data, source)
    if hyperas:
        from hpcho.objective.hyperas import compile_file  # noqa: PLC0415 - only a hyperas file needs the compiler

        return compile_file(source / hyperas).load()
    if command:
        from hpcho.objective.command import CommandObjective  # noqa: PLC0415 - each child needs one kind only

        return CommandObjective(command, source)
    raise ObjectiveLoadError("objective: names nothing to evaluate: write python, hyperas or command")


def templates(spec: ObjectiveSpec | Mapping[str, Any], source: Path) -> tuple[Template, ...]:
    """The search space that the objective brings itself: the templates of a hyperas file, else none."""
    hyperas = _setting(spec, "hyperas")
    if not hyperas:
        return ()
    from hpcho.objective.hyperas import compile_file  # noqa: PLC0415 - only a hyperas file needs the compiler

    return compile_file(source / hyperas).templates


def _setting(spec: ObjectiveSpec | Mapping[str, Any], key: str) -> Any:
    return spec.get(key) if isinstance(spec, Mapping) else getattr(spec, key)
