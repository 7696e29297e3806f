"""Being a worker of hyperopt's ``fmin`` on a MongoDB that its URL names."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from hpcho.errors import UsageError
from hpcho.opening.database import entrance, folder_of

__all__ = ["serve_fmin", "tell_of_leaving"]


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
    from hpcho.store.stock import connect  # noqa: PLC0415 - pymongo: `hpcho --help` does without
    from hpcho.worker import serve_fmin as serve  # noqa: PLC0415 - pymongo: `hpcho --help` does without

    if exp_key is None:
        raise UsageError("--mongo-url needs --exp-key KEY: the exp_key of the script's MongoTrials")
    if not trust_pickle:
        raise UsageError(
            "fmin's objective lies in the database as a pickle, and unpickling it runs whatever code is in it: whoever "
            "may write to that database can then do here what you can. If you trust all of them, say --trust-pickle"
        )
    way = entrance(url)
    return serve(
        partial(connect, way, password_file),
        exp_key,
        folder_of(exp_key),
        Path.cwd(),
        max_trials=max_trials,
        idle_exit_s=idle_exit_s,
        tell=tell_of_leaving,
    )


def tell_of_leaving(reason: str) -> None:
    """Why a worker that was started by hand comes to its end."""
    print(f"hpcho: the worker leaves: {reason}", file=sys.stderr)  # noqa: T201 - stdout is for answers
