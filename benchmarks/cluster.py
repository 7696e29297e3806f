"""What share of their time a cluster's workers spend between trials: SLURM jobs, a MongoDB, an objective that sleeps.

Run it where sbatch works, in a folder that compute nodes see. Of each worker the time from its first claim to the end
of its last trial counts; how long jobs wait and start is the cluster's affair.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import table

EXPERIMENT = """
name: cluster
objective: {{python: objective.py:objective}}
space: {{x: {{float: [-1, 1]}}}}
sampler: {{name: random, seed: 1}}
budget: {{trials: {trials}}}
launcher: {{slurm: {slurm}}}
"""
OBJECTIVE = "import time\n\ndef objective(params):\n    time.sleep({seconds})\n    return params['x']\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--partition", help="the workers' partition (default: the cluster's own)")
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=2.0, help="how long a trial takes")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    slurm = {"workers": options.workers, "walltime": "00:30:00"}
    if options.partition:
        slurm["partition"] = options.partition
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix="cluster-") as folder:
        path = Path(folder) / "cluster.yaml"
        path.with_name("objective.py").write_text(OBJECTIVE.format(seconds=options.seconds))
        path.write_text(EXPERIMENT.format(trials=options.trials, slurm=json.dumps(slurm)))
        subprocess.run([sys.executable, "-m", "hpcho", "run", str(path)], check=True)
        rows = [measure(path, options.seconds)]
    table.show("Workers of a cluster: time between trials", rows, as_json=options.json)


def measure(path: Path, seconds: float) -> dict[str, Any]:
    """The shares over all workers, in per cent of their time."""
    from hpcho.opening import open_run

    with open_run(path) as run:
        attempts = [attempt for trial in run.store.changes()[1] for attempt in trial.attempts]
    workers: dict[Any, list[tuple[float, float]]] = {}
    for attempt in attempts:
        workers.setdefault(attempt.owner, []).append((attempt.started_at, attempt.ended_at))
    total = between = 0.0
    for times in workers.values():
        times.sort()
        total += times[-1][1] - times[0][0]
        between += sum(later[0] - earlier[1] for earlier, later in pairwise(times))
    return {
        "workers": len(workers),
        "trials": len(attempts),
        "seconds of a trial": seconds,
        "between attempts, %": 100 * between / total,
        "outside the objective, %": 100 * (1 - len(attempts) * seconds / total),
    }


if __name__ == "__main__":
    main()
