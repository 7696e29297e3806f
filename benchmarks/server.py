"""The MongoDB store: trials per second with 16 workers, early and late in a run, and how soon a new trial is claimed.

The store is a managed server. The rates are those over the trials between 100 and 300 and over the last 200, by the
times at which trials finished. Beside them stands the sqlite store with two workers, the most that this size of machine
is good for. A trial's wait is the time from its addition to its claim, by one worker on the same machine: one that had
a trial within the last seconds, and one that has had none for longer than ten.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import table

from hpcho.jobdir import JobDir
from hpcho.store import attend, open_store
from hpcho.trial import Draft, TrialState

EXPERIMENT = """
name: server
objective: {{python: objective.py:objective}}
space:
  x: {{float: [-1, 1]}}
  y: {{float: [1.0e-5, 1.0e-1], log: true}}
sampler: {{name: random, seed: 1}}
budget: {{trials: {trials}}}
launcher: {{local: {{workers: {workers}}}}}
store: {store}
"""
OBJECTIVE = "def objective(params):\n    return params['x'] + params['y']\n"
BUSY_S, IDLE_S = 0.7, 11.0
"""Pauses between two trials; not a multiple of the worker's own."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--waits", type=int, default=40, help="trials whose wait is measured, a quarter of them idle")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = [rates("mongo", options.workers, options.trials), rates("sqlite", 2, options.trials)]
    table.show("Trials per second, an objective that costs nothing", rows, as_json=options.json)
    table.show("From added to claimed, mongo", waits(options.waits), as_json=options.json)


def rates(store: str, workers: int, trials: int) -> dict[str, object]:
    """Of one run."""
    with tempfile.TemporaryDirectory() as name:
        folder = run(Path(name), store, workers, trials)
        with opened(folder) as found:
            times = sorted(trial.finished_at for trial in found.changes()[1] if trial.is_ok)
    assert len(times) == trials, f"{store} finished {len(times)} of {trials} trials"
    early = 200 / (times[300] - times[100])
    late = 200 / (times[-1] - times[-201])
    whole = trials / (times[-1] - times[0])
    return {
        "what": f"{store}, {workers} workers",
        "trials": trials,
        "whole run, trials/s": whole,
        "trials 100 to 300, trials/s": early,
        "the last 200, trials/s": late,
        "late by early": late / early,
    }


def waits(count: int) -> list[dict[str, object]]:
    """Of trials added one by one."""
    with tempfile.TemporaryDirectory() as name:
        folder = run(Path(name), "mongo", 1, 1)
        with opened(folder) as store:
            store.put("control", None)
            vals = store.changes()[1][0].vals
            worker = subprocess.Popen(
                [sys.executable, "-m", "hpcho.worker", str(folder)],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            try:
                _wait(store, vals, 0.0)  # it has started now
                busy = [_wait(store, vals, BUSY_S + 0.01 * i) for i in range(count - count // 4)]
                idle = [_wait(store, vals, IDLE_S + 0.07 * i) for i in range(count // 4)]
            finally:
                worker.terminate()
                worker.wait()
    return [_row("a worker that had one within seconds", busy), _row("a worker that had none for 11 s", idle)]


def _row(what: str, measured: list[float]) -> dict[str, object]:
    ordered = sorted(measured)
    return {
        "what": what,
        "trials": len(measured),
        "p50, ms": 1000 * statistics.median(ordered),
        "p95, ms": 1000 * ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))],
    }


def _wait(store, vals, pause_s: float) -> float:  # noqa: ANN001 - any store
    time.sleep(pause_s)
    (added,) = store.add([Draft(vals)])
    cursor = None
    while True:
        cursor, changed = store.changes(cursor)
        for trial in changed:
            if trial.tid == added.tid and trial.state is TrialState.DONE:
                return trial.claimed_at - added.created_at
        time.sleep(0.05)


def run(folder: Path, store: str, workers: int, trials: int) -> Path:
    """The job directory of a run that has ended."""
    (folder / "objective.py").write_text(OBJECTIVE)
    (folder / "experiment.yaml").write_text(EXPERIMENT.format(trials=trials, workers=workers, store=store))
    command = [sys.executable, "-m", "hpcho", "run", str(folder / "experiment.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return folder / "runs" / "server"


@contextlib.contextmanager
def opened(folder: Path):  # noqa: ANN201 - a store
    """The store of a job directory, its server attended to meanwhile."""
    jobdir = JobDir(folder)
    with attend(jobdir), contextlib.closing(open_store(jobdir)) as store:
        yield store


if __name__ == "__main__":
    main()
