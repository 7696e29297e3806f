"""Whole runs from the image on a SLURM cluster: controller and store inside, SLURM outside, workers inside."""

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
import testbed
from relay_lab import until

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("slurm")]

RUN_S = 120
EXPERIMENT = """\
name: lab
objective: {python: "train.py:objective"}
space: {x: {float: [0, 1]}}
sampler: random
budget: {trials: 6}
retries: {infrastructure: 3}
launcher: {slurm: {workers: 2, partition: gpu, gpus: 1, mem_gb: 0.5, walltime: "00:10:00", idle_exit_s: 20, grace_s: 6}}
"""
QUICK = """
import os, shutil
def objective(params):
    print(os.environ["APPTAINER_CONTAINER"], os.environ["CUDA_VISIBLE_DEVICES"], os.environ.get("UNWANTED"))
    assert shutil.which("scontrol") is None  # workers do without
    return params["x"]
"""
SLOW = """
import time
def objective(params):
    print("begun", flush=True)
    time.sleep(1)
    return params["x"]
"""
PATIENT = """
import time
def objective(params, trial):
    if (trial.dir / "saved").exists():
        return params["x"]
    (trial.dir / "begun").touch()
    while not trial.should_stop():
        time.sleep(0.02)
    time.sleep(2)  # a signal that comes twice must not end the grace
    (trial.dir / "saved").touch()
    return None
"""


class Desk(testbed.Person):
    """The user at a cluster's prompt, with an experiment and hpcho's launcher on PATH."""

    def __init__(self, name, apptainer, image):
        super().__init__(name, {"SLURM_CONF": str(testbed.TESTBED / "slurm" / "etc" / "slurm.conf")})
        self.image = image
        self.bin = self.folder / "bin"
        self.environment |= {
            "PATH": f"{self.bin}:{apptainer.parent}:/usr/bin:/bin",
            "HOME": str(self.folder),
            "HPCHO_SLURM": "relay",
            "UNWANTED": "x",
        }
        self.run([image, "install", self.bin])
        self.runs = self.folder / "runs" / "lab"
        self.write_experiment()

    def write_experiment(self, objective=QUICK, text=EXPERIMENT):
        self.write("x.yaml", text)
        self.write("train.py", objective)

    def hpcho(self, *words, **options):
        return self.run(["hpcho", *words], **options)

    def trials(self):
        return json.loads(self.hpcho("trials", "x.yaml", "--json").stdout)

    def stdout(self):
        return [path.read_text() for path in sorted(self.runs.glob("trials/*/stdout.log"))]

    def relays(self):
        """Folders of this user's relays that live."""
        return [path for path in Path("/tmp").glob("hpcho-relay.*") if path.owner() == testbed.USER]

    def processes(self):
        """This user's processes that have this folder in their command line or environment."""
        mark = os.fsencode(self.folder)
        found = {}
        for place in Path("/proc").glob("[0-9]*"):
            try:
                words = (place / "cmdline").read_bytes()
                if mark in words + (place / "environ").read_bytes():
                    found[int(place.name)] = words.replace(b"\0", b" ").decode()
            except OSError:
                continue
        return found

    def jobs(self):
        lines = self.run(["squeue", "--noheader", "--me", "--format=%i %T %Z"]).stdout.splitlines()
        return [line.split()[:2] for line in lines if str(self.folder) in line]

    def await_clean(self):
        """Nothing is left: no process, no relay, no job."""
        until(lambda: not self.processes(), 60)
        until(lambda: not self.relays(), 10)
        until(lambda: not self.jobs())

    def close(self):
        if jobs := self.jobs():
            self.run(["scancel", *(job for job, _ in jobs)])
        for pid in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


@pytest.fixture
def desk(request, apptainer, image):
    testbed.start("slurm", SLURM_TESTBED="full")
    desk = Desk(request.node.originalname, apptainer, image)
    yield desk
    desk.close()


@pytest.mark.parametrize("way", ["relay", "bind"])
def test_a_whole_run(desk, way):
    done = desk.hpcho("run", "x.yaml", env={"HPCHO_SLURM": way}, timeout=RUN_S)
    assert "Finished: 6 trials are done" in done.stdout
    assert done.stderr == ""
    assert desk.stdout() == [f"{desk.image} 0 None\n"] * 6 or set(desk.stdout()) <= {
        f"{desk.image} {gpu} None\n" for gpu in "01"
    }
    assert {trial["state"] for trial in desk.trials()} == {"done"}
    assert (desk.runs / "mongo").is_dir()  # the store was the image's own server
    desk.hpcho("report", "x.yaml")
    assert (desk.runs / "report" / "report.html").exists()
    desk.await_clean()


