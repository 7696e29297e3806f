"""Whole runs whose MongoDB is away, slow, full, moved, damaged or lost while workers work."""

import collections
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import time

import mongo_server
import pymongo
import pytest
from mongo_elsewhere import Elsewhere
from run_lab import SQUARE_SETTINGS, command_line

from hpcho.jobdir import JobDir
from hpcho.store import attend, open_store
from hpcho.store.server import lease

pytestmark = pytest.mark.slow

COUNTED = """
import time
def objective(params, trial):
    time.sleep({seconds})
    with open("../ran.txt", "a") as file:
        file.write(f"{{trial.tid}}\\n")
    return {{"loss": params["x"], "tid": trial.tid, "attachments": {{"model": str(trial.tid).encode()}}}}
"""


def counted(lab, trials, seconds, more, workers=2):
    """An objective that writes down each evaluation."""
    settings = SQUARE_SETTINGS.replace("trials: 12", f"trials: {trials}").replace("workers: 2", f"workers: {workers}")
    lab.write(COUNTED.format(seconds=seconds), settings + more)


def ran(lab):
    """How often each trial was evaluated."""
    return counts(lab, "ran.txt")


def counts(lab, file):
    path = lab.job_dir / file
    return collections.Counter(map(int, path.read_text().split())) if path.exists() else collections.Counter()


def ended(lab, process, timeout=120):
    """What a run that goes well has said."""
    out, err = process.communicate(timeout=timeout)
    assert process.returncode == 0, f"exit {process.returncode}\n{out}\n{err}\n{lab.logs()}"
    return out + err


def each_once(lab, n, gaps=0):
    """n trials are done, each was evaluated once, and has its own result. So many tids at most were passed over."""
    rows = lab.trials()
    tids = [row["tid"] for row in rows]
    assert len(set(tids)) == len(tids) == n
    assert max(tids) < n + gaps
    assert {(row["state"], row["attempts"]) for row in rows} == {("done", 1)}, lab.logs()
    assert all(row["loss"] == row["params"]["x"] for row in rows)
    assert ran(lab) == dict.fromkeys(tids, 1)
    return rows


def results(lab):
    """What the trials' folders hold: losses by tid."""
    found = lab.job_dir.glob("trials/*/result.json")
    return {int(path.parent.name): json.loads(path.read_text())["result"]["loss"] for path in found}


def stored(lab):
    """The trials with all that is known of them."""
    jobdir = JobDir(lab.job_dir)
    with attend(jobdir, await_end=True), contextlib.closing(open_store(jobdir)) as store:
        return store.changes()[1]


def late(lab):
    return list(lab.job_dir.glob("trials/*/late-*.json"))


@pytest.fixture
def server(tmp_path_factory):
    """A MongoDB that somebody else runs."""
    is_named = mongo_server.URL in os.environ and mongo_server.OURS not in os.environ
    server = Elsewhere() if is_named else mongo_server.Server(tmp_path_factory.mktemp("server"))
    yield server
    with contextlib.suppress(ProcessLookupError):
        server.resume()
        server.stop()


def at(server, lab):
    """``store:`` for that one."""
    password = lab.folder / "pw"
    password.touch(mode=0o600)
    password.write_text(server.password)
    url = f"{server.url('lab', user=f'{server.user}@')}&serverSelectionTimeoutMS=1000&socketTimeoutMS=3000"
    return f"store: {json.dumps({'mongo': {'url': url, 'password_file': 'pw'}})}\n"


def test_workers_keep_what_they_have_while_the_server_is_away_and_deliver_it_once(lab, server):
    # Silent for ten heartbeats is what a dead worker is; the server is away for four times as long.
    counted(lab, 16, 1.0, at(server, lab) + "trial: {heartbeat_s: 0.5}\n", workers=3)
    process = lab.start("run")
    lab.until(lambda: len(ran(lab)) >= 4)
    server.kill()
    time.sleep(5)
    kept, evaluated = sorted(late(lab)), ran(lab)
    assert 1 <= len(kept) <= 3
    time.sleep(15)
    assert (sorted(late(lab)), ran(lab)) == (kept, evaluated), "they finish what they have, and that is kept"
    server.start()
    said = ended(lab, process)
    assert "waiting: MongoDB at 127.0.0.1" in said
    assert said.count("the store is there again: going on") == 1
    each_once(lab, 16)
    assert late(lab) == []


