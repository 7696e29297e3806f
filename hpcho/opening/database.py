"""Reading an experiment in a MongoDB that its URL names: hpcho's own or hyperopt's."""

from __future__ import annotations

import re
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hpcho.errors import UsageError
from hpcho.jobdir import JobDir

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hpcho.experiment.schema import Experiment
    from hpcho.opening.experiments import Run
    from hpcho.store.stock import Entrance

__all__ = ["entrance", "folder_of", "is_url", "open_database"]


def is_url(place: str) -> bool:
    """Whether ``place`` names a database and no file."""
    return "://" in place


@contextmanager
def open_database(url: str, exp_key: str | None, password_file: Path | None) -> Iterator[Run]:
    """Open the trials of ``exp_key``, hyperopt's own or hpcho's, for reading alone.

    There is no experiment.yaml: the parameters are those that the trials have, with the values seen. What a command
    writes goes below the folder ``exp_key`` here. Raises UsageError, StoreError.
    """
    from hpcho.opening.experiments import Run  # noqa: PLC0415 - pydantic and pymongo: `hpcho --help` does without
    from hpcho.space import observed  # noqa: PLC0415 - as above
    from hpcho.store.mongo import MongoStore  # noqa: PLC0415 - as above
    from hpcho.store.stock import connect  # noqa: PLC0415 - as above

    if exp_key is None:
        raise UsageError(
            "name the experiment in the database: --exp-key KEY (exp_key= in Python), as the script or the YAML has it"
        )
    connection = connect(entrance(url), password_file)
    with closing(MongoStore(connection, exp_key, prepare=False)) as store:
        trials = store.changes()[1]
        if not trials:
            raise UsageError(
                f"{connection.place}: no trials of {exp_key!r} there: see the database's name and --exp-key"
            )
        yield Run(_nameless(exp_key), folder_of(exp_key), {}, observed(trials), store)


def entrance(url: str) -> Entrance:
    """The way into the database; without any password in it. Raises UsageError."""
    from hpcho.store import stock  # noqa: PLC0415 - as in open_database

    way = stock.entrance(url)
    if way.passwords:
        raise UsageError(
            "the URL holds a password, which others see in the list of processes: leave it out, write it into a file "
            "that you alone may read, and say --password-file FILE"
        )
    return way


def folder_of(exp_key: str) -> JobDir:
    """Where files of an experiment go that is known by its key alone: below the present folder."""
    name = re.sub(r"[^\w.-]", "_", exp_key).lstrip(".") or "_"
    return JobDir(Path.cwd() / name)


def _nameless(exp_key: str) -> Experiment:
    """An experiment of which only the name is known; what a report says of the others is nothing."""
    from hpcho.experiment.schema import Budget, Experiment, ObjectiveSpec  # noqa: PLC0415 - as in open_database

    # Not validated: an exp_key may be any text, and there is no objective.
    return Experiment.model_construct(
        name=exp_key, objective=ObjectiveSpec.model_construct(), budget=Budget.model_construct()
    )
