"""What it costs a controller to look for news where there is none, by the number of finished trials.

hpcho's store and hyperopt's MongoTrials look at the same managed server, one after the other. hyperopt runs in an
environment of its own, with the pymongo that it works with: --stock names it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import server
import table

from hpcho.store.address import USER
from hpcho.trial import Attempt, Draft, Owner, Result, TrialState

SIZES = (100, 1000, 5000)
RUNNING, WAITING = 8, 8
LOOKS = 300
STOCK = """
import os, statistics, time
from hyperopt.mongoexp import MongoTrials
trials = MongoTrials(os.environ["STOCK_URL"], exp_key=os.environ["STOCK_KEY"])
trials.refresh()
took = []
for _ in range(10):
    began = time.perf_counter()
    trials.refresh()
    took.append(time.perf_counter() - began)
print(1000 * statistics.median(took))
"""
ROOT = Path(__file__).parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stock", type=Path, default=ROOT / "build" / "stock-venv", help="an environment of hyperopt")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with TemporaryDirectory() as name:
        folder = server.run(Path(name), "mongo", 1, 1)
        with server.opened(folder) as store:
            rows = [cost(store, folder, size, options.stock) for size in SIZES]
    table.show("Looking for news where there is none", rows, as_json=options.json)


def cost(store, folder: Path, size: int, stock: Path) -> dict[str, object]:  # noqa: ANN001 - the store of a server
    """With so many finished trials, some running and some waiting."""
    fill(store, size)
    cursor, _ = store.changes()
    took = []
    for _ in range(LOOKS):
        began = time.perf_counter()
        cursor, changed = store.changes(cursor)
        took.append(1000 * (time.perf_counter() - began))
        assert not changed, "there was news"
        time.sleep(0.01)  # as a controller does
    theirs = stock_ms(store, folder, stock)
    ours = statistics.median(took)
    return {
        "trials": size,
        "hpcho, p50, ms": ours,
        "hpcho, p95, ms": statistics.quantiles(took, n=20)[-1],
        "hyperopt, p50, ms": theirs,
        "hyperopt by hpcho": theirs / ours,
    }


def fill(store, size: int) -> None:  # noqa: ANN001 - as above
    """Have ``size`` finished trials, and the others."""
    trials = store.changes()[1]
    owner = Owner("node1", 11, 5, "77")
    (done, *_) = [trial for trial in trials if trial.is_ok]
    after = max(trial.tid for trial in trials) + 1
    for tid in range(after, after + size - sum(trial.is_ok for trial in trials)):
        attempt = Attempt(owner, 1.7e9, 1.7e9 + 1)
        store.restore(replace(done, tid=tid, state=TrialState.DONE, result=Result(float(tid)), attempts=(attempt,)))
        store.skip(tid)
    missing = RUNNING + WAITING - sum(trial.state in (TrialState.NEW, TrialState.RUNNING) for trial in trials)
    if missing > 0:
        store.add([Draft(done.vals)] * missing)
        for _ in range(RUNNING):
            store.claim(owner)


def stock_ms(store, folder: Path, stock: Path) -> float | None:  # noqa: ANN001 - as above
    """hyperopt's own refresh; None where it is not there."""
    if not stock.exists():
        return None
    host, port = store.connection.client.address
    password = (folder / "mongo" / "password").read_text().strip()
    database = store.connection.database
    key = database["jobs"].find_one({}, {"exp_key": 1})["exp_key"]
    environment = {"STOCK_URL": f"mongo://{USER}:{password}@{host}:{port}/{database.name}/jobs", "STOCK_KEY": key}
    command = [stock / "bin" / "python", "-W", "ignore", "-c", STOCK]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})
    if done.returncode:
        sys.exit(done.stderr)
    return float(done.stdout)


if __name__ == "__main__":
    main()