def test_a_server_that_stands_still_for_long_is_waited_for(lab, server):
    counted(lab, 16, 1.0, at(server, lab) + "trial: {heartbeat_s: 0.5}\n", workers=3)
    process = lab.start("run")
    lab.until(lambda: len(ran(lab)) >= 4)
    server.pause()
    time.sleep(20)
    server.resume()
    ended(lab, process)
    each_once(lab, 16)
    assert late(lab) == []


def test_a_slow_server_slows_the_run_and_no_more(lab, server):
    counted(lab, 30, 0.1, at(server, lab) + "trial: {heartbeat_s: 0.5}\n")
    process = lab.start("run")
    lab.until(lambda: len(ran(lab)) >= 2)
    while process.poll() is None:
        server.pause()
        time.sleep(0.4)
        server.resume()
        time.sleep(0.1)
    ended(lab, process)
    each_once(lab, 30)


# -- a server of the run's own ----------------------------------------------------------------------------------------

MANAGED = "store: mongo\n"


def holder(lab):
    return lease.read(lab.job_dir / "mongo")


def port(lab):
    return json.loads((lab.job_dir / "mongo" / "address.json").read_text())["port"]


def test_workers_find_a_server_that_comes_back_elsewhere(lab, server):
    counted(lab, 16, 0.7, MANAGED + "trial: {heartbeat_s: 0.5}\n")
    process = lab.start("run")
    lab.until(lambda: len(ran(lab)) >= 3)
    before, ours = port(lab), holder(lab)
    process.send_signal(signal.SIGSTOP)  # it would have the server again at once
    os.kill(ours.owner.pid, signal.SIGKILL)
    lab.until(lambda: not ours.server.is_alive_here())
    # Another MongoDB takes the port; it knows nothing of their password.
    server.stop()
    server.port = before
    server.start()
    process.send_signal(signal.SIGCONT)
    ended(lab, process)
    assert port(lab) != before
    each_once(lab, 16)
    lab.until(lambda: lab.processes() == [])


@pytest.fixture
def disk(tmp_path):
    """A small disk, and what fills it."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=160m", "tmpfs", place], check=False, capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"only root may mount a disk to fill: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def fill(place):
    """Take all the room that is left."""
    with (place / "filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


def said(lab):
    return (lab.folder / "said").read_text()


@pytest.mark.parametrize("what", ["database", "job directory"])
def test_a_full_disk_pauses_the_run_until_there_is_room(lab, disk, what):
    where = "store: {mongo: {data_dir: disk}}\n" if what == "database" else MANAGED + "job_dir: disk\n"
    counted(lab, 40, 0.3, where + "trial: {heartbeat_s: 0.5}\n")
    objective = lab.folder / "objective.py"
    # Of a size that a database soon needs more room for.
    objective.write_text(objective.read_text().replace("str(trial.tid).encode()", "bytes(300_000)"))
    if what == "job directory":
        lab.job_dir = disk / "lab"
    with (lab.folder / "said").open("w") as output:
        process = lab.start("run", stdout=output, stderr=output)
        lab.until(lambda: len(ran(lab)) >= 4)
        fill(disk)
        lab.until(lambda: "waiting: " in said(lab) and "full. Nothing was lost" in said(lab))
        time.sleep(8)
        assert process.poll() is None, said(lab) + lab.logs()
        (disk / "filler").unlink()
        process.wait(120)
    assert process.returncode == 0, said(lab) + lab.logs()
    assert "there is room again: going on" in said(lab)
    each_once(lab, 40)


def test_another_password_ends_the_command_that_meets_it_and_changes_nothing(lab):
    counted(lab, 24, 0.7, MANAGED)
    process = lab.start("run")
    lab.until(lambda: len(ran(lab)) >= 2)
    file = lab.job_dir / "mongo" / "password"
    password = file.read_text()
    file.write_text("of another database\n")
    assert "the server refuses the password" in lab.run(code=3).stderr
    worker = lab.hpcho("worker", "--max-trials", "1")
    assert worker.returncode == 3
    assert "the user or the password is wrong" in worker.stderr
    ended(lab, process)
    lab.until(lambda: lab.processes() == [])
    refused = lab.run("--set", "budget.trials=26", code=3)
    assert f"{file} is another one than the database was given. Bring it back, or delete it" in refused.stderr
    assert "Traceback" not in refused.stderr
    file.write_text(password)
    each_once(lab, 24)
    lab.run("--set", "budget.trials=26")
    each_once(lab, 26)


def test_a_database_of_a_later_hpcho_is_left_alone(lab, server):
    counted(lab, 4, 0, at(server, lab))
    lab.run()
    with pymongo.MongoClient(server.url()) as client:
        client["lab"]["job_ids"].update_one({"a": 0}, {"$set": {"hpcho": 2}})
        before = contents(client["lab"])
        for command in (["run", "--set", "budget.trials=8"], ["status"], ["worker", "--max-trials", "1"]):
            done = lab.hpcho(*command)
            assert done.returncode == 3
            assert "was written by a later hpcho (format 2; this one knows 1)" in done.stderr
        assert contents(client["lab"]) == before


def contents(database):
    return {name: list(database[name].find()) for name in database.list_collection_names()}


SHIFTED = """
import sys, time
if "hpcho.worker" in " ".join(sys.orig_argv):
    open({witness!r}, "w").close()
    real, real_ns = time.time, time.time_ns
    time.time, time.time_ns = lambda: real() + {ahead_s}, lambda: real_ns() + {ahead_s} * 10**9