@pytest.mark.parametrize(("asked", "way"), [("auto", "bind"), ("relay", "relay")])
def test_doctor_tries_both_ways_to_slurm_and_looks_from_a_job(desk, asked, way):
    found = json.loads(desk.hpcho("doctor", "x.yaml", "--json", env={"HPCHO_SLURM": asked}, timeout=RUN_S).stdout)
    said = {finding["name"].rpartition(": ")[2]: finding for finding in found["findings"]}
    assert found["failed"] == 0
    names = {"Apptainer", "namespaces", "image", "GPU driver", "SLURM", "munge", "SLURM by bind", "SLURM by relay"}
    assert said.keys() > names | {"hpcho", "packages", "store", "job directory", "free space", "quota", "file system"}
    assert said["SLURM by bind"]["words"] == "works: the clients here work inside the image"
    assert said["SLURM by relay"]["words"] == "works: the launcher outside had sinfo answer"
    assert said["way to SLURM"]["words"].startswith(f"{way}: ")
    assert "starts there" in said["image"]["words"]
    assert "/opt/hpcho/bin/python" in said["Python"]["words"]
    if asked == "auto":  # what doctor has seen is known to others
        tell = "import os; print(os.environ['HPCHO_SLURM'])"
        assert desk.hpcho("--python", "-c", tell, env={"HPCHO_SLURM": ""}).stdout == "bind\n"


def test_what_doctor_says_of_a_job_whose_image_is_not_there(desk):
    desk.write_experiment(text=EXPERIMENT + "container: {image: /not/there.sif}\n")
    done = desk.hpcho("doctor", "x.yaml", check=False, timeout=RUN_S)
    assert done.returncode == 1
    assert "there is no image /not/there.sif here: container.image must be a file that compute nodes see" in done.stdout


def test_a_cluster_that_is_away_is_not_taken_for_one_whose_clients_do_not_work_inside(desk):
    tell = "import os; print(os.environ['HPCHO_SLURM'], os.environ['HPCHO_SLURM_WHY'])"
    away = desk.write("slurm.conf", "ClusterName=away\nSlurmctldHost=localhost\nSlurmctldPort=1\n")
    said = desk.hpcho("--python", "-c", tell, env={"HPCHO_SLURM": "auto", "SLURM_CONF": str(away)}).stdout
    assert said == "relay scontrol shows no configuration here\n"
    assert not list(desk.folder.glob(".cache/hpcho/slurm-*"))


