"""Whole runs whose trials are in a MongoDB: a server of the run's own, or one at a URL."""

import contextlib
import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest
from run_lab import SQUARE, SQUARE_SETTINGS, Lab, command_line

from hpcho.jobdir import JobDir
from hpcho.store.server import attend, lease, mongo_of, way_in

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not shutil.which("secantusd-py", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])),
        reason="needs secantusd-py: pip install 'hpcho[embedded-mongo]'",
    ),
]

MONGO = SQUARE_SETTINGS + "store: mongo\n"
NAP = """
import pathlib, time
def objective(params, trial):
    pathlib.Path(f"../begun-{{trial.tid}}").touch()
    time.sleep({seconds})
    return params["x"]
"""


@pytest.fixture
def mongo(lab):
    """The quick objective, 12 trials, 2 workers, on a server of its own."""
    lab.write(SQUARE, MONGO)
    return lab


@pytest.fixture
def nap(lab):
    lab.write(NAP.format(seconds=0.5), MONGO.replace("trials: 12", "trials: 20"))
    return lab


def holder(lab):
    return lease.read(lab.job_dir / "mongo")


def until_begun(lab, n=1):
    """Until n trials were begun. The objective tells of it: `hpcho status` is itself a guest of the server."""
    lab.until(lambda: len(list(lab.job_dir.glob("begun-*"))) >= n)


def all_done(lab, n):
    rows = lab.trials()
    assert [row["tid"] for row in rows] == list(range(n))
    assert {row["state"] for row in rows} == {"done"}
    return rows


def test_a_run_ends_with_its_budget_and_ends_its_server(mongo):
    done = mongo.run()
    assert mongo.processes() == []
    assert "12 trials" in done.stdout
    rows = all_done(mongo, 12)
    assert [row["attempts"] for row in rows] == [1] * 12
    assert mongo.json("status")["state"] == "finished"
    assert mongo.json("best")["tid"] == min(rows, key=lambda row: row["loss"])["tid"]
    mongo.run("--set", "budget.trials=15")
    all_done(mongo, 15)
    mongo.until(lambda: mongo.processes() == [])
    assert not (mongo.job_dir / "trials.db").exists()


def test_a_killed_server_comes_back_and_the_run_goes_on(nap):
    process = nap.start("run")
    until_begun(nap)
    for _ in range(3):
        server = holder(nap).server
        os.kill(server.pid, signal.SIGKILL)
        nap.until(lambda: holder(nap).server != server)  # noqa: B023 - called at once
        time.sleep(1)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, f"{out}\n{err}\n{nap.logs()}"
    all_done(nap, 20)


def test_a_killed_keeper_is_replaced_and_the_run_goes_on(nap):
    process = nap.start("run")
    until_begun(nap)
    os.kill(holder(nap).owner.pid, signal.SIGKILL)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, f"{out}\n{err}\n{nap.logs()}"
    all_done(nap, 20)
    nap.until(lambda: nap.processes() == [])


def test_workers_of_a_killed_controller_deliver_and_the_next_run_goes_on(lab):
    lab.write(NAP.format(seconds=3), MONGO.replace("trials: 12", "trials: 4"))
    process = lab.start("run")
    until_begun(lab, 2)
    server = holder(lab).server
    process.kill()
    process.communicate()
    lab.until(lambda: not [p for p in lab.processes() if "hpcho.worker" in command_line(p)])
    assert server.is_alive_here(), "it goes on without the controller"
    assert lab.states()["done"] == 2
    lab.run()
    all_done(lab, 4)
    lab.until(lambda: lab.processes() == [])


def test_after_a_killed_controller_nothing_is_left_for_ever(lab):
    lab.environment["HPCHO_SERVER_LINGER_S"] = "2"
    lab.write(NAP.format(seconds=1), MONGO)
    process = lab.start("run")
    until_begun(lab)
    process.kill()
    process.communicate()
    lab.until(lambda: lab.processes() == [], timeout=60)


def test_everything_killed_at_once_and_run_again(nap):
    process = nap.start("run")
    until_begun(nap, 5)
    done = {row["tid"]: row["loss"] for row in nap.trials() if row["state"] == "done"}
    assert done
    for victim in nap.processes():
        with contextlib.suppress(psutil.Error):
            victim.kill()
    process.communicate()
    nap.run()
    rows = all_done(nap, 20)
    assert done.items() <= {row["tid"]: row["loss"] for row in rows}.items()


def test_a_second_run_attaches_to_the_server_and_only_looks_on(nap):
    first = nap.start("run")
    until_begun(nap)
    keeper = holder(nap).owner
    second = nap.run()
    assert "looking on" in second.stdout
    assert holder(nap).owner == keeper
    assert first.wait(timeout=60) == 0
    first.communicate()
    all_done(nap, 20)
    nap.until(lambda: nap.processes() == [])


