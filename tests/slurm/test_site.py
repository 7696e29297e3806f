"""What fits a cluster's ways: workers as a plain array, the controller as a job, and doctor's look from a node."""

import json
import shutil
import subprocess
import textwrap
from pathlib import Path

import pytest
import testbed

ROOT = Path(__file__).parents[2]
LONG_S = 300
"""For jobs, where others' fill the nodes."""
ARRAY = "slurm/worker-array.sbatch"

EXPERIMENT = """\
name: lab
objective: {python: "train.py:objective"}
space: {x: {float: [0, 1]}}
sampler: random
budget: {trials: 6}
launcher: none
"""
QUICK = "def objective(params):\n    return params['x']\n"
PATIENT = """
import time

def objective(params, trial):
    if (trial.dir / "saved").exists():
        return params["x"]
    (trial.dir / "begun").touch()
    while not trial.should_stop():
        time.sleep(0.05)
    (trial.dir / "saved").touch()
    return None
"""


class Desk:
    """A user's folder with an experiment in it, on a cluster."""

    def __init__(self, cluster):
        self.cluster = cluster
        # sbatch copies a script before it runs; this one is gone by then.
        self.array = cluster.write("copy.sbatch", (ROOT / ARRAY).read_text())
        self.environment = {"HPCHO_PYTHON": cluster.python[0]}
        self.runs = cluster.folder / "runs" / "lab"
        self.write(EXPERIMENT, QUICK)

    def write(self, experiment, objective):
        self.cluster.write("x.yaml", experiment)
        self.cluster.write("train.py", textwrap.dedent(objective))

    def hpcho(self, *arguments, check=True):
        argv = [*self.cluster.python, "-m", "hpcho", *arguments]
        return self.cluster.run(argv, env=self.environment, check=check)

    def workers(self, *options, then=()):
        """Submit workers as an array; returns its id."""
        argv = ["sbatch", "--parsable", "--time=5", *options, self.array, "x.yaml", *then]
        return self.cluster.run(argv, env=self.environment).stdout.strip()

    def begin(self):
        """Run as a job; returns the first job and the next one, once the first runs."""
        said = self.hpcho("run", "x.yaml", "--as-job").stdout
        both = testbed.until(self._both, LONG_S)
        assert f"job {both[0].id} (" in said
        return both

    def _both(self):
        rows = self.controllers()
        return [row.state for row in rows] == ["RUNNING", "PENDING"] and rows

    def await_turn(self, job):
        """Wait until the controller in this job is at work."""
        testbed.until(lambda: "/6 trials" in self.logs(f"controller-{job}.log"), LONG_S)

    def controllers(self):
        """The controller's jobs in the queue, the running one first."""
        rows = [row for row in self.cluster.squeue() if row.name.startswith("hpcho-controller-")]
        return sorted(rows, key=lambda row: row.state != "RUNNING")

    def trials(self):
        return json.loads(self.hpcho("trials", "x.yaml", "--json").stdout)

    def logs(self, pattern="controller-*.log"):
        return "".join(path.read_text() for path in sorted(self.runs.glob(f"logs/{pattern}")))

    def await_over(self):
        """Wait until the controller's jobs have left the queue."""
        testbed.until(lambda: not self.controllers(), LONG_S)
        assert "Finished: 6 trials are done" in self.logs()


@pytest.fixture
def desk(cluster):
    return Desk(cluster)


