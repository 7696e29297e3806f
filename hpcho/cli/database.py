"""What commands do with a MongoDB that its URL names: read an experiment in it, or work for hyperopt's ``fmin``."""

from __future__ import annotations

import re
import sys
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from hpcho.errors import UsageError
from hpcho.jobdir import JobDir

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hpcho.cli.opening import Run
    from hpcho.experiment.schema import Experiment
    from hpcho.store.stock import Entrance

__all__ = ["is_url", "open_database", "serve_fmin", "tell_of_leaving"]


def is_url(place: str) -> bool:
    """Whether ``place`` names a database and no file."""
    return "://" in place


@contextmanager
def open_database(url: str, exp_key: str | None, password_file: Path | None) -> Iterator[Run]:
    """Open the trials of ``exp_key``, hyperopt's own or hpcho's, for reading alone.

    There is no experiment.yaml: the parameters are those that the trials have, with the values seen. What a command
    writes goes below the folder ``exp_key`` here. Raises UsageError, StoreError.
    """
    from hpcho.cli.opening import Run  # noqa: PLC0415 - pydantic and pymongo: `hpcho --help` does without
    from hpcho.space import observed  # noqa: PLC0415 - as above
    from hpcho.store.mongo import MongoStore  # noqa: PLC0415 - as above
    from hpcho.store.stock import connect  # noqa: PLC0415 - as above

    if exp_key is None:
        raise UsageError("name the experiment in the database: --exp-key KEY, as the script or the YAML has it")
    connection = connect(_entrance(url), password_file)
    with closing(MongoStore(connection, exp_key, prepare=False)) as store:
        trials = store.changes()[1]
        if not trials:
            raise UsageError(
                f"{connection.place}: no trials of {exp_key!r} there: see the database's name and --exp-key"
            )
        yield Run(_nameless(exp_key), _folder(exp_key), {}, observed(trials), store)


def serve_fmin(
    url: str,
    exp_key: str | None,
    password_file: Path | None,
    *,
    trust_pickle: bool,
    max_trials: int | None,
    idle_exit_s: float | None,
) -> int:
    """Be a worker of hyperopt's ``fmin`` on the database at ``url``. Raises UsageError, StoreError."""
    from hpcho.store.stock import connect  # noqa: PLC0415 - as in open_database
    from hpcho.worker import serve_fmin as serve  # noqa: PLC0415 - as in open_database

    if exp_key is None:
        raise UsageError("--mongo-url needs --exp-key KEY: the exp_key of the script's MongoTrials")
    if not trust_pickle:
        raise UsageError(
            "fmin's objective lies in the database as a pickle, and unpickling it runs whatever code is in it: whoever "
            "may write to that database can then do here what you can. If you trust all of them, say --trust-pickle"
        )
    way = _entrance(url)
    return serve(
        partial(connect, way, password_file),
        exp_key,
        _folder(exp_key),
        Path.cwd(),
        max_trials=max_trials,
        idle_exit_s=idle_exit_s,
        tell=tell_of_leaving,
    )


def tell_of_leaving(reason: str) -> None:
    """Why a worker that was started by hand comes to its end."""
    print(f"hpcho: the worker leaves: {reason}", file=sys.stderr)  # noqa: T201 - stdout is for answers


def _entrance(url: str) -> Entrance:
    from hpcho.store.stock import entrance  # noqa: PLC0415 - as in open_database

    way = entrance(url)
    if way.passwords:
        raise UsageError(
            "the URL holds a password, which others see in the list of processes: leave it out, write it into a file "
            "that you alone may read, and say --password-file FILE"
        )
    return way


def _folder(exp_key: str) -> JobDir:
    name = re.sub(r"[^\w.-]", "_", exp_key).lstrip(".") or "_"
    return JobDir(Path.cwd() / name)


def _nameless(exp_key: str) -> Experiment:
    """An experiment of which only the name is known; what a report says of the others is nothing."""
    from hpcho.experiment.schema import Budget, Experiment, ObjectiveSpec  # noqa: PLC0415 - as in open_database

    # Not validated: an exp_key may be any text, and there is no objective.
    return Experiment.model_construct(
        name=exp_key, objective=ObjectiveSpec.model_construct(), budget=Budget.model_construct()
    )
