"""doctor: what works here and what does not, each with its mend; and --as-job where it cannot be."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from hpcho.doctor import Level
from hpcho.doctor.finding import Finding
from hpcho.doctor.folder import folder
from hpcho.doctor.login import Logind, _configured, logout
from hpcho.doctor.probe import Order, read_findings
from hpcho.doctor.stores import Greeter, greeter, greets, store
from hpcho.experiment import Experiment
from hpcho.jobdir import JobDir

BARE = {"PATH": str(Path(sys.executable).parent), "HPCHO_MONGOD": ""}
"""A machine without SLURM."""
SPACE = {"x": {"float": [0, 1]}}
UNLIMITED = resource.RLIM_INFINITY


def experiment(store, launcher="none"):
    return Experiment(name="lab", objective={"command": ["true"]}, space=SPACE, store=store, launcher=launcher)


def findings(done):
    return {found["name"]: found for found in json.loads(done.stdout)["findings"]}


def test_it_looks_at_the_machine_and_exits_0(hpcho):
    done = hpcho("doctor", env=BARE)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = {line[9:24].strip(): line for line in done.stdout.splitlines()}
    assert lines["Python"].startswith("ok ")
    assert "hyperopt 0.3" in lines["packages"]
    assert "none here (no sbatch on PATH)" in lines["SLURM"]
    assert done.stderr == ""


def test_an_experiment_on_this_machine_needs_no_more(bench, hpcho):
    done = hpcho("doctor", bench.yaml, "--json", env=BARE)
    assert done.returncode == 0, done.stdout
    found = findings(done)
    assert found["store"] == {"name": "store", "level": "ok", "words": "sqlite, in the job directory", "mend": ""}
    assert found["file system"]["level"] == "ok"
    assert not (bench.folder / "runs").exists()


def test_a_mistake_in_the_yaml_is_a_finding_and_exit_1(bench, hpcho):
    bench.yaml.write_text("nam: lab\n")
    done = hpcho("doctor", bench.yaml, env=BARE)
    assert done.returncode == 1
    assert f"failed   experiment      {bench.yaml}:1:1: " in done.stdout
    assert "nam: unknown key" in done.stdout
    assert f"-> mend {bench.yaml}" in done.stdout
    assert "1 failed" in done.stdout.splitlines()[-1]


def test_slurm_where_there_is_none_is_a_failure(bench, hpcho):
    done = hpcho("doctor", bench.yaml, "--json", "--set", "launcher=slurm", env=BARE)
    assert done.returncode == 1
    assert findings(done)["launcher"]["words"] == "SLURM cannot be used here: none here (no sbatch on PATH)"


# -- login nodes -------------------------------------------------------------------------------------------------------

SESSION, SERVICE = "0::/user.slice/user-1000.slice/session-3.scope\n", "0::/system.slice/sshd.service\n"
MANAGER = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/a.scope\n"


@pytest.mark.parametrize(
    ("logind", "says"),
    [
        (Logind(SESSION, kills=True, lingers=True), "KillUserProcesses=yes"),
        (Logind(MANAGER, kills=False, lingers=False), "Linger=no"),
    ],
)
def test_a_logout_that_ends_programs_is_warned_of_and_as_job_offered(logind, says):
    (found,) = logout(logind, UNLIMITED)
    assert found.level is Level.WARNING
    assert says in found.words
    assert "`hpcho run --as-job`" in found.mend


@pytest.mark.parametrize(
    "logind",
    [
        Logind(SESSION, kills=False, lingers=False),
        Logind(SESSION, kills=None, lingers=None),
        Logind(SERVICE, kills=True, lingers=False),
        Logind(MANAGER, kills=True, lingers=True),
    ],
)
def test_a_logout_that_ends_nothing_is_not(logind):
    assert logout(logind, UNLIMITED) == []


def test_a_limit_on_processor_time_is_warned_of():
    (found,) = logout(Logind(SESSION, kills=False, lingers=False), 1800)
    assert found.words.startswith("a process may use 0.5 h of processor time here")
    assert "--as-job" in found.mend


def test_a_later_file_of_logind_wins(tmp_path):
    site, own = tmp_path / "usr", tmp_path / "etc"
    for place, said in ((site, "yes"), (own, "no")):
        (place / "logind.conf.d").mkdir(parents=True)
        (place / "logind.conf").write_text(f"[Login]\n#KillUserProcesses=x\nKillUserProcesses={said}\n")
    assert _configured([site]) is True
    assert _configured([site, own]) is False
    (own / "logind.conf.d" / "site.conf").write_text("[Login]\nKillUserProcesses=yes\n")
    assert _configured([site, own]) is True
    assert _configured([tmp_path]) is None


def test_detach_warns_of_a_limit_on_processor_time(bench, hpcho):
    limited = ["bash", "-c", f"ulimit -t 3600; exec {sys.executable} -m hpcho run {bench.yaml} --detach"]
    done = subprocess.run(limited, capture_output=True, text=True, check=False, cwd=bench.folder, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "warning: a process may use 1 h of processor time here" in done.stderr
    assert "`hpcho run --as-job` runs in a job instead" in done.stderr
    hpcho("stop", bench.yaml, "--now")


# -- folders and stores ------------------------------------------------------------------------------------------------


def test_a_folder_that_can_all_is_ok(tmp_path):
    found = folder(tmp_path / "runs", must_be_shared=False)
    assert {finding.name: finding.level for finding in found} == dict.fromkeys(
        ["job directory", "free space", "quota", "file system"], Level.OK
    )
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_takes_no_megabyte_fails(tmp_path):
    """As a file system that refuses more of a user's: a limit that the kernel sets as late, while it is written."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, before[1]))
    try:
        found = {finding.name: finding for finding in folder(tmp_path, must_be_shared=False)}
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (found["quota"].level, found["file system"].level) == (Level.FAILED, Level.OK)
    assert found["quota"].words == f"1 MB cannot be written to {tmp_path}: File too large"
    assert found["quota"].mend.startswith("make room, or set `job_dir:`")


