"""``warm_start:`` finds the experiments it names, and takes from them what is of use in this one's space."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from hpcho.errors import ExperimentError, StoreError, UsageError
from hpcho.experiment.wording import shown
from hpcho.opening.database import open_database
from hpcho.opening.experiments import find_job_dir, open_run
from hpcho.samplers.knowledge import Knowledge
from hpcho.space import matched, matched_by_label
from hpcho.trial import TrialState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager

    from hpcho.experiment.schema import WarmStart
    from hpcho.opening.experiments import Opened, Run
    from hpcho.space import Space
    from hpcho.trial import Trial, Vals

__all__ = ["gather"]


def gather(opened: Opened) -> tuple[Knowledge, ...]:
    """What the experiments that ``opened`` begins with have found, in the YAML's order.

    Raises ExperimentError, with its place, for one that cannot be used; StoreError.
    """
    found, problems = [], []
    for index, source in enumerate(opened.experiment.warm_start):
        try:
            with _open(opened, source) as run:
                found.append(_taken(source.place, run.store.changes()[1], _matching(opened.space, source, run)))
        except UsageError as error:
            problems.append(opened.source.problem(("warm_start", index), str(error)))
        except StoreError as error:
            raise type(error)(f"warm_start: {source.place}: {error}") from error
    if problems:
        raise ExperimentError(problems)
    return tuple(found)


def _open(opened: Opened, source: WarmStart) -> AbstractContextManager[Run]:
    """Raises UsageError when there is no such experiment, or it is this one."""
    if source.url is not None:
        _check_url(opened, source, source.url)
        password = None if source.password_file is None else opened.folder / Path(source.password_file).expanduser()
        return open_database(source.url, source.exp_key, password)
    path = opened.folder / Path(source.place).expanduser()
    if not path.exists():
        raise UsageError(f"there is no experiment {source.place}: no such file or folder")
    if find_job_dir(path).path.resolve() == opened.jobdir.path.resolve():
        raise UsageError(
            f"{source.place} is this experiment itself. An earlier run that `--fresh` has set aside can be named: "
            f"{opened.jobdir.path.name}~<time>, beside {opened.jobdir.path}"
        )
    return open_run(path)


def _check_url(opened: Opened, source: WarmStart, url: str) -> None:
    """Raises UsageError for a URL that cannot be read, shows a secret, or is this experiment's own store."""
    from hpcho.store.administration import url_flaw  # noqa: PLC0415 - pymongo: most experiments do without

    flaw = url_flaw(url)
    if flaw is not None:
        raise UsageError(f"{shown(url)} {flaw}")
    mongo = opened.experiment.mongo
    if mongo is not None and mongo.url == url and opened.experiment.name == source.exp_key:
        raise UsageError(f"{source.place} is this experiment itself")


def _matching(space: Space, source: WarmStart, run: Run) -> Callable[[Trial], Vals | str]:
    """How a trial there becomes a point here."""
    if source.url is not None:
        return lambda trial: matched_by_label(space, trial.vals)
    return lambda trial: matched(space, run.space.decode(trial.vals))


def _taken(place: str, trials: Iterable[Trial], point_of: Callable[[Trial], Vals | str]) -> Knowledge:
    points, unused, total = [], Counter[str](), 0
    for trial in trials:
        total += 1
        point = _why_useless(trial) or point_of(trial)
        if isinstance(point, str) or trial.loss is None:
            unused[str(point)] += 1
        else:
            points.append((point, trial.loss))
    return Knowledge(place, total, tuple(points), dict(unused.most_common()))


def _why_useless(trial: Trial) -> str | None:
    """Why a trial says nothing, wherever its point lies."""
    if trial.state is TrialState.ERROR:
        return "failed"
    if trial.state is not TrialState.DONE:
        return "unfinished"
    return None if trial.loss is not None and math.isfinite(trial.loss) else "without a loss"