"""


@pytest.mark.parametrize("ahead_s", [600, -600])
def test_workers_whose_clock_is_ten_minutes_off(lab, ahead_s):
    counted(lab, 12, 0.5, MANAGED + "trial: {heartbeat_s: 0.2}\n")
    shim = lab.folder / "shim"
    shim.mkdir()
    witness = lab.folder / "shifted"
    (shim / "sitecustomize.py").write_text(SHIFTED.format(ahead_s=ahead_s, witness=str(witness)))
    lab.environment["PYTHONPATH"] = os.pathsep.join([str(shim), lab.environment["PYTHONPATH"]])
    process = lab.start("run")
    lab.until(lambda: len(ran(lab)) >= 3)
    (worker, *_) = [
        p for p in lab.processes() if "-m hpcho.worker" in command_line(p) and "child" not in command_line(p)
    ]
    worker.kill()
    assert all(worker["since_s"] >= 0 for worker in lab.json("status")["workers"])
    ended(lab, process)
    rows = lab.trials()
    assert [row["state"] for row in rows] == ["done"] * 12
    assert all(0 <= row["duration_s"] < 60 for row in rows)
    assert sorted(row["attempts"] for row in rows) in ([1] * 12, [1] * 11 + [2]), "only the killed worker's was reaped"
    assert witness.exists(), "the workers' clock was another"
    begun = [attempt.started_at for trial in stored(lab) for attempt in trial.attempts]
    assert all(abs(at - time.time()) < 300 for at in begun), "times are the server's"
    lab.run("--set", "budget.trials=14")


def test_damaged_documents_are_named_and_left_out_and_the_run_goes_on(lab, server):
    counted(lab, 20, 0.5, at(server, lab) + "trial: {heartbeat_s: 0.5}\n")
    process = lab.start("run")
    lab.until(lambda: len(ran(lab)) >= 3)
    with pymongo.MongoClient(server.url()) as client:
        jobs = client["lab"]["jobs"]

        def damage(state, change):
            found = jobs.find({"state": state}).sort("tid", -1).next()
            assert jobs.update_one({"_id": found["_id"], "state": state}, change).matched_count
            return found["tid"]

        damaged = [
            damage(0, {"$set": {"state": "new"}}),
            damage(0, {"$unset": {"misc.vals": ""}}),
            damage(0, {"$set": {"version": "0"}}),
            damage(1, {"$set": {"version": 0.5}}),
            damage(2, {"$unset": {"result.status": ""}}),
        ]
    ended(lab, process)
    done = {row["tid"] for row in lab.trials() if row["state"] == "done"}
    assert not done & set(damaged)
    assert lab.json("status")["state"] == "finished"
    lab.run("--set", "budget.trials=22")
    log = (lab.job_dir / "logs" / "controller.log").read_text()
    for tid in damaged:
        assert f"trial {tid}: its document" in log
    assert len(lab.trials()) >= 22


def test_kill_9_of_the_server_at_ten_random_moments_loses_nothing(lab):
    counted(lab, 500, 0.02, MANAGED + "trial: {heartbeat_s: 0.5}\n")
    rng = random.Random(10)
    process = lab.start("run")
    acknowledged = {}
    for moment in sorted(rng.sample(range(5, 480), 10)):
        lab.until(lambda: ran(lab).total() >= moment)  # noqa: B023 - called at once
        server = holder(lab).server
        settled = list(lab.job_dir.glob("trials/*/result.json"))
        os.kill(server.pid, signal.SIGKILL)
        acknowledged |= {int(path.parent.name): path.read_text() for path in settled}
        lab.until(lambda: holder(lab).server != server)  # noqa: B023 - called at once
    ended(lab, process)
    # Of a server that died as it gave tids out nobody knows which: at each end a batch of the queue's may be left out.
    losses = {row["tid"]: row["loss"] for row in each_once(lab, 500, gaps=10 * 32)}
    assert len(acknowledged) > 100
    assert all(json.loads(text)["result"]["loss"] == losses[tid] for tid, text in acknowledged.items())


HELD = """
import pathlib, time
def note(file, trial):
    with open(file, "a") as notes:
        notes.write(f"{trial.tid}\\n")