def test_a_quota_program_that_minds_is_heard(tmp_path, monkeypatch):
    (tmp_path / "quota").write_text("#!/bin/sh\necho over\nexit 1\n")
    (tmp_path / "quota").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    found = {finding.name: finding for finding in folder(tmp_path, must_be_shared=False)}
    assert (found["quota"].level, found["quota"].words) == (Level.WARNING, "`quota` says that you are over yours")


def test_a_local_disk_is_warned_of_where_workers_are_elsewhere(tmp_path):
    (first, *_) = folder(tmp_path, must_be_shared=True)
    assert first.level is Level.WARNING
    assert "looks like a disk of this machine alone" in first.words


def test_a_place_that_is_no_folder_fails(tmp_path):
    (tmp_path / "file").touch()
    (found,) = folder(tmp_path / "file" / "runs", must_be_shared=False)
    assert found.level is Level.FAILED
    assert "job_dir" in found.mend


def test_a_greeter_is_reached_and_a_closed_port_is_not(tmp_path):
    lab = experiment({"mongo": {}})
    mongo = lab.mongo
    with greeter(lab, JobDir(tmp_path), lambda: ["127.0.0.1"]) as there:
        assert greets(there.host, there.port, there.word, mongo).level is Level.OK
        assert "another machine answers" in greets(there.host, there.port, "0" * 16, mongo).words
    found = greets(there.host, there.port, there.word, mongo)
    assert found.level is Level.FAILED
    assert f"127.0.0.1:{there.port}, where the run's server will be, is not reached" in found.words
    assert "--as-job" in found.mend


def test_no_greeter_is_needed_where_a_server_is_named(tmp_path):
    with greeter(experiment("mongodb://h/d"), JobDir(tmp_path), tuple) as there:
        assert there is None
    with greeter(experiment("sqlite", launcher="local"), JobDir(tmp_path), tuple) as there:
        assert there is None