def test_ctrl_c_ends_the_server_too(nap):
    process = nap.start("run")
    until_begun(nap)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert nap.processes() == []


def test_a_detached_run_has_a_server_and_ends_it(nap):
    done = nap.run("--detach")
    assert "running in the background" in done.stdout
    nap.until(lambda: nap.json("status")["state"] == "finished", timeout=90)
    nap.until(lambda: nap.processes() == [])
    all_done(nap, 20)


def test_fresh_sets_server_and_trials_aside(mongo):
    mongo.run()
    password = (mongo.job_dir / "mongo" / "password").read_text()
    mongo.run("--fresh", "--set", "budget.trials=3")
    all_done(mongo, 3)
    assert (mongo.job_dir / "mongo" / "password").read_text() != password
    (archived,) = mongo.job_dir.parent.glob("lab~*")
    mongo.yaml = archived
    assert len(mongo.trials()) == 12


def test_workers_by_hand_need_no_launcher(mongo):
    settings = MONGO.replace("launcher: {local: {workers: 2}}", "launcher: none")
    mongo.write(SQUARE, settings.replace("store: mongo", "store: {mongo: {host: 127.0.0.1}}"))
    early = mongo.hpcho("worker")
    assert early.returncode == 2
    process = mongo.start("run")
    mongo.until(lambda: mongo.job_dir.exists() and mongo.hpcho("status").returncode == 0)
    worker = mongo.hpcho("worker", "--idle-exit", "3")
    assert worker.returncode == 0, worker.stderr
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, f"{out}\n{err}"
    all_done(mongo, 12)
    mongo.until(lambda: mongo.processes() == [])
    late = mongo.hpcho("worker")
    assert late.returncode == 3
    assert "is not running; `hpcho run` starts it" in late.stderr


@pytest.fixture
def elsewhere(tmp_path_factory):
    """A MongoDB that somebody else runs: here, the server of another job directory. Its URL and password file."""
    folder = tmp_path_factory.mktemp("elsewhere")
    other = Lab(folder)
    other.write(SQUARE, MONGO)
    other.run("--set", "budget.trials=1")
    jobdir = JobDir(other.job_dir)
    record = jobdir.read_record()
    with attend(jobdir, await_end=True):
        yield (
            way_in(jobdir, record, mongo_of(record)).url.replace("/hpcho?", "/hpcho?appname=lab&"),
            (other.job_dir / "mongo" / "password"),
        )


def test_a_run_at_a_url_with_a_password_file(lab, elsewhere):
    url, password = elsewhere
    shutil.copy(password, lab.folder / "pw")
    store = json.dumps({"mongo": {"url": url, "password_file": "pw"}})
    settings = SQUARE_SETTINGS + f"store: {store}\n"
    lab.write(SQUARE, settings)
    # The other experiment's name is taken in this database: two people with one name on one server never mix.
    done = lab.run(code=3)
    assert "belongs to another experiment of the same name" in done.stderr
    lab.yaml.write_text("name: mine\n" + settings)
    lab.job_dir = lab.folder / "runs" / "mine"
    lab.run()
    rows = lab.trials()
    assert len(rows) == 12
    assert {row["state"] for row in rows} == {"done"}
    assert not (lab.job_dir / "mongo").exists()
    emptied = lab.run("--set", f"store.mongo.url={url.replace('/hpcho?', '/hpcho2?')}", code=3)
    assert "not authorized" in emptied.stderr or "the store is empty" in emptied.stderr
    (lab.folder / "pw").write_text("wrong\n")
    wrong = lab.run(code=3)
    assert "the user or the password is wrong" in wrong.stderr


def test_a_password_in_the_url_is_refused_with_its_place_and_not_shown(lab):
    lab.write(SQUARE, SQUARE_SETTINGS + "store: {mongo: {url: 'mongodb://ada:hunter2@db/jobs'}}\n")
    for command in ("run", "check"):
        done = lab.hpcho(command, "--debug")
        assert done.returncode == 2
        assert "experiment.yaml:8:22: store.mongo.url: must hold no password: put it into a file" in done.stderr
        assert "hunter2" not in done.stdout + done.stderr
    assert not lab.job_dir.exists()


def test_a_run_that_has_its_trials_in_one_store_is_not_gone_on_with_in_another(square):
    square.run()
    done = square.run("--set", "store=mongo", code=2)
    assert "the trials of lab are in sqlite, and `store:` in the YAML says otherwise" in done.stderr


def test_check_tries_a_trial_without_a_server(mongo):
    done = mongo.hpcho("check", "--trial")
    assert done.returncode == 0, done.stderr
    assert "loss" in done.stdout
    assert not mongo.job_dir.exists()