def objective(params, trial):
    if pathlib.Path("../hold").exists():
        note("../held.txt", trial)
        while not pathlib.Path("../go").exists():
            time.sleep(0.02)
    time.sleep(0.5)
    note("../ran.txt", trial)
    return params["x"]
"""


@pytest.mark.parametrize("gone", ["mongo/db", "mongo"])
def test_a_store_that_is_lost_under_a_run_is_rebuilt_and_no_result_changes_its_trial(lab, gone):
    # A heartbeat would tell a worker that its trial is lost.
    counted(lab, 32, 0, MANAGED + "trial: {heartbeat_s: 300}\n", workers=1)
    (lab.folder / "objective.py").write_text(HELD)
    process = lab.start("run")
    lab.until(lambda: len(ran(lab)) >= 1)
    helpers = [lab.start("worker") for _ in range(2)]  # these outlive the run
    lab.until(lambda: len(ran(lab)) >= 6)
    # Nothing is seen of the last trials that were begun before they are done, which is after all is lost.
    (lab.job_dir / "hold").touch()
    lab.until(lambda: len(counts(lab, "held.txt")) == 3)
    before, ours = results(lab), holder(lab)
    process.send_signal(signal.SIGSTOP)  # it would have the server again at once
    os.kill(ours.owner.pid, signal.SIGKILL)
    lab.until(lambda: not ours.server.is_alive_here())
    shutil.rmtree(lab.job_dir / gone)  # with or without the password, which everybody knows so far
    process.send_signal(signal.SIGCONT)
    _, err = process.communicate(timeout=90)
    assert process.returncode == 3, err
    assert "the store is empty, and workers have worked in" in err
    assert f"`hpcho run` again, which brings {len(before)} finished trials back" in err
    told = lab.hpcho("status")
    assert told.returncode == 3
    assert f"which brings {len(before)} finished trials back from the job directory" in told.stderr
    (lab.job_dir / "hold").unlink()
    process = lab.start("run")
    lab.until(lambda: len(ran(lab)) > len(before))
    (lab.job_dir / "go").touch()
    assert "bringing back what they have finished" in ended(lab, process)
    for helper in helpers:
        helper.communicate(timeout=60)
    done = {row["tid"]: row["loss"] for row in lab.trials()}
    assert len(done) == 32
    assert before.items() <= done.items()
    assert all(row["state"] == "done" and row["loss"] == row["params"]["x"] for row in lab.trials())
    assert set(ran(lab).values()) == {1}, "no number was given twice"
    assert results(lab).items() == done.items()
