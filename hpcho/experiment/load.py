"""From a YAML file to an Experiment, or to every problem in it at once."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from hpcho.errors import ExperimentError
from hpcho.experiment import settings as set_options
from hpcho.experiment.extends import read
from hpcho.experiment.model import flaws_in
from hpcho.experiment.schema import Experiment, split_call
from hpcho.experiment.wording import Flaw

if TYPE_CHECKING:
    from hpcho.experiment.source import Source

__all__ = ["load"]


def load(path: Path, settings: Sequence[str] = ()) -> tuple[Experiment, Source]:
    """The experiment in ``path``, with ``settings`` (KEY=VALUE each) in place of its own values.

    Raises ExperimentError with all problems at once, each with its place in the file or the setting it came from.
    """
    written, source, problems = read(path)
    data, applied, more = set_options.apply(written, settings)
    source = replace(source, settings=tuple(applied), data=data)
    flaws = list(_missing_files(data, path))
    experiment = None
    try:
        experiment = Experiment.model_validate(data)
    except ValidationError as error:
        flaws = flaws_in(error) + flaws
    problems = [*problems, *more, *map(source.flaw, flaws)]
    if problems or experiment is None:
        raise ExperimentError(problems)
    return experiment, source


def _missing_files(data: Mapping[str, Any], yaml: Path) -> Iterator[Flaw]:
    """What the objective names beside the YAML and is not there."""
    objective = data.get("objective")
    if not isinstance(objective, Mapping):
        return
    for key in ("python", "data", "hyperas"):
        text = objective.get(key)
        if not isinstance(text, str):
            continue
        call = (text, "") if key == "hyperas" else split_call(text)
        message = _missing_file(call[0], yaml) if call and (key == "hyperas" or call[0].endswith(".py")) else None
        if message:
            yield Flaw(("objective", key), message)


def _missing_file(file: str, yaml: Path) -> str | None:
    folder, target = yaml.parent, yaml.resolve()
    path = folder / file
    if Path(file).is_absolute() or ".." in Path(file).parts:
        return (
            f"{file} must stand beside the YAML or in a folder below it: a run copies that folder and works on the copy"
        )
    if path.is_file():
        return None
    if yaml.is_symlink() and (target.parent / file).is_file():
        return f"there is no file {file} in {folder}: {yaml.name} is a link there, so name {target} itself"
    try:
        names = sorted(entry.name for entry in path.parent.iterdir() if entry.suffix == ".py")
    except OSError:
        names = []
    near = difflib.get_close_matches(path.name, names, n=1, cutoff=0.5)
    hint = f"; did you mean {Path(file).with_name(near[0])}?" if near else ""
    return f"there is no file {file} in {folder}{hint}"
