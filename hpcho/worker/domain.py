"""hyperopt's own objective in a worker's child: a pickled ``hyperopt.base.Domain``; results as hyperopt has them."""

from __future__ import annotations

import os
import pickle
import platform
import shutil
from contextlib import contextmanager
from datetime import datetime
from importlib import metadata
from typing import TYPE_CHECKING, Any

from hpcho.errors import ObjectiveLoadError
from hpcho.trial import Trial, TrialState, to_document

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hpcho.objective.base import TrialContext
    from hpcho.trial import Result, Vals

__all__ = ["DomainObjective"]

PACKAGES = ("hyperopt", "numpy", "cloudpickle")


class DomainObjective:
    """The domain that ``fmin`` has pickled into the file ``blob``. Loading it runs what it holds."""

    takes_trial = False

    def __init__(self, blob: Path) -> None:
        self._blob = blob
        self._domain: Any = None

    def prepare(self) -> None:
        """Unpickle it. Raises ObjectiveLoadError."""
        if self._domain is not None:
            return
        data = self._blob.read_bytes()
        try:
            self._domain = pickle.loads(data)  # noqa: S301 - asked for with --trust-pickle
        except Exception as error:
            raise ObjectiveLoadError(_advice(error)) from error

    def evaluate(self, params: dict[str, Any], vals: Vals, trial: TrialContext) -> tuple[Any, dict[str, Any]]:
        """hyperopt's result for the point, and its attachments; in the trial's folder as the working directory."""
        del params
        from hyperopt.base import Ctrl, Trials  # noqa: PLC0415 - slow to import

        self.prepare()
        document = to_document(Trial(tid=trial.tid, state=TrialState.RUNNING, version=0, vals=vals), "")
        trials = Trials(refresh=False)
        trials._dynamic_trials.append(document)  # noqa: SLF001 - ``insert_trial_docs`` would store a copy
        trials.refresh()
        point = {label: values[0] for label, values in vals.items() if values}
        with _working_in(trial.dir):
            result = self._domain.evaluate(point, Ctrl(trials, document))
        prefix = trials.aname(document, "")
        found = {name.removeprefix(prefix): data for name, data in trials.attachments.items()}
        return result, {**found, **dict(result.pop("attachments", {}))}

    def encode(self, value: tuple[Any, dict[str, Any]], folder: Path) -> tuple[Result, dict[str, Path]]:
        """The result for the store, and the attachments as files in ``folder``.

        Raises OSError when there is no room for them, TypeError for an attachment that is neither text nor bytes, and
        what BSON says of values that it cannot hold.
        """
        from hpcho.store.stock import result_of  # noqa: PLC0415 - pymongo: other objectives do without

        result, attachments = value
        staging = folder / f".result-{os.getpid()}"
        shutil.rmtree(staging, ignore_errors=True)
        files: dict[str, Path] = {}
        try:
            for number, (name, data) in enumerate(attachments.items()):
                staging.mkdir(exist_ok=True)
                files[str(name)] = staging / str(number)
                files[str(name)].write_bytes(data.encode() if isinstance(data, str) else data)
        except OSError:
            shutil.rmtree(staging, ignore_errors=True)
            raise
        return result_of(_storable(result), tuple(files)), files


@contextmanager
def _working_in(folder: Path) -> Iterator[None]:
    earlier = os.getcwd()  # noqa: PTH109 - given back as it was
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(earlier)


def _storable(value: Any) -> Any:
    """``value`` as BSON holds it: numpy as numbers and lists, sets as lists, and what is nothing of it as text."""
    if value is None or isinstance(value, (str, bytes, bool, int, float, datetime)):
        return value
    if hasattr(value, "keys"):
        return {str(key): _storable(value[key]) for key in value.keys()}  # noqa: SIM118 - whatever mapping it is
    if hasattr(value, "tolist"):
        return _storable(value.tolist())
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_storable(item) for item in value]
    return value if type(value).__module__.startswith("bson.") else str(value)


def _advice(error: Exception) -> str:
    """What to do about an objective that cannot be unpickled."""
    versions = ", ".join(f"{package} {metadata.version(package)}" for package in PACKAGES)
    here = f"Python {platform.python_version()}, {versions}"
    if isinstance(error, ModuleNotFoundError):
        return (
            f"fmin's objective needs the module {error.name}, which is not found here ({here}): install it, or start "
            "the worker in the folder that it lies in"
        )
    return (
        f"fmin's objective cannot be unpickled here ({here}): functions are pickled as the bytecode of one Python "
        "version, so use the driver's, and its packages"
    )
