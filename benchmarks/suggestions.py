"""What one suggestion costs after n trials: hpcho's samplers, hyperopt's own functions, and Optuna's samplers.

Between two suggestions one more trial finishes, as in a run. Everything is in memory; loading and imports do not count.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
import warnings
from typing import TYPE_CHECKING, Any

import table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DECLARED = {
    "units": {"int": [12, 256], "step": 4},
    "dropout": {"float": [0.001, 0.7]},
    "lr": {"float": [1e-5, 1e-1], "log": True},
    "depth": {"int": [1, 6]},
    "optimizer": {"choice": ["rmsprop", {"sgd": {"momentum": {"float": [0, 0.99]}}}]},
    "decay": {"float": [1e-8, 1e-2], "log": True},
    "batch": {"int": [8, 256], "log": True},
    "activation": {"choice": ["relu", "tanh", "gelu"]},
    "noise": {"float": [0, 0.5]},
}
SAMPLERS = ("auto", "auto, pruned", "auto, warm", "random", "tpe", "anneal", "atpe")
"""Of auto also: with six in ten trials pruned, and with 100 trials of another experiment."""
STEPS = 27
SIZES = (10, 100, 1000, 10_000)
MOST = {"atpe": 1000}
"""History that a sampler is measured with at most: beyond, it takes seconds for each suggestion."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    contenders: list[tuple[str, str, Callable[[str, int], Iterator[None]]]] = [
        *[(name, "hpcho", hpcho) for name in SAMPLERS],
        *[(name, "hyperopt", hyperopt) for name in SAMPLERS[3:]],
        *[(name, "Optuna", optuna) for name in ("random", "tpe")],
    ]
    contenders.sort(key=lambda contender: SAMPLERS.index(contender[0]))
    rows = [
        {
            "sampler": name,
            "by": by,
            **{
                f"n = {n}, ms": cost_ms(start(name, n), options.repeats) if n <= MOST.get(name, n) else None
                for n in SIZES
            },
        }
        for name, by, start in contenders
    ]
    table.show("Cost of a suggestion after n trials", rows, as_json=options.json)


def cost_ms(suggestions: Iterator[None], repeats: int) -> float:
    """Median milliseconds of a step of ``suggestions``, after a first one that is not counted."""
    measured = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        next(suggestions)
        for _ in range(repeats):
            began = time.perf_counter()
            next(suggestions)
            measured.append(1000 * (time.perf_counter() - began))
    return statistics.median(measured)


def loss_of(params: dict[str, Any]) -> float:
    return params["dropout"] + abs(params["units"] - 100) / 100 + params["depth"] / 10


def finished_trials(n: int, pruned: float = 0.0) -> list[Any]:
    """Random points with their losses. Where a share was ``pruned``, that is at one of three steps of 27."""
    from hpcho import space as spaces
    from hpcho.trial import Report, Result, Trial, TrialState

    space, rng, chance = spaces.build(DECLARED), random.Random(1), random.Random(2)
    points = [space.sample(rng) for _ in range(n)]
    trials = []
    for tid, vals in enumerate(points):
        loss = loss_of(space.decode(vals))
        is_pruned = chance.random() < pruned
        last = chance.choice([4, 8, 16]) if is_pruned else STEPS
        curve = [Report(step, loss + 1 / step - 1 / STEPS) for step in range(1, last + 1)] if pruned else []
        trials.append(
            Trial(
                tid=tid,
                state=TrialState.DONE,
                version=1,
                vals=vals,
                reports=tuple(curve),
                result=Result(curve[-1].loss if curve else loss, pruned=is_pruned),
                claimed_at=float(tid),
                finished_at=tid + 1.0,
            )
        )
    return trials


def hpcho(name: str, n: int) -> Iterator[None]:
    from hpcho import samplers
    from hpcho import space as spaces
    from hpcho.experiment.schema import SamplerSpec

    kind, _, variant = name.partition(", ")
    space, rng = spaces.build(DECLARED), random.Random(3)
    others = tuple((vals, loss_of(space.decode(vals))) for vals in (space.sample(rng) for _ in range(100)))
    knowledge = (samplers.Knowledge("other", 100, others),) if variant == "warm" else ()
    sampler = samplers.build(SamplerSpec.model_validate({"name": kind}), space, knowledge)
    trials = finished_trials(n + 100, 0.6 if variant == "pruned" else 0.0)
    for count in range(n, n + 100):
        sampler.suggest(trials[:count], 1, 1)
        yield


def hyperopt(name: str, n: int) -> Iterator[None]:
    import hyperopt
    import numpy as np

    from hpcho import space as spaces
    from hpcho.trial import to_document

    suggest = {"random": hyperopt.rand, "tpe": hyperopt.tpe, "anneal": hyperopt.anneal, "atpe": hyperopt.atpe}[
        name
    ].suggest
    domain = hyperopt.Domain(None, spaces.build(DECLARED).hyperopt(), pass_expr_memo_ctrl=False)
    documents = [to_document(trial, "") for trial in finished_trials(n + 100)]
    if name == "atpe":
        _make_unconditional(documents)
    trials = hyperopt.trials_from_docs(documents[:n], validate=False)
    for count in range(n, n + 100):
        with np.errstate(all="ignore"):
            suggest([count], domain, trials, count)
        trials._insert_trial_docs([documents[count]])  # noqa: SLF001 - fmin does so, after checks that are no part of this
        trials.refresh()
        yield


def _make_unconditional(documents: list[dict[str, Any]]) -> None:
    """Give every label a value: hyperopt's own entry to ATPE fails on inactive parameters."""
    for document in documents:
        for label, values in document["misc"]["vals"].items():
            document["misc"]["vals"][label] = values or [0.5]
            document["misc"]["idxs"][label] = [document["tid"]]


def optuna(name: str, n: int) -> Iterator[None]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    samplers = {"random": optuna.samplers.RandomSampler, "tpe": optuna.samplers.TPESampler}
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    for _ in range(n):
        trial = study.ask()
        study.tell(trial, loss_of(_ask_optuna(trial)))
    study.sampler = samplers[name](seed=1)
    while True:
        trial = study.ask()
        study.tell(trial, loss_of(_ask_optuna(trial)))
        yield


def _ask_optuna(trial: Any) -> dict[str, Any]:
    params = {
        "units": trial.suggest_int("units", 12, 256, step=4),
        "dropout": trial.suggest_float("dropout", 0.001, 0.7),
        "lr": trial.suggest_float("lr", 1e-5, 1e-1, log=True),
        "depth": trial.suggest_int("depth", 1, 6),
        "optimizer": trial.suggest_categorical("optimizer", ["rmsprop", "sgd"]),
        "decay": trial.suggest_float("decay", 1e-8, 1e-2, log=True),
        "batch": trial.suggest_int("batch", 8, 256, log=True),
        "activation": trial.suggest_categorical("activation", ["relu", "tanh", "gelu"]),
        "noise": trial.suggest_float("noise", 0, 0.5),
    }
    if params["optimizer"] == "sgd":
        params["momentum"] = trial.suggest_float("momentum", 0, 0.99)
    return params


if __name__ == "__main__":
    main()