def test_a_store_that_was_started_inside_is_reached_from_outside(desk):
    desk.write_experiment(SLOW, EXPERIMENT.replace("trials: 6", "trials: 100"))
    with desk.popen(["hpcho", "run", "x.yaml"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as run:
        until(lambda: len(desk.stdout()) > 2, RUN_S)
        outside = desk.run([*desk.python, "-m", "hpcho", "status", "x.yaml", "--json"])
        run.send_signal(signal.SIGINT)
        run.stdout.read()
    status = json.loads(outside.stdout)
    assert status["state"] == "running"
    assert status["trials"]["done"] > 0


def test_clients_that_do_not_work_inside_are_relayed(desk):
    """A client that needs what is not in the image: the relay is used, and doctor says why."""
    desk.bin.joinpath("sinfo").write_text("#!/usr/bin/env no-such-program\n")
    desk.bin.joinpath("sinfo").chmod(0o755)
    code = "import os; print(os.environ['HPCHO_SLURM'], os.environ['HPCHO_SLURM_WHY'])"
    said = desk.hpcho("--python", "-c", code, env={"HPCHO_SLURM": "auto"}).stdout
    assert said.startswith("relay the clients here fail inside the image: ")


def test_a_run_in_the_background_goes_on_when_its_command_has_ended(desk):
    desk.write_experiment(SLOW)
    said = desk.hpcho("run", "x.yaml", "--detach", timeout=RUN_S).stdout
    assert "running in the background (pid " in said
    until(lambda: "Finished: 6 trials are done" in (desk.runs / "logs" / "detached.log").read_text(), RUN_S)
    desk.await_clean()


def test_the_controller_as_a_job_of_the_image(desk):
    said = desk.hpcho("run", "x.yaml", "--as-job", "--set", "launcher.slurm.controller={partition: cpu}", timeout=RUN_S)
    assert "running in job" in said.stdout or "its last lines" in said.stdout
    logs = desk.runs / "logs"
    until(lambda: any("Finished: 6" in log.read_text() for log in logs.glob("controller-*.log")), RUN_S)
    until(lambda: not desk.processes() and not desk.jobs(), 60)
    desk.hpcho("--version")  # SLURM kills what a job leaves, its relay too; the next start sweeps
    desk.await_clean()


def test_a_relay_that_is_killed_in_the_middle(desk):
    """Workers go on, the command says what it waits for, and the next one goes on from there."""
    desk.write_experiment(SLOW, EXPERIMENT.replace("trials: 6", "trials: 50"))
    with desk.popen(["hpcho", "run", "x.yaml"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as run:
        until(lambda: len(desk.stdout()) > 2, RUN_S)
        (folder,) = [path for path in desk.relays() if f".{run.pid}." in path.name]
        (relay,) = _holders(folder / "alive", 8)
        os.kill(relay, signal.SIGKILL)
        said = []
        for line in iter(run.stdout.readline, ""):
            said.append(line)
            if "waiting: SLURM does not answer" in line and "relay is gone" in line:
                break
        else:
            pytest.fail("".join(said))
        run.send_signal(signal.SIGTERM)
        run.stdout.read()
        assert run.wait(RUN_S) == 130
    done = desk.hpcho("run", "x.yaml", "--set", "budget.trials=25", timeout=RUN_S)
    assert "trials are done (budget.trials: 25)" in done.stdout
    assert {trial["cause"] for trial in desk.trials()} == {None}
    desk.await_clean()


def test_a_worker_that_is_told_to_go_has_its_whole_grace(desk):
    """SLURM's signal reaches all processes of a job, and Apptainer hands it on once more."""
    desk.write_experiment(PATIENT, EXPERIMENT.replace("trials: 6", "trials: 1"))
    with desk.popen(["hpcho", "run", "x.yaml"], stdout=subprocess.PIPE, text=True) as run:
        until(lambda: list(desk.runs.glob("trials/*/begun")), RUN_S)
        (job,) = [job for job, state in desk.jobs() if state == "RUNNING"]
        desk.run(["scancel", "--signal=TERM", job])
        said = run.stdout.read()
    assert run.returncode == 0, said
    (trial,) = desk.trials()
    assert (trial["state"], trial["attempts"], trial["cause"]) == ("done", 2, None)
    assert list(desk.runs.glob("trials/*/saved"))


def test_one_ctrl_c_is_one(desk):
    desk.write_experiment(SLOW, EXPERIMENT.replace("trials: 6", "trials: 100"))
    with desk.popen(
        ["hpcho", "run", "x.yaml"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as run:
        until(lambda: len(desk.stdout()) > 2, RUN_S)
        os.killpg(run.pid, signal.SIGINT)
        said = run.stdout.read()
    assert run.returncode == 130
    assert re.search("finishing (1 running trial; Ctrl-C again gives it|2 .*; Ctrl-C again gives them) back", said)
    assert "giving running trials back" not in said
    assert {trial["state"] for trial in desk.trials()} <= {"done", "new"}
    desk.await_clean()


def test_without_the_launcher_it_says_what_is_missing(desk):
    done = desk.run([desk.image, "run", "x.yaml"], check=False)
    assert done.returncode == 4
    assert "SLURM needs hpcho's launcher" in done.stderr
    assert "cannot be started here" in done.stderr
    desk.await_clean()


def test_an_image_that_compute_nodes_do_not_have(desk):
    desk.write_experiment(text=EXPERIMENT + "container: {image: /not/there.sif}\n")
    done = desk.hpcho("run", "x.yaml", check=False, timeout=RUN_S)
    assert done.returncode == 4
    assert "there is no image /not/there.sif here: container.image must be a file that compute nodes see" in done.stderr
    desk.await_clean()


def test_a_launcher_whose_image_is_gone(desk):
    done = desk.hpcho("--version", env={"HPCHO_IMAGE": "/not/there.sif"}, check=False)
    assert done.returncode == 4
    assert done.stderr.startswith("hpcho: there is no image /not/there.sif: set HPCHO_IMAGE")
    done = desk.hpcho("--version", env={"PATH": f"{desk.bin}:/usr/bin:/bin"}, check=False)
    assert done.returncode == 4
    assert "neither apptainer nor singularity is on PATH" in done.stderr


# -- a controller outside, workers inside ------------------------------------------------------------------------------


def test_a_controller_outside_has_its_workers_in_the_image(desk):
    desk.write_experiment(text=EXPERIMENT + f"container: {desk.image}\n")
    done = desk.run([*desk.python, "-m", "hpcho", "run", "x.yaml"], timeout=RUN_S)
    assert "Finished: 6 trials are done" in done.stdout
    assert all(text.startswith(str(desk.image)) for text in desk.stdout())
    desk.await_clean()


def test_an_image_of_another_version(desk):
    desk.write_experiment(text=EXPERIMENT + f"container: {desk.image}\n")
    code = "import hpcho, sys; hpcho.__version__ = '9.9'; from hpcho.cli import main; main(sys.argv[1:])"
    done = desk.run([*desk.python, "-c", code, "run", "x.yaml"], check=False)
    assert done.returncode == 4
    assert f"the image {desk.image} has hpcho " in done.stderr
    assert "the controller is hpcho 9.9: they share files and a database" in done.stderr
    assert not desk.runs.exists()


def _holders(path, descriptor):
    """Processes with this file at this descriptor."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if (place / "fd" / str(descriptor)).samefile(path):
                found.append(int(place.name))
        except OSError:
            continue
    return found
