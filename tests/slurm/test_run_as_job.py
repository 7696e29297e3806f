"""`hpcho run --as-job` with workers as jobs: the store goes with the controller from job to job; workers find it."""

import json
import socketserver
import subprocess
import threading
from contextlib import contextmanager, suppress

import pytest
from slurm_lab import NOTE, opened
from testbed import until

SETTINGS = """
objective: {python: "objective.py:objective"}
space: {x: {float: [-5, 5]}}
sampler: {name: random, seed: 1}
budget: {trials: 40}
trial: {heartbeat_s: 2}
launcher: {slurm: {workers: 4, partition: gpu, walltime: "00:05:00", grace_s: 5, controller: {mem_gb: 1}}}
"""
NAP = (
    NOTE
    + """
def objective(params, trial):
    note("begun", tid=trial.tid, job=os.environ["SLURM_ARRAY_JOB_ID"] + "_" + os.environ["SLURM_ARRAY_TASK_ID"])
    time.sleep(2)
    return params["x"] ** 2
"""
)


@pytest.fixture
def lab(cluster):
    with opened(cluster) as lab:
        lab.write(NAP, SETTINGS)
        yield lab


def controllers(lab):
    """The controller's jobs, the running one first."""
    rows = [row for row in lab.cluster.squeue() if row.name.startswith("hpcho-controller-")]
    return sorted(rows, key=lambda row: (row.state != "RUNNING", int(row.id)))


def log(lab, pattern="controller-*.log"):
    return "".join(path.read_text() for path in sorted(lab.job_dir.glob(f"logs/{pattern}")))


def address(lab):
    return json.loads((lab.job_dir / "mongo" / "address.json").read_text())


@contextmanager
def occupied(port):
    """Somebody else takes the port once its server is gone, and hangs up on all; the next server needs another."""
    there = until(lambda: _listener(port), pause=0.01)
    thread = threading.Thread(target=there.serve_forever)
    thread.start()
    yield
    there.shutdown()
    thread.join()
    there.server_close()


class Deaf(socketserver.TCPServer):
    allow_reuse_address = True


def _listener(port):
    with suppress(OSError):
        return Deaf(("127.0.0.1", port), socketserver.BaseRequestHandler)


def test_workers_go_on_while_the_controller_and_its_store_move_to_the_next_job(lab):
    said = lab.run("--as-job").stdout
    first = controllers(lab)[0]
    assert f"running in job {first.id} (" in said
    lab.until_begun(6)
    looks_on = lab.start("run")
    lab.until(lambda: "looking on" in (lab.folder / "run.log").read_text())
    before = address(lab)
    jobs = {note["job"] for note in lab.notes()}

    lab.cluster.run(["scancel", "--signal=TERM", "--batch", first.id])  # as SLURM does before the wall time
    with occupied(before["port"]):
        lab.until(lambda: address(lab)["is_running"] and address(lab)["port"] != before["port"])
        begun = len(lab.notes())
        lab.until_begun(begun + 6)
        assert {note["job"] for note in lab.notes()[begun:]} <= jobs | {job.id for job in lab.cluster.squeue()}
        assert "Finished: 40 trials are done" in lab.until_ended(looks_on)
    trials = lab.trials()
    assert [trial["state"] for trial in trials] == ["done"] * 40
    assert [trial["interruptions"] for trial in trials if trial["interruptions"]] == []
    lab.until(lambda: not lab.cluster.squeue())
    assert "told to end; the next job goes on" in log(lab, f"controller-{first.id}.log")
    lab.until(lambda: not lab.processes())


def test_a_worker_that_begins_between_two_controllers_waits_for_the_store(lab):
    lab.run("--as-job")
    first = controllers(lab)[0]
    lab.until_begun(6)
    waiting = [row for row in controllers(lab) if row.id != first.id]
    lab.cluster.run(["scontrol", "hold", *(row.id for row in waiting)])
    lab.cluster.run(["scancel", "--signal=TERM", "--batch", first.id])
    lab.until(lambda: not address(lab)["is_running"])
    done = lab.hpcho("worker")
    assert done.returncode == 3
    assert "the MongoDB server of" in done.stderr
    assert "is not running; `hpcho run` starts it" in done.stderr
    command = [*lab.cluster.python, "-m", "hpcho", "worker", "experiment.yaml", "--wait", "120", "--max-trials", "1"]
    with lab.cluster.popen(command, stdout=subprocess.DEVNULL) as worker:
        lab.until(lambda: "no store yet: " in log(lab, f"worker-*-{worker.pid}.log"))
        said = lab.hpcho("status").stderr
        assert f"the run's controller, and its store, are in job {waiting[0].id} (pending, JobHeldUser)" in said
        assert worker.poll() is None
        lab.cluster.run(["scontrol", "release", *(row.id for row in waiting)])
        assert worker.wait(120) == 0
    lab.hpcho("stop", "--now")
    lab.until(lambda: not lab.cluster.squeue())


def test_a_run_that_only_waits_in_the_queue_is_not_touched_from_the_login_node(lab):
    lab.write(NAP, SETTINGS.replace("mem_gb: 1", "mem_gb: 1, options: {begin: now+1hour}"))
    lab.run("--as-job", timeout=200)
    (row,) = controllers(lab)
    for command in ("stop", "status", "run"):
        done = lab.hpcho(command)
        assert done.returncode == 3, done.stdout
        assert f"are in job {row.id} (pending, BeginTime, expected to start in about 60 min)" in done.stderr
        assert f"`scancel {row.id}` ends it" in done.stderr
    assert not (lab.job_dir / "mongo").exists()
    lab.cluster.run(["scancel", row.id])
    lab.until(lambda: not controllers(lab))
    assert lab.hpcho("status").returncode == 0
