"""How good the points are that samplers find: regret after a number of evaluations by asynchronous workers.

A task's regret is ``(best found - best there is) / (a median random point - best there is)``: 1 is as good as one
random point. Of each task the median over seeds counts, 0.005 at least; a sampler's figure is the geometric mean over
tasks of its ratio to hyperopt's TPE, with the 95 % interval of a bootstrap over seeds.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

# As hpcho itself has it: small matrices, and one thread for each of the processes.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# What every benchmark prints lies a folder above; and hpcho is this tree's, whichever is installed.
sys.path.insert(1, str(Path(__file__).parents[1]))
sys.path.insert(1, str(Path(__file__).parents[2]))

import numpy as np
import simulate
import table
import tasks

FLOOR = 0.005
BASE = "hyperopt:tpe"
Key = tuple[str, str, int]


def main() -> None:
    options = arguments()
    names = options.samplers.split(",")
    groups = groups_of(options.tasks, options.group, options.only)
    every = [name for group in groups.values() for name in group]
    jobs = list(product(dict.fromkeys([BASE, *names]), every, range(options.seeds)))
    shared = [options.workers] * len(jobs), [options.evals] * len(jobs), [options.tasks] * len(jobs)
    with ProcessPoolExecutor(options.processes) as pool:
        found = dict(zip(jobs, pool.map(one, jobs, *shared, chunksize=4), strict=True))
    settings = f"{options.workers} workers, {options.evals} evaluations, {options.seeds} seeds"
    documents = []
    for title, group in groups.items():
        rows = summary(found, dict.fromkeys([BASE, *names]), group, options.seeds)
        if options.json:
            documents.append({"tasks": title, "rows": rows})
            continue
        table.show(f"Search, {title}: {settings}", rows, as_json=False)
        per_task = [
            {"task": name, **{sampler: median_of(found, sampler, name, options.seeds) for sampler in names}}
            for name in group
        ]
        table.show(f"Median regret, {title}: {settings}", per_task, as_json=False)
    if options.json:
        medians = {
            sampler: {name: median_of(found, sampler, name, options.seeds) for name in every}
            for sampler in dict.fromkeys([BASE, *names])
        }
        print(
            json.dumps(
                {
                    "settings": settings,
                    "machine": table.machine(),
                    "groups": documents,
                    "medians": medians,
                    "searches": [[*key, *value] for key, value in found.items()],
                }
            )
        )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samplers", default="auto,hyperopt:tpe,optuna:TPESampler", help="names with commas between")
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--evals", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--tasks", type=Path, metavar="FILE.py", help="further tasks, those in its TASKS")
    parser.add_argument("--group", choices=["all", "tuned", "held-out"], default="all")
    parser.add_argument("--only", default="", help="tasks with one of these, commas between, in their names")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def groups_of(file: Path | None, group: str, only: str) -> dict[str, tuple[str, ...]]:
    """The tasks by how they were used: title -> names."""
    groups = {"tasks used in tuning": tasks.TUNED, "tasks kept out of tuning": tasks.HELD_OUT}
    if group != "all":
        groups.pop("tasks kept out of tuning" if group == "tuned" else "tasks used in tuning")
    if only:
        groups = {
            title: tuple(name for name in names if any(part in name for part in only.split(",")))
            for title, names in groups.items()
        }
    if file is not None:
        groups[f"tasks of {file.name}"] = tuple(load(file))
    return {title: names for title, names in groups.items() if names}


def load(file: Path) -> dict[str, tasks.Task]:
    spec = importlib.util.spec_from_file_location("further_tasks", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return dict(module.TASKS)


def one(job: Key, workers: int, evals: int, file: Path | None) -> tuple[float, float]:
    """The regret of one search and its milliseconds a suggestion."""
    sampler, name, seed = job
    space, objective, best, median = load(file)[name] if name not in tasks.MAKERS and file else tasks.task(name)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        found = simulate.search(simulate.contender(sampler, space, seed), objective, workers, evals, seed)
    return (found.best - best) / (median - best), found.ms


def median_of(found: dict[Key, tuple[float, float]], sampler: str, name: str, seeds: int) -> float:
    return statistics.median(found[sampler, name, seed][0] for seed in range(seeds))


def summary(
    found: dict[Key, tuple[float, float]], samplers: Any, group: tuple[str, ...], seeds: int
) -> list[dict[str, Any]]:
    """A row for each sampler."""
    regrets = {s: np.array([[found[s, name, seed][0] for seed in range(seeds)] for name in group]) for s in samplers}
    draws = np.random.default_rng(0).integers(seeds, size=(1000, seeds))
    medians = np.array([np.median(regrets[s], axis=1) for s in samplers])
    ranks = (medians[:, None] > medians[None]).sum(axis=1) + ((medians[:, None] == medians[None]).sum(axis=1) + 1) / 2
    rows = []
    for s, rank in zip(samplers, ranks, strict=True):
        boot = [ratio(regrets[s][:, draw], regrets[BASE][:, draw]) for draw in draws]
        low, high = np.percentile(boot, [2.5, 97.5])
        ms = statistics.median(found[s, name, seed][1] for name in group for seed in range(seeds))
        rows.append(
            {
                "sampler": s,
                "ratio to hyperopt's TPE": round(ratio(regrets[s], regrets[BASE]), 3),
                "95 % interval": f"{low:.2f} to {high:.2f}",
                "mean rank": round(float(rank.mean()), 2),
                "ms a suggestion": round(ms, 2),
            }
        )
    return rows


def ratio(regrets: np.ndarray, base: np.ndarray) -> float:
    """Geometric mean over tasks (rows) of the ratio of the medians over seeds (columns)."""
    ours, theirs = (np.log(np.maximum(np.median(each, axis=1), FLOOR)) for each in (regrets, base))
    return float(np.exp((ours - theirs).mean()))


if __name__ == "__main__":
    main()
