"""What samplers find where there are two numbers to minimise, or constraints.

    python benchmarks/search/objectives.py [--samplers auto,random,optuna:TPESampler] [--evals 60] [--workers 4]
                                           [--seeds 20] [--only zdt1,gramacy] [--json]

With two numbers: the area (hypervolume) that the Pareto set dominates below a reference point, in the median over the
seeds; more is better. With constraints: how far the best feasible loss is above the least one there is, in the median;
less is better, and a search without any feasible trial counts as infinite. ``wins``: the seeds in which it is better
than ``random`` with the same seed. Optuna's samplers get all directions and constraints, as Optuna has them.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import json
import math
import random
import statistics
import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from simulate import SPREAD, Optunas

from hpcho import samplers
from hpcho import space as spaces
from hpcho.experiment.schema import SamplerSpec
from hpcho.goals import Goals
from hpcho.trial import Attempt, Result, Trial, TrialState

if TYPE_CHECKING:
    from collections.abc import Callable

Params = dict[str, Any]
Evaluation = tuple[float, dict[str, float]]


@dataclass(frozen=True)
class Task:
    """``reference``: the area's corner, one number for each that is minimised; ``least``: the least feasible loss."""

    space: dict[str, Any]
    evaluate: Callable[[Params], Evaluation]
    goals: Goals
    reference: tuple[float, float] | None = None
    least: float | None = None

    def quality(self, trials: list[Trial]) -> float:
        """The area, or the distance from the least loss as a negative number: more is better."""
        if self.reference is not None:
            points = [tuple((self.goals.values(trial) or {}).values()) for trial in self.goals.front(trials)]
            return area(points, self.reference)
        losses = [trial.loss for trial in trials if self.goals.are_met(trial) and trial.loss is not None]
        return (self.least or 0.0) - min(losses, default=math.inf)


def area(points: list[tuple[float, ...]], reference: tuple[float, float]) -> float:
    """What points dominate below ``reference``; they are sorted by their first number, and none dominates another."""
    total, height = 0.0, reference[1]
    for x, y in points:
        if x < reference[0] and y < height:
            total += (reference[0] - x) * (height - y)
            height = y
    return total


# -- two numbers ---------------------------------------------------------------------------------------------------


def numbers(count: int, low: float, high: float) -> dict[str, Any]:
    return {f"x{i}": {"float": [low, high]} for i in range(count)}


def branin(x: float, y: float) -> float:
    return (
        (y - 5.1 / (4 * math.pi**2) * x * x + 5 / math.pi * x - 6) ** 2
        + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x)
        + 10
    )


def branin_currin(p: Params) -> Evaluation:
    x, y = p["x0"], p["x1"]
    currin = 1 - math.exp(-1 / (2 * y)) if y > 0 else 1.0
    currin *= (2300 * x**3 + 1900 * x**2 + 2092 * x + 60) / (100 * x**3 + 500 * x**2 + 4 * x + 20)
    return branin(15 * x - 5, 15 * y), {"other": currin}


def fonseca(p: Params) -> Evaluation:
    shift = 1 / math.sqrt(len(p))
    first, second = (1 - math.exp(-sum((x + sign * shift) ** 2 for x in p.values())) for sign in (-1, 1))
    return first, {"other": second}


def kursawe(p: Params) -> Evaluation:
    xs = list(p.values())
    first = sum(-10 * math.exp(-0.2 * math.hypot(a, b)) for a, b in itertools.pairwise(xs))
    return first, {"other": sum(abs(x) ** 0.8 + 5 * math.sin(x**3) for x in xs)}


def zdt1(p: Params) -> Evaluation:
    first, *rest = p.values()
    far = 1 + 9 * sum(rest) / len(rest)
    return first, {"other": far * (1 - math.sqrt(first / far))}


NETWORK = {
    "units": {"int": [8, 1024], "log": True},
    "depth": {"int": [1, 8]},
    "dropout": {"float": [0, 0.7]},
    "lr": {"float": [1e-5, 1], "log": True},
    "optimizer": {"choice": ["adam", {"sgd": {"momentum": {"float": [0, 0.99]}}}]},
}


def network(p: Params) -> Evaluation:
    """Made up: an error that falls with size, and needs the right rate."""
    best = -3.0 if p["optimizer"] == "adam" else -1.5 - p["momentum"]
    size = p["depth"] * p["units"] ** 2 / 1e6
    error = 0.04 + 0.9 / (1 + (1000 * size) ** 0.45) + 0.03 * (math.log10(p["lr"]) - best) ** 2
    return error + 0.2 * (p["dropout"] - 0.25) ** 2 + 0.01 * abs(p["depth"] - 3), {"other": math.log10(1 + 1000 * size)}


# -- constraints ---------------------------------------------------------------------------------------------------


def gramacy(p: Params) -> Evaluation:
    x, y = p["x0"], p["x1"]
    first = 1.5 - x - 2 * y - 0.5 * math.sin(2 * math.pi * (x * x - 2 * y))
    return x + y, {"c": first, "d": x * x + y * y - 1.5}


def gardner(p: Params) -> Evaluation:
    """The feasible part is small: 1 in 56 random points."""
    return math.sin(p["x0"]) + p["x1"], {"c": math.sin(p["x0"]) * math.sin(p["x1"])}


A = ((10, 3, 17, 3.5, 1.7, 8), (0.05, 10, 17, 0.1, 8, 14), (3, 3.5, 1.7, 10, 17, 8), (17, 8, 0.05, 10, 0.1, 14))
P = (
    (0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886),
    (0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991),
    (0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650),
    (0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381),
)


