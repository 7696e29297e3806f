"""Trials per second with an objective that costs nothing: hpcho, Optuna and hyperopt's fmin, one after another.

Each contender is a command of its own, so that start-up and imports count in the rate over the whole run. The steady
rate is that between the 10th and the 90th percentile of the times at which trials finished.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import table

EXPERIMENT = """
name: throughput
objective: {{python: objective.py:objective}}
space:
  x: {{float: [-1, 1]}}
  y: {{float: [1.0e-5, 1.0e-1], log: true}}
sampler: {{name: random, seed: 1}}
budget: {{trials: {trials}}}
launcher: {{local: {{workers: 2}}}}
"""
OBJECTIVE = "def objective(params):\n    return params['x'] + params['y']\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=2000, help="trials of hpcho and of hyperopt")
    parser.add_argument("--optuna-trials", type=int, default=500, help="trials of Optuna, which takes longer")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--contender", nargs=3, metavar=("NAME", "FOLDER", "TRIALS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        name, folder, trials = options.contender
        CONTENDERS[name](Path(folder), int(trials))
        return
    contests = [
        ("hpcho: random, sqlite, 2 workers", "hpcho", options.trials),
        ("Optuna: RandomSampler, SQLite, 2 processes", "optuna", options.optuna_trials),
        ("hyperopt: fmin, rand.suggest, in memory, 1 process", "hyperopt", options.trials),
    ]
    measured = [(what, trials, *measure(name, trials)) for what, name, trials in contests]
    rows = [
        {
            "what": what,
            "trials": trials,
            "whole run, trials/s": trials / seconds,
            "steady, trials/s": steady,
            "hpcho is faster by, whole run": measured[0][1] / measured[0][2] / (trials / seconds),
            "hpcho is faster by, steady": measured[0][3] / steady,
        }
        for what, trials, seconds, steady in measured
    ]
    table.show("Throughput: an objective that costs nothing", rows, as_json=options.json)


def measure(name: str, trials: int) -> tuple[float, float]:
    """Seconds of the whole run, and the steady rate in trials per second."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        _start(name, Path(folder), trials).check_returncode()
        seconds = time.perf_counter() - began
        _start(f"{name}_times", Path(folder), trials).check_returncode()
        times = sorted(json.loads((Path(folder) / "times.json").read_text()))
    assert len(times) >= trials, f"{name} finished {len(times)} of {trials} trials"
    low, high = len(times) // 10, len(times) * 9 // 10
    return seconds, (high - low) / (times[high] - times[low])


def _start(name: str, folder: Path, trials: int) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, __file__, "--contender", name, str(folder), str(trials)]
    if name == "hpcho":
        (folder / "objective.py").write_text(OBJECTIVE)
        (folder / "experiment.yaml").write_text(EXPERIMENT.format(trials=trials))
        command = [sys.executable, "-m", "hpcho", "run", str(folder / "experiment.yaml")]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        sys.stderr.buffer.write(done.stdout)
    return done


def hpcho_times(folder: Path, _trials: int) -> None:
    from hpcho.jobdir import JobDir
    from hpcho.store import open_store

    store = open_store(JobDir(folder / "runs" / "throughput"))
    _, trials = store.changes()
    store.close()
    _write(folder, [trial.finished_at for trial in trials if trial.is_ok])


def optuna(folder: Path, trials: int) -> None:
    import optuna

    optuna.create_study(storage=_url(folder), study_name="throughput")
    command = [sys.executable, __file__, "--contender", "optuna_worker", str(folder)]
    workers = [subprocess.Popen([*command, str(share)]) for share in (trials // 2, trials - trials // 2)]
    codes = [worker.wait() for worker in workers]
    if any(codes):
        sys.exit("an Optuna process failed")


def optuna_worker(folder: Path, trials: int) -> None:
    import optuna

    def objective(trial: optuna.Trial) -> float:
        return trial.suggest_float("x", -1, 1) + trial.suggest_float("y", 1e-5, 1e-1, log=True)

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.RandomSampler(seed=os.getpid())
    study = optuna.load_study(storage=_url(folder), study_name="throughput", sampler=sampler)
    study.optimize(objective, n_trials=trials)


def optuna_times(folder: Path, _trials: int) -> None:
    import optuna

    study = optuna.load_study(storage=_url(folder), study_name="throughput")
    _write(folder, [trial.datetime_complete.timestamp() for trial in study.trials if trial.datetime_complete])


def hyperopt(folder: Path, trials: int) -> None:
    import numpy as np
    from hyperopt import fmin, hp, rand

    times = []

    def objective(params: dict[str, float]) -> float:
        times.append(time.time())
        return params["x"] + params["y"]

    space = {"x": hp.uniform("x", -1, 1), "y": hp.loguniform("y", np.log(1e-5), np.log(1e-1))}
    fmin(objective, space, rand.suggest, max_evals=trials, rstate=np.random.default_rng(1), verbose=False)
    _write(folder, times)


def hyperopt_times(_folder: Path, _trials: int) -> None:
    """Its run has written them: nothing else keeps them."""


def _url(folder: Path) -> str:
    return f"sqlite:///{folder / 'optuna.db'}"


def _write(folder: Path, times: list[float]) -> None:
    (folder / "times.json").write_text(json.dumps(times))


CONTENDERS = {
    "hpcho_times": hpcho_times,
    "optuna": optuna,
    "optuna_worker": optuna_worker,
    "optuna_times": optuna_times,
    "hyperopt": hyperopt,
    "hyperopt_times": hyperopt_times,
}

if __name__ == "__main__":
    main()
