"""Whether the SQLite store and the controller slow down as trials pile up: their costs at 100 and at 10 000 trials."""

from __future__ import annotations

import argparse
import contextlib
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import table

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpcho.controller import Controller
    from hpcho.store import TrialStore

EXPERIMENT = """
name: growth
objective: {python: objective.py:objective}
space:
  x: {float: [-1, 1]}
sampler: {name: random, seed: 1}
budget: {trials: 1000000}
launcher: none
store: sqlite
"""
OBJECTIVE = "def objective(params):\n    return params['x']\n"
TURN, TURNS = 10, 30
"""How many trials one store gets before it is the other's turn, and how many turns each has."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs=2, default=[100, 10_000], metavar=("SMALL", "LARGE"))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    small, large = costs_ms(options.sizes)
    rows = [
        {
            "what": what,
            f"at {options.sizes[0]} trials, ms": small[what],
            f"at {options.sizes[1]} trials, ms": large[what],
            "ratio": large[what] / small[what],
        }
        for what in small
    ]
    table.show("Growth: medians of single calls", rows, as_json=options.json)


def costs_ms(sizes: list[int]) -> list[dict[str, float]]:
    """For each size, the median milliseconds of each call in a store that holds so many finished trials.

    The stores take turns, so that whatever else the machine does hits all of them.
    """
    with contextlib.ExitStack() as stack:
        pairs = []
        for size in sizes:
            store, controller = prepare(Path(stack.enter_context(tempfile.TemporaryDirectory())))
            stack.callback(store.close)
            evaluate(store, controller, size)
            pairs.append((store, controller))
        turns = [[evaluate(store, controller, TURN) for store, controller in pairs] for _ in range(TURNS)]
    return [
        {what: statistics.median(ms for turn in turns for ms in turn[i][what]) for what in turns[0][i]}
        for i in range(len(sizes))
    ]


def prepare(folder: Path) -> tuple[TrialStore, Controller]:
    """An experiment whose workers this process plays itself."""
    from hpcho import controller, experiment, samplers, space
    from hpcho.jobdir import JobDir
    from hpcho.launchers.none import NoLauncher
    from hpcho.store import open_store

    yaml = folder / "experiment.yaml"
    yaml.write_text(EXPERIMENT)
    (folder / "objective.py").write_text(OBJECTIVE)
    loaded, _ = experiment.load(yaml)
    built = space.build(loaded.space)
    jobdir = JobDir(folder / "runs" / loaded.name)
    controller.prepare(loaded, built, yaml, jobdir)
    store = open_store(jobdir)
    sampler = samplers.build(loaded.sampler, built)
    return store, controller.Controller(loaded, jobdir, store, built, sampler, NoLauncher(), seed=1)


def evaluate(store: TrialStore, controller: Controller, count: int) -> dict[str, list[float]]:
    """Claim and finish ``count`` trials with a controller step after each; milliseconds of every call."""
    from hpcho.trial import Owner, Result

    owner = Owner.here()
    measured: dict[str, list[float]] = {"claim": [], "finish": [], "controller step": []}

    def timed(what: str, call: Callable[[], object]) -> object:
        began = time.perf_counter()
        result = call()
        measured[what].append(1000 * (time.perf_counter() - began))
        return result

    controller.step()
    for _ in range(count):
        trial = timed("claim", lambda: store.claim(owner))
        assert trial is not None, "the controller has suggested nothing"
        timed("finish", lambda trial=trial: store.finish(trial, Result(trial.vals["x"][0])))
        timed("controller step", controller.step)
    return measured


if __name__ == "__main__":
    main()
