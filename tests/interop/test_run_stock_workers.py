"""``hpcho run`` with hyperopt's own workers, where hpcho is not installed: the whole way of a user."""

import json
import os
import subprocess
import sys
import textwrap
import time

import pytest

pytestmark = pytest.mark.slow

SETTINGS = """
name: shared
objective: {python: "train.py:objective"}
space: {x: {float: [-5, 5]}, units: {int: [12, 64], step: 4}}
sampler: {name: random, seed: 1}
budget: {trials: 20}
launcher: none
store: {mongo: {stock_workers: true}}
"""
OBJECTIVE = """
def objective(params):
    assert isinstance(params["units"], int)
    return {"loss": params["x"] ** 2, "status": "ok", "units": params["units"]}
"""


def test_twenty_trials_by_hyperopt_s_own_worker(tmp_path, stock_venv):
    yaml = tmp_path / "experiment.yaml"
    yaml.write_text(SETTINGS)
    (tmp_path / "train.py").write_text(textwrap.dedent(OBJECTIVE))
    job_dir = tmp_path / "runs" / "shared"
    run = subprocess.Popen(
        [sys.executable, "-m", "hpcho", "run", yaml], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    worker = None
    try:
        deadline = time.monotonic() + 60
        while not hpcho_json("status", yaml).get("trials", {}).get("new"):
            assert time.monotonic() < deadline, "the run has not begun"
            assert run.poll() is None, run.communicate()[0]
            time.sleep(0.2)
        home = tmp_path / "home"
        home.mkdir()
        (home / ".hyperopt").write_text((job_dir / "mongo" / "password").read_text())
        address = json.loads((job_dir / "mongo" / "address.json").read_text())
        worker = subprocess.Popen(
            [
                stock_venv / "bin" / "hyperopt-mongo-worker",
                f"--mongo=mongo://hyperopt@{address['host']}:{address['port']}/hpcho",
                "--exp-key=shared",
                "--poll-interval=0.2",
                f"--workdir={tmp_path / 'work'}",
            ],
            env={**{k: v for k, v in os.environ.items() if k != "PYTHONPATH"}, "HOME": str(home)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        output = run.communicate(timeout=200)[0]
        assert run.returncode == 0, output
    finally:
        for process in (worker, run):
            if process is not None and process.poll() is None:
                process.terminate()
                process.wait(timeout=30)
    rows = hpcho_json("trials", yaml)
    assert [row["state"] for row in rows].count("done") == 20
    assert all(row["owner"] for row in rows if row["state"] == "done")
    assert hpcho_json("best", yaml)["loss"] == min(row["loss"] for row in rows if row["loss"] is not None)


def hpcho_json(command, yaml):
    done = subprocess.run(
        [sys.executable, "-m", "hpcho", command, yaml, "--json"], capture_output=True, text=True, check=False
    )
    return json.loads(done.stdout) if done.returncode == 0 else {}
