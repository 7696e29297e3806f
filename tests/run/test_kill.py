"""kill -9 of whatever there is, at random moments."""

import collections
import contextlib
import os
import random
import signal
import time

import pytest
from run_lab import SQUARE_SETTINGS, command_line

pytestmark = pytest.mark.slow

CODE = """
import time
def objective(params, trial):
    time.sleep(0.05)
    with open("../ran.txt", "a") as file:
        file.write(f"{trial.tid}\\n")
    return params["x"]
"""


def workers_of(lab):
    return [p for p in lab.processes() if "hpcho.worker" in command_line(p) and "child" not in command_line(p)]


def kill(pid):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def test_nothing_is_lost_when_controller_workers_or_both_are_killed_at_20_random_moments(lab):
    lab.write(CODE, SQUARE_SETTINGS.replace("trials: 12", "trials: 200"))
    rng = random.Random(20)
    acknowledged: dict[int, float] = {}
    process = lab.start("run")
    for _ in range(20):
        time.sleep(rng.uniform(0.3, 1.2))
        victim = rng.choice(["controller", "worker", "both"])
        if victim != "controller":
            for worker in rng.sample(found := workers_of(lab), min(len(found), rng.choice([1, 2]))):
                kill(worker.pid)
        if victim != "worker":
            process.kill()
        if process.poll() is not None or victim != "worker":
            process.communicate()
            for row in lab.trials() if (lab.job_dir / "trials.db").exists() else []:
                if row["state"] == "done":
                    acknowledged[row["tid"]] = row["loss"]
            process = lab.start("run")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, f"{out}\n{err}\n{lab.logs()}"

    rows = lab.trials()
    done = {row["tid"]: row["loss"] for row in rows if row["state"] == "done"}
    assert len(done) == 200
    assert {row["state"] for row in rows} == {"done"}
    assert [row["tid"] for row in rows] == sorted({row["tid"] for row in rows})
    assert acknowledged.items() <= done.items(), "an acknowledged result was lost or changed"
    ran = collections.Counter((lab.job_dir / "ran.txt").read_text().split())
    assert len(ran) == 200
    assert sum(ran.values()) <= 200 + 20 * 2, "only interrupted trials ran twice"
    lab.until(lambda: lab.processes() == [], timeout=15)


def test_workers_of_a_killed_controller_finish_their_trial_and_leave(lab):
    lab.write("import time\ndef objective(params):\n    time.sleep(2)\n    return params['x']\n", SQUARE_SETTINGS)
    process = lab.start("run")
    lab.until_running(2)
    process.kill()
    process.communicate()
    lab.until(lambda: lab.processes() == [], timeout=20)
    assert lab.states()["done"] == 2
    assert lab.json("status")["state"] == "idle"


def test_workers_are_shown_by_what_they_do(lab):
    lab.write("import time\ndef objective(params):\n    time.sleep(30)\n", SQUARE_SETTINGS)
    process = lab.start("run")
    lab.until_running(2)
    lab.until(lambda: (lab.json("status")["staff"] or {}).get("busy") == 2)
    kill(workers_of(lab)[0].pid)
    lab.until(lambda: lab.json("status")["staff"]["lost"] == 1)
    process.kill()
    process.communicate()
    assert lab.json("status")["staff"] is None


def test_what_a_killed_worker_had_started_does_not_outlive_it(lab):
    code = """
    import subprocess, sys
    def objective(params):
        subprocess.run([sys.executable, "-c", "import time; time.sleep(300)"])
        return 1.0
    """
    lab.write(code, SQUARE_SETTINGS)
    process = lab.start("run")
    lab.until_running(2)
    lab.until(lambda: sum("time.sleep(300)" in command_line(p) for p in lab.processes()) == 2)
    before = {p.pid for p in lab.processes()}
    for worker in workers_of(lab):
        kill(worker.pid)
    lab.until(lambda: not [p for p in lab.processes() if p.pid in before and p.pid != process.pid], timeout=15)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    lab.until(lambda: lab.processes() == [], timeout=15)
    assert {row["cause"] for row in lab.trials()} <= {"node", None}


def test_a_worker_that_was_stopped_too_long_is_fenced_off_and_its_late_result_is_kept(lab):
    code = """
    import time, pathlib
    def objective(params, trial):
        marker = pathlib.Path("../first")
        if not marker.exists():
            marker.touch()
            time.sleep(1)
            return -100.0
        time.sleep(0.2)
        return params["x"] ** 2
    """
    settings = SQUARE_SETTINGS.replace("trials: 12", "trials: 3").replace("workers: 2", "workers: 1")
    lab.write(code, settings + "trial: {heartbeat_s: 0.1}\n")
    process = lab.start("run")
    lab.until_running(1)
    frozen = workers_of(lab)[0]
    frozen.suspend()
    lab.until(lambda: any(row["cause"] == "node" for row in lab.trials()))
    frozen.resume()
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, f"{out}\n{err}\n{lab.logs()}"
    rows = lab.trials()
    assert sum(row["state"] == "done" for row in rows) >= 3
    assert "no sign of life" in lab.logs()
