"""Whatever may happen on a cluster happens to one run, every few seconds."""

import os
import random
import time
from collections import Counter

import pytest
from slurm_lab import NOTE, Chaos, opened

TRIALS = int(os.environ.get("HPCHO_CHAOS_TRIALS", "200"))
OBJECTIVE = (
    NOTE
    + """
def objective(params, trial):
    note("begun", tid=trial.tid)
    end = time.monotonic() + params["seconds"]
    while time.monotonic() < end:
        if trial.should_stop():
            note("told", tid=trial.tid)
        time.sleep(0.05)
    note("ended", tid=trial.tid)
    return params["seconds"] ** 2
"""
)
SETTINGS = f"""
objective: {{python: "objective.py:objective"}}
space: {{seconds: {{float: [0.5, 3]}}}}
sampler: {{name: random, seed: 1}}
budget: {{trials: {TRIALS}}}
trial: {{heartbeat_s: 1}}
retries: {{infrastructure: 20}}
launcher: {{slurm: {{workers: 8, partition: gpu, walltime: "00:01:00", grace_s: 5}}}}
"""


@pytest.mark.timeout(600)
def test_nothing_is_lost_or_done_twice_whatever_happens(cluster):
    seed = int(os.environ.get("HPCHO_CHAOS_SEED", random.randrange(10**6)))
    print(f"HPCHO_CHAOS_SEED={seed}")  # shown when it fails
    with opened(cluster) as lab:
        lab.write(OBJECTIVE, SETTINGS)
        began = time.monotonic()
        chaos = Chaos(lab, ("gpu1", "gpu2"), seed)
        lab.until_begun()
        while chaos.process.poll() is None:
            chaos.turn()
            assert time.monotonic() < began + 420, lab.logs()
            time.sleep(0.1)
        took_s = time.monotonic() - began
        lab.until_ended(chaos.process)
        ended = time.monotonic()
        chaos.end()
        lab.until(lambda: not [job for job in cluster.squeue() if job.name != "urgent"])
        empty_s = time.monotonic() - ended
        rows, attempts, notes = lab.trials(), lab.attempts(), lab.notes()

    causes = Counter(attempt["cause"] for attempt in attempts)
    print(
        f"{TRIALS} trials in {took_s:.0f} s, the queue empty after {empty_s:.1f} s more\n"
        f"done to it: {dict(Counter(deed for deed, _ in chaos.done))}\nattempts by cause: {dict(causes)}\n"
        f"evaluations begun: {sum(note['what'] == 'begun' for note in notes)}"
    )
    tids = {row["tid"] for row in rows}  # a controller that was killed may have left some out
    assert len(tids) == len(rows) == TRIALS
    assert {row["state"] for row in rows} == {"done"}
    assert all(row["loss"] == row["params"]["seconds"] ** 2 for row in rows)
    assert not causes.keys() & {"objective", "timeout", "worker", "oom"}
    # a result is taken once, and of a trial that has one nothing is evaluated again
    assert Counter(attempt["tid"] for attempt in attempts if attempt["cause"] is None) == Counter(tids)
    finished = {attempt["tid"]: attempt["ended_at"] for attempt in attempts if attempt["cause"] is None}
    late = [note for note in notes if note["what"] == "begun" and note["at"] > finished[note["tid"]]]
    assert not late
    assert {note["tid"] for note in notes if note["what"] == "ended"} == tids
