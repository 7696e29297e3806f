"""hyperopt's ATPE (adaptive TPE) as a pure sampler.

``hyperopt.atpe.suggest`` itself fails on pending trials, on conditional parameters once one of them is inactive, on
pchoice, qnormal, qlognormal, uniformint and a randint that ends at 0; and it draws from the global random states. Here
its optimizer gets the search space and the results in a form that it can take, and the global states stay as they were.
"""

from __future__ import annotations

import math
import random
import warnings
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from hpcho.errors import UsageError
from hpcho.samplers.history import next_tid, seed_for
from hpcho.samplers.hyperopt_sampler import domain_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from hpcho.space import Space
    from hpcho.trial import Trial, Vals

__all__ = ["AtpeSampler"]


class AtpeSampler:
    """ATPE: TPE whose own settings come from models of earlier searches (LightGBM).

    Only successful trials say anything to it. It cannot take pending ones into account, and would ask for nearly the
    same point again beside one that is being evaluated: hence one worker.
    """

    name = "atpe"
    uses_history = True
    max_workers: int | None = 1

    def __init__(self, space: Space) -> None:
        """Raises UsageError when the extra ``atpe`` is not installed or the space has a distribution ATPE lacks."""
        self._optimizer = _load_optimizer()
        self._domain = domain_of(space)
        # ATPE splits names at dots and numbers, so parameters go by names of our own.
        self._names = {label: f"p{index}" for index, label in enumerate(self._domain.params)}
        properties = {self._names[label]: _describe(label, node) for label, node in self._domain.params.items()}
        self._described = {"type": "object", "properties": properties}

    def suggest(self, trials: Sequence[Trial], n: int, seed: int) -> list[Vals]:
        """``n`` points after ``trials``; the i-th depends on the trials, ``seed`` and the trial id it will get."""
        results = self._results(trials)
        first = next_tid(trials)
        return [self._suggest(results, seed_for(seed, tid)) for tid in range(first, first + n)]

    def _suggest(self, results: list[dict[str, Any]], seed: int) -> Vals:
        with _global_randomness(seed):
            values = self._optimizer.recommendNextParameters(self._described, results, currentTrials=[])
        point = {}
        for label, node in self._domain.params.items():
            value = values[self._names[label]]
            point[label] = int(value) if node.name == "randint" else float(value)
        active = set(_active(self._domain.expr, point))
        return {label: [value] if label in active else [] for label, value in point.items()}

    def _results(self, trials: Sequence[Trial]) -> list[dict[str, Any]]:
        """Successful trials as ATPE's results, with positive losses, as its models expect them."""
        done = [(trial, trial.loss) for trial in trials if trial.loss is not None]
        least = min((loss for _, loss in done), default=0.0)
        shift = 0.1 - least if least < 0 else 0.0
        return [
            {
                "trial": index,
                "status": "ok",
                "loss": loss + shift,
                "log": "",
                "time": trial.duration_s or 0.0,
                **{name: next(iter(trial.vals[label]), None) for label, name in self._names.items()},
            }
            for index, (trial, loss) in enumerate(done)
        ]


def _load_optimizer() -> Any:
    # Importing lightgbm draws from the global generator, too.
    with _global_randomness(0):
        try:
            for package in ("lightgbm", "sklearn"):
                import_module(package)
        except (ImportError, OSError) as error:  # OSError: a shared library that they need is missing
            raise UsageError(
                f"sampler atpe needs lightgbm and scikit-learn, which cannot be imported here: {error}. "
                'Install them with: pip install "hpcho[atpe]"'
            ) from error
        from hyperopt.atpe import ATPEOptimizer  # noqa: PLC0415 - importing hyperopt takes a second

        optimizer = ATPEOptimizer()
    # One row at a time needs one thread: waking one for each core takes longer, and the cores are the workers'.
    optimizer.parameterModels = {
        name: SimpleNamespace(predict=partial(model.predict, num_threads=1))
        for name, model in optimizer.parameterModels.items()
    }
    return optimizer


def _describe(label: str, node: Any) -> dict[str, Any]:
    """A distribution in ATPE's own terms; hyperopt's translation knows only some of them."""
    from hyperopt.pyll import Literal  # noqa: PLC0415 - importing hyperopt takes a second

    arguments = {name: argument.obj for name, argument in node.arg.items() if isinstance(argument, Literal)}
    if node.name == "categorical":
        raise UsageError(
            f"sampler atpe knows no pchoice, which {label!r} uses. Write a plain choice, or take sampler auto."
        )
    if node.name == "randint":
        low, high = arguments["low"], arguments.get("high")
        return {
            "type": "number",
            "mode": "randint",
            "min": low if high is not None else 0,
            "max": high if high is not None else low,
        }
    logarithmic = "log" in node.name
    described: dict[str, Any] = {"type": "number", "scaling": "logarithmic" if logarithmic else "linear"}
    if node.name.endswith("uniform"):
        described["mode"] = "uniform"
        bounds = {"min": arguments["low"], "max": arguments["high"]}
    else:
        described["mode"] = "normal"
        mean, deviation = arguments["mu"], arguments["sigma"]
        bounds = {"mean": mean, "stddev": deviation}
        if "q" in arguments:
            # ATPE counts the steps between the bounds of whatever is rounded, so it is told where most values are.
            bounds |= {"min": mean - 3 * deviation, "max": mean + 3 * deviation}
    if "q" in arguments:
        described["rounding"] = arguments["q"]
    return described | {key: math.exp(value) if logarithmic else value for key, value in bounds.items()}


def _active(node: Any, point: Mapping[str, Any]) -> Iterator[str]:
    """Labels of the parameters that exist at ``point``: those on the way through the options that its choices took."""
    if node.name == "hyperopt_param":
        yield node.arg["label"].obj
    elif node.name == "switch":
        choice, *options = node.pos_args
        label = choice.arg["label"].obj
        yield label
        yield from _active(options[point[label]], point)
    else:
        for argument in node.inputs():
            yield from _active(argument, point)


@contextmanager
def _global_randomness(seed: int) -> Iterator[None]:
    """Seed Python's and numpy's global generators, which ATPE draws from, and put them back as they were."""
    import numpy as np  # noqa: PLC0415 - `hpcho --help` does without numpy

    python_state = random.getstate()
    numpy_state = np.random.get_state()  # noqa: NPY002 - the global generator is meant
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - the global generator is meant
    try:
        # Correlations of parameters that never changed, and logarithms of zero densities, are warned of in vain.
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002 - the global generator is meant