def test_a_server_that_does_not_answer_fails(tmp_path):
    unused = Greeter("127.0.0.1", 0)
    unused.close()
    url = f"mongodb://127.0.0.1:{unused.port}/jobs"
    found = store(experiment(url), JobDir(tmp_path), {"yaml": str(tmp_path / "x.yaml")}, tuple)
    assert found.level is Level.FAILED
    assert found.words == f"{url} does not answer from here"


# -- the probe ---------------------------------------------------------------------------------------------------------


def look(folder, objective, *, gpus=0, version=None, env=None):
    """What a probe finds on this machine, by name."""
    import hpcho

    (folder / "train.py").write_text(objective)
    order = Order(
        folder=str(folder),
        jobdir=str(folder / "lab"),
        yaml=str(folder / "x.yaml"),
        version=version or hpcho.__version__,
        source=str(folder),
        objective={"python": "train.py:objective", "data": None, "hyperas": None, "command": None},
        mongo=None,
        greeter=None,
        gpus=gpus,
        submits=False,
    )
    done = subprocess.run(
        [sys.executable, "-m", "hpcho.doctor.probe", str(order.write())],
        env={**os.environ, **BARE, **(env or {})},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return {finding.name: finding for finding in read_findings(done.stdout)}


def test_a_probe_finds_a_place_where_workers_can_work(tmp_path):
    found = look(
        tmp_path, "print('hello', end='')\ndef objective(params): ...", gpus=1, env={"CUDA_VISIBLE_DEVICES": "3"}
    )
    assert {name: finding.level for name, finding in found.items()} == dict.fromkeys(
        ["Python", "job directory", "GPU", "objective"], Level.OK
    )
    assert found["GPU"].words.startswith("CUDA_VISIBLE_DEVICES=3")


@pytest.mark.parametrize(
    ("objective", "says"),
    [
        ("import nothere", "cannot be imported: ModuleNotFoundError: No module named 'nothere'"),
        ("def objectiv(params): ...", "has no 'objective': did you mean 'objectiv'?"),
        ("import os\nos._exit(7)", "importing it ended the process (exit code 7)"),
        ("raise SystemExit('no licence')", "cannot be imported: SystemExit: no licence"),
    ],
)
def test_an_objective_that_cannot_be_imported_there_fails(tmp_path, objective, says):
    found = look(tmp_path, objective)["objective"]
    assert found.level is Level.FAILED
    assert says in found.words


def test_another_version_there_and_no_gpu_fail(tmp_path):
    found = look(tmp_path, "def objective(params): ...", gpus=1, version="0.0.1", env={"CUDA_VISIBLE_DEVICES": ""})
    assert found["Python"].level is Level.FAILED
    assert "install hpcho 0.0.1 there" in found["Python"].mend
    assert found["GPU"].words == "none is seen in a job that asks for one"


def test_findings_travel_as_lines():
    finding = Finding("GPU", Level.WARNING, "one\nof two", "see")
    assert Finding.from_json(finding.to_json()) == finding
    assert finding.at("gpu1").name == "gpu1: GPU"


# -- --as-job ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ([], "workers of `launcher: local` would be in it too"),
        (["launcher=none", "store=sqlite"], "--as-job needs `store: mongo`"),
        (["launcher=slurm", "store.mongo.host=login1"], "store.mongo.host is login1, and the controller's jobs run"),
    ],
)
def test_as_job_refuses_what_cannot_follow_the_controller(bench, hpcho, settings, says):
    done = hpcho("run", bench.yaml, "--as-job", *(word for text in settings for word in ("--set", text)), env=BARE)
    assert done.returncode == 2
    assert says in done.stderr


def test_as_job_without_slurm_says_so(bench, hpcho):
    done = hpcho("run", bench.yaml, "--as-job", "--set", "launcher=slurm", env=BARE)
    assert done.returncode == 4
    assert "run this where jobs can be submitted (a login node)" in done.stderr


def test_as_job_and_its_like_exclude_each_other(bench, hpcho):
    assert "choose one" in hpcho("run", bench.yaml, "--as-job", "--detach").stderr
    assert "add --as-job" in hpcho("run", bench.yaml, "--chain", "3").stderr
