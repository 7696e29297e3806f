"""What a trial costs beside the objective: hpcho's warm Keras worker, and a Python process for each trial.

hpcho's figure is the time between the ends of two successive trials of one worker, whose child has imported Keras:
claim, hand over, an empty objective, result, finish, and everything else there is. hyperopt's own worker starts a
Python process for each trial, which imports hyperopt and what the objective needs: that start alone is its figure.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import table

EXPERIMENT = """
name: overhead
objective: {{python: objective.py:objective}}
space:
  x: {{float: [-1, 1]}}
sampler: {{name: random, seed: 1}}
budget: {{trials: {trials}}}
trial: {{recycle_after: {trials}}}
launcher: {{local: {{workers: 1}}}}
"""
OBJECTIVE = "import keras\n\n\ndef objective(params):\n    assert keras\n    return params['x']\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--starts", type=int, default=5, help="how often a process is started")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    warm, slow = warm_worker_ms(options.trials)
    rows = [
        {"what": "hpcho: warm Keras worker, median", "ms a trial": warm},
        {"what": "hpcho: warm Keras worker, 99th percentile", "ms a trial": slow},
        {"what": "a process with hyperopt (its own worker)", "ms a trial": start_ms("hyperopt", options.starts)},
        {"what": "a process with hyperopt and Keras", "ms a trial": start_ms("hyperopt, keras", options.starts)},
    ]
    rows = [{**row, "times hpcho's": row["ms a trial"] / warm} for row in rows]
    table.show("Overhead of a trial: an empty objective that has imported Keras", rows, as_json=options.json)


def warm_worker_ms(trials: int) -> tuple[float, float]:
    """Milliseconds between the ends of two successive trials: the median and the 99th percentile."""
    from hpcho.jobdir import JobDir
    from hpcho.store import open_store

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "objective.py").write_text(OBJECTIVE)
        (folder / "experiment.yaml").write_text(EXPERIMENT.format(trials=trials))
        command = [sys.executable, "-m", "hpcho", "run", str(folder / "experiment.yaml")]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode:
            sys.exit(done.stdout)
        store = open_store(JobDir(folder / "runs" / "overhead"))
        _, finished = store.changes()
        store.close()
    ends = sorted(trial.finished_at for trial in finished if trial.finished_at is not None)
    gaps = [1000 * (later - earlier) for earlier, later in pairwise(ends)]
    return statistics.median(gaps), statistics.quantiles(gaps, n=100)[98]


def start_ms(packages: str, times: int) -> float:
    """Milliseconds from the start to the end of a Python process that only imports ``packages``: the median."""
    measured = []
    for _ in range(times):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", f"import {packages}"], check=True, stderr=subprocess.DEVNULL)
        measured.append(1000 * (time.perf_counter() - began))
    return statistics.median(measured)


if __name__ == "__main__":
    main()