def hartmann(p: Params) -> Evaluation:
    xs = list(p.values())
    loss = -sum(
        weight * math.exp(-sum(a * (x - q) ** 2 for a, x, q in zip(row, xs, at, strict=True)))
        for weight, row, at in zip((1.0, 1.2, 3.0, 3.2), A, P, strict=True)
    )
    return loss, {"c": math.hypot(*xs)}


BOTH = Goals(("loss", "other"))
TASKS = {
    "branin_currin": Task(numbers(2, 0, 1), branin_currin, BOTH, reference=(18.0, 6.0)),
    "fonseca": Task(numbers(3, -4, 4), fonseca, BOTH, reference=(1.0, 1.0)),
    "kursawe": Task(numbers(3, -5, 5), kursawe, BOTH, reference=(-10.0, 5.0)),
    "zdt1": Task(numbers(5, 0, 1), zdt1, BOTH, reference=(1.0, 4.0)),
    "network": Task(NETWORK, network, BOTH, reference=(0.6, 4.0)),
    "gramacy": Task(numbers(2, 0, 1), gramacy, Goals.read(["loss"], ["c <= 0", "d <= 0"]), least=0.59978),
    "gardner": Task(numbers(2, 0, 6), gardner, Goals.read(["loss"], ["c <= -0.95"]), least=0.25323),
    "hartmann": Task(numbers(6, 0, 1), hartmann, Goals.read(["loss"], ["c <= 1"]), least=-3.32237),
    "small_network": Task(NETWORK, network, Goals.read(["loss"], ["other < 1.5"]), least=0.19894),
}


# -- searches ------------------------------------------------------------------------------------------------------


class Ours:
    """One of hpcho's samplers."""

    def __init__(self, name: str, task: Task, seed: int) -> None:
        self._space, self._seed = spaces.build(task.space), seed
        self._sampler = samplers.build(SamplerSpec.model_validate(name), self._space, goals=task.goals)
        self._trials: list[Trial] = []

    def ask(self) -> tuple[int, Params]:
        """A trial's key and params."""
        (vals,) = self._sampler.suggest(self._trials, 1, self._seed)
        tid = len(self._trials)
        self._trials.append(Trial(tid=tid, state=TrialState.RUNNING, version=1, vals=vals))
        return tid, self._space.decode(vals)

    def tell(self, key: int, done: Trial) -> None:
        """What became of it."""
        self._trials[key] = replace(done, vals=self._trials[key].vals)


class Theirs(Optunas):
    """One of Optuna's samplers, with all directions and constraints."""

    def __init__(self, name: str, task: Task, seed: int) -> None:
        import optuna

        super().__init__(name, task.space, seed)
        options: dict[str, Any] = {"seed": seed}
        if task.goals.constraints:
            options["constraints_func"] = lambda trial: trial.user_attrs["excess"]
        sampler = getattr(optuna.samplers, name)(**options)
        self._goals = task.goals
        self._study = optuna.create_study(directions=["minimize"] * len(task.goals.minimise), sampler=sampler)

    def ask(self) -> tuple[int, Params]:  # type: ignore[override]
        """See Ours."""
        return super().ask(1)[0]

    def tell(self, key: int, done: Trial) -> None:  # type: ignore[override]
        """See Ours."""
        trial = self._trials.pop(key)
        trial.set_user_attr("excess", [constraint.excess(done) for constraint in self._goals.constraints])
        self._study.tell(trial, list((self._goals.values(done) or {}).values()))


def search(name: str, task: Task, evals: int, workers: int, seed: int) -> float:
    """The quality of what ``evals`` evaluations by ``workers`` simulated workers have found."""
    library, _, sampler = name.rpartition(":")
    contender = Theirs(sampler, task, seed) if library == "optuna" else Ours(name, task, seed)
    durations = random.Random(seed)
    running: list[tuple[float, int, Params]] = []
    trials: list[Trial] = []
    now, asked = 0.0, 0
    while len(trials) < evals:
        while len(running) < workers and asked < evals:
            key, params = contender.ask()
            asked += 1
            heapq.heappush(running, (now + durations.lognormvariate(0, SPREAD), key, params))
        now, key, params = heapq.heappop(running)
        loss, data = task.evaluate(params)
        done = Trial(
            tid=key,
            state=TrialState.DONE,
            version=2,
            vals={},
            result=Result(loss, data=data),
            attempts=(Attempt(None, 0.0, 1.0),),
            finished_at=now,
        )
        contender.tell(key, done)
        trials.append(done)
    return task.quality(trials)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samplers", default="auto,random,optuna:TPESampler,optuna:NSGAIISampler")
    parser.add_argument("--evals", type=int, default=60)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--only", default=",".join(TASKS))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore", FutureWarning)  # Optuna's, of the one way to state constraints that versions share
    found: dict[str, dict[str, dict[str, float]]] = {}
    names = list(dict.fromkeys(["random", *options.samplers.split(",")]))
    for at in options.only.split(","):
        task = TASKS[at]
        by_name = {
            name: [search(name, task, options.evals, options.workers, seed) for seed in range(options.seeds)]
            for name in names
        }
        found[at] = {
            name: {
                "median": abs(statistics.median(qualities)),
                "wins": sum(a > b for a, b in zip(qualities, by_name["random"], strict=True)),
            }
            for name, qualities in by_name.items()
        }
        if not options.json:
            cells = "  ".join(f"{name} {one['median']:.4g} ({one['wins']})" for name, one in found[at].items())
            what = "area, more is better" if task.reference else "above the least loss, less is better"
            print(f"{at} ({what}): {cells}", flush=True)
    if options.json:
        print(json.dumps(found, allow_nan=True))


if __name__ == "__main__":
    main()