# -- workers as an array -----------------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="needs shellcheck")
def test_the_array_script_is_clean():
    done = subprocess.run(["shellcheck", ROOT / ARRAY], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_an_array_of_workers_serves_a_run_that_starts_none(desk):
    with desk.cluster.popen(
        [*desk.cluster.python, "-m", "hpcho", "run", "x.yaml"], env=desk.environment, stdout=subprocess.PIPE
    ) as run:
        testbed.until((desk.runs / "mongo" / "address.json").exists)
        array = desk.workers("--array=0-1")
        desk.array.unlink()
        said = run.communicate(timeout=testbed.PATIENCE_S)[0].decode()
    assert run.returncode == 0, said
    assert "Finished: 6 trials are done" in said
    owners = {trial["owner"] for trial in desk.trials()}
    assert len(owners) <= 2
    testbed.until(lambda: not desk.cluster.squeue())
    states = desk.cluster.accounted(array)
    assert states[f"{array}_0"] == states[f"{array}_1"] == "COMPLETED"


def test_a_worker_is_told_of_the_job_s_end_by_signal_and_the_next_goes_on(desk):
    desk.write(EXPERIMENT.replace("trials: 6", "trials: 1"), PATIENT)
    with desk.cluster.popen(
        [*desk.cluster.python, "-m", "hpcho", "run", "x.yaml"], env=desk.environment, stdout=subprocess.PIPE
    ) as run:
        testbed.until((desk.runs / "mongo" / "address.json").exists)
        first = desk.workers("--array=0")
        testbed.until(lambda: list(desk.runs.glob("trials/*/begun")))
        desk.cluster.run(["scancel", "--signal=USR2", f"{first}_0"])
        testbed.until(lambda: list(desk.runs.glob("trials/*/saved")))
        desk.workers("--array=0")
        said = run.communicate(timeout=testbed.PATIENCE_S)[0].decode()
    assert run.returncode == 0, said
    (trial,) = desk.trials()
    assert trial["state"] == "done"
    assert desk.cluster.accounted(first)[f"{first}_0"] == "COMPLETED"


def test_the_array_script_tells_workers_how_long_their_job_is(desk):
    desk.cluster.write("hpcho", '#!/bin/sh\necho "$* $HPCHO_WALLTIME_S $HPCHO_GRACE_S"\n').chmod(0o755)
    path = f"{desk.cluster.folder}:/usr/bin:/bin"
    argv = [
        "sbatch",
        "--parsable",
        "--wait",
        "--time=1-00:02:00",
        "--output=out",
        desk.array,
        "x.yaml",
        "--idle-exit",
        "9",
    ]
    desk.cluster.run(argv, env={"PATH": path})
    *words, left, grace = (desk.cluster.folder / "out").read_text().split()
    assert words == ["worker", "--wait", "120", "x.yaml", "--idle-exit", "9"]
    assert 86400 < int(left) <= 86520
    assert grace == "60"


# -- the controller as a job -------------------------------------------------------------------------------------------


def test_the_controller_goes_from_job_to_job_and_leaves_none_behind(desk):
    first, following = desk.begin()
    assert following.reason == "Dependency"
    again = desk.hpcho("run", "x.yaml", "--as-job").stdout
    assert f"job {first.id}. `hpcho run x.yaml` looks on" in again
    desk.workers("--array=0", then=["--max-trials", "2"])
    testbed.until(lambda: "2/6 trials" in desk.logs())

    desk.cluster.run(["scancel", "--signal=TERM", "--batch", first.id])  # as SLURM does before the wall time
    desk.await_turn(following.id)
    assert "told to end; the next job goes on" in desk.logs(f"controller-{first.id}.log")
    desk.workers("--array=0-1")
    desk.await_over()
    assert len(desk.trials()) == 6
    testbed.until(lambda: not desk.cluster.squeue())


def test_when_the_controller_s_node_fails_the_next_job_goes_on(desk):
    first, following = desk.begin()
    desk.cluster.nodedown(first.node)
    desk.await_turn(following.id)
    testbed.until(desk._both)
    desk.workers("--array=0-1")
    desk.await_over()


def test_cancelling_all_its_jobs_ends_the_chain_too(desk):
    both = desk.begin()
    desk.cluster.run(["scancel", *(row.id for row in both)])
    testbed.until(lambda: not desk.controllers())
    assert "told to end; `hpcho run --as-job` goes on" in desk.logs()


def test_stop_ends_the_chain(desk):
    desk.begin()
    desk.hpcho("stop", "x.yaml", "--now")
    testbed.until(lambda: not desk.controllers())
    assert "Stopped. `hpcho run" in desk.logs()


def test_a_chain_is_submitted_beforehand_where_jobs_cannot_submit(desk):
    desk.hpcho("run", "x.yaml", "--as-job", "--chain", "3")
    first, *others = desk.controllers()
    assert [row.reason for row in others] == ["Dependency", "Dependency"]
    desk.await_turn(first.id)
    desk.cluster.run(["scancel", "--signal=TERM", "--batch", first.id])
    desk.await_turn(min(row.id for row in others))
    desk.workers("--array=0-1")
    desk.await_over()


def test_a_job_of_a_run_that_was_set_aside_does_nothing(desk):
    desk.hpcho("run", "x.yaml", "--as-job", "--set", "budget.trials=1")
    desk.hpcho("stop", "x.yaml", "--now")
    testbed.until(lambda: not desk.controllers())
    script = (desk.runs / "jobs" / "controller.sbatch").read_text()
    desk.hpcho("run", "x.yaml", "--fresh", "--as-job", "--chain", "2")
    stale = desk.cluster.submit("--wait", desk.cluster.write("stale.sbatch", script))
    assert "this run was set aside: nothing to do" in desk.logs(f"controller-{stale}.log")
    desk.hpcho("stop", "x.yaml", "--now")
    testbed.until(lambda: not desk.controllers())


def test_a_controller_that_cannot_start_is_told_with_its_last_lines(desk):
    desk.write(EXPERIMENT.replace("none", "{slurm: {partition: cpu, python: /nowhere/python}}"), QUICK)
    done = desk.hpcho("run", "x.yaml", "--as-job", check=False)
    assert done.returncode == 4
    assert "ended before it could begin" in done.stderr
    assert "/nowhere/python: No such file or directory" in done.stderr


def test_a_controller_that_must_wait_is_told_of(desk):
    waits = "{slurm: {partition: cpu, controller: {mem_gb: 0.2, options: {begin: now+1hour}}}}"
    desk.write(EXPERIMENT.replace("none", waits), QUICK)
    said = desk.hpcho("run", "x.yaml", "--as-job").stdout
    (row,) = desk.controllers()
    words = "BeginTime, expected to start in about 60 min"
    assert f"queued as job {row.id} ({words}); it runs as soon as SLURM lets it" in said
    again = desk.hpcho("run", "x.yaml", "--as-job").stdout
    assert f"its controller is job {row.id} already (pending, {words})" in again


# -- doctor ------------------------------------------------------------------------------------------------------------

SLURM = EXPERIMENT.replace("none", "{slurm: {partition: gpu, gpus: 1}}")


def findings(done):
    return {found["name"].rpartition(": ")[2]: found for found in json.loads(done.stdout)["findings"]}


def test_doctor_looks_from_a_compute_node(desk):
    desk.write(SLURM, QUICK)
    done = desk.hpcho("doctor", "x.yaml", "--json", "--wait", "90")
    found = findings(done)
    assert {found[name]["level"] for name in ("SLURM", "sacct", "probe job", "GPU", "sbatch", "objective")} == {"ok"}
    assert "where the run's server will be, is reached" in found["store"]["words"]
    assert found["GPU"]["words"].startswith("CUDA_VISIBLE_DEVICES=")
    assert not (desk.cluster.folder / "runs").exists()
    assert desk.cluster.squeue() == []


def test_doctor_tells_what_does_not_work_there(desk):
    desk.write(SLURM, "import nothere\n")
    done = desk.hpcho("doctor", "x.yaml", "--json", check=False)
    assert done.returncode == 1
    assert "No module named 'nothere'" in findings(done)["objective"]["words"]
    done = desk.hpcho("doctor", "x.yaml", "--json", "--set", "launcher.slurm.python=/nowhere/python", check=False)
    assert "/nowhere/python: No such file or directory" in findings(done)["probe job"]["words"]


def test_doctor_asks_slurm_before_it_sends_a_job(desk):
    desk.write(SLURM, QUICK)
    done = desk.hpcho("doctor", "x.yaml", "--json", "--set", "launcher.slurm.partition=gpus", check=False)
    found = findings(done)
    assert "Invalid partition name specified" in found["worker's job"]["words"]
    assert "probe job" not in found


def test_doctor_does_not_wait_for_ever(desk):
    desk.write(SLURM, QUICK)
    done = desk.hpcho("doctor", "x.yaml", "--json", "--set", "launcher.slurm.options.begin=now+1hour", "--wait", "2")
    assert "still queued after 2 s (BeginTime) and was cancelled" in findings(done)["probe job"]["words"]
    testbed.until(lambda: not desk.cluster.squeue())
    assert "probe job" not in findings(desk.hpcho("doctor", "x.yaml", "--json", "--no-job"))


def test_doctor_on_a_cluster_without_accounting(plain):
    desk = Desk(plain)
    found = findings(desk.hpcho("doctor", "--json"))
    assert found["SLURM"]["words"].endswith("arrays of 4 at most")
    assert found["sacct"]["level"] == "warning"
    assert "accounts" not in found
