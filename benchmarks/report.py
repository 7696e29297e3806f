"""What the report costs: seconds to write it, the page's size, and the time until it can be used in a browser.

The trials are made up: a network's parameters, learning curves, failures of several causes, and idle workers. The time
to interactive is headless Chromium's, from the start of the navigation until the page's own script has run, what is
above the fold is painted and the browser answers again; the median of several starts.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import table

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Playwright

    from hpcho.experiment.schema import Experiment
    from hpcho.space import Space
    from hpcho.trial import Trial

SPACE = {
    "units": {"int": [16, 512], "step": 16},
    "layers": {"int": [1, 4]},
    "dropout": {"float": [0.0, 0.6]},
    "learning_rate": {"float": [1e-5, 1e-1], "log": True},
    "batch_size": {"choice": [32, 64, 128, 256]},
    "activation": {"choice": ["relu", "gelu", "tanh"]},
    "optimizer": {"choice": ["adam", "rmsprop", {"sgd": {"momentum": {"float": [0.0, 0.99]}}}]},
}
WORKERS = 16
SECONDS_A_TRIAL = 175
ERRORS = {
    "objective": 'Traceback (most recent call last):\n  File "train.py", line 41\nValueError: loss is nan',
    "timeout": "no result after 20 min",
    "oom": "the trial was killed: it used more than 16 GB",
    "preempted": "its job 4711_3 was preempted on gpu07",
    "node": "node gpu05 failed",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--starts", type=int, default=5, help="how often the page is opened")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = [measured(count, options.starts) for count in options.trials]
    table.show("The report", rows, as_json=options.json)


def measured(count: int, starts: int) -> dict[str, float]:
    from hpcho.report import render

    experiment, space, trials = study(count)
    with tempfile.TemporaryDirectory() as name:
        began = time.perf_counter()
        page, *_ = render(experiment, space, trials, Path(name), elapsed_s=5 * 3600.0)
        took = time.perf_counter() - began
        return {
            "trials": count,
            "render s": took,
            "page MB": page.stat().st_size / 1e6,
            "interactive s": interactive_s(page, starts),
        }


def interactive_s(page: Path, starts: int) -> float:
    """Seconds until the page answers: the median of ``starts`` fresh browsers."""
    from playwright.sync_api import sync_playwright

    times = []
    with sync_playwright() as playwright:
        for _ in range(starts):
            browser = launched(playwright)
            view = browser.new_page(viewport={"width": 1366, "height": 768})
            view.goto(page.absolute().as_uri())
            # Two frames after the script's end everything above the fold is painted and the event loop is free.
            waiting = (
                "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now()))))"
            )
            times.append(view.evaluate(waiting) / 1000)
            browser.close()
    return statistics.median(times)


def chromium() -> str | None:
    """The program of a Chromium that this machine has."""
    return shutil.which("chromium") or shutil.which("google-chrome")


def launched(playwright: Playwright) -> Browser:
    """Chromium, headless."""
    program = chromium()
    if program is None:
        raise SystemExit("this needs Chromium: tests/browser/install, as root, brings it")
    # As root, in a container say, Chromium cannot have its sandbox.
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    return playwright.chromium.launch(executable_path=program, args=options)


def study(count: int, seed: int = 1) -> tuple[Experiment, Space, list[Trial]]:
    """An experiment, its space and ``count`` trials of it, the last few running."""
    from hpcho import space
    from hpcho.experiment.launchers import LauncherSpec, SlurmLauncher
    from hpcho.experiment.schema import Budget, Experiment, MongoSpec, ObjectiveSpec
    from hpcho.trial import Attempt, Cause, Owner, Report, Result, Trial, TrialState

    rng = random.Random(seed)
    built = space.build(SPACE)
    experiment = Experiment(
        name="digits-mlp",
        objective=ObjectiveSpec(python="train.py:objective"),
        space=SPACE,
        budget=Budget(trials=count),
        store={"mongo": MongoSpec()},
        launcher=LauncherSpec(slurm=SlurmLauncher(workers=WORKERS, gpus=1)),
    )
    began = time.time() - count * SECONDS_A_TRIAL / WORKERS
    free = [(began + rng.random() * 900, worker) for worker in range(WORKERS)]
    trials = []
    for tid in range(count):
        free.sort()
        clock, worker = free[0]
        owner = Owner(f"gpu{worker // 4:02}", 4000 + worker, 7, f"4711_{worker}")
        vals = built.sample(rng)
        params = built.decode(vals)
        attempts = []
        took = 60 + params["units"] * params["layers"] / 8 * rng.uniform(0.7, 1.3)
        for cause in (Cause.PREEMPTED, Cause.NODE):
            if rng.random() < 0.02:
                part = took * rng.random()
                attempts.append(Attempt(owner, clock, clock + part, cause, ERRORS[cause.value], rng.random() < 0.5))
                clock += part + 60 * rng.random()
        common = {"tid": tid, "version": 1, "vals": vals}
        if tid >= count - 6 and count > 20:
            trials.append(
                Trial(**common, state=TrialState.RUNNING, owner=owner, attempts=(*attempts,), claimed_at=clock)
            )
            free[0] = (clock + took, worker)
            continue
        loss, curve = losses(params, rng)
        cause = next(
            (c for c, p in ((Cause.OBJECTIVE, 0.05), (Cause.TIMEOUT, 0.02), (Cause.OOM, 0.02)) if rng.random() < p),
            None,
        )
        attempts.append(Attempt(owner, clock, clock + took, cause, ERRORS[cause.value] if cause else None))
        free[0] = (clock + took + rng.expovariate(1 / 20), worker)
        trials.append(
            Trial(
                **common,
                state=TrialState.ERROR if cause else TrialState.DONE,
                owner=owner,
                attempts=tuple(attempts),
                result=None if cause else Result(loss, attachments=("model.keras",)),
                reports=tuple(Report(step, value) for step, value in enumerate(curve)),
                finished_at=clock + took,
            )
        )
    return experiment, built, trials


def losses(params: dict[str, float], rng: random.Random) -> tuple[float, list[float]]:
    """A loss that depends on the params as a network's does, and the curve that led to it."""
    rate = math.log10(params["learning_rate"]) + 3
    loss = 0.12 + 0.09 * rate**2 + 0.08 * abs(params["dropout"] - 0.25) + 12 / (params["units"] + 40)
    loss += {"relu": 0.0, "gelu": -0.01, "tanh": 0.05}[params["activation"]]
    loss += {"adam": 0.0, "rmsprop": 0.02}.get(params["optimizer"], 0.12 * (1 - params.get("momentum", 0.0)))
    loss *= rng.lognormvariate(0, 0.12)
    speed = rng.uniform(2, 6)
    return loss, [loss + 1.5 * math.exp(-step / speed) * rng.uniform(0.9, 1.1) for step in range(20)]


if __name__ == "__main__":
    main()
