"""A managed server: started, secured, found again, and never left behind. A real one, in real processes."""

import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from contextlib import closing

import psutil
import pymongo
import pytest
from pymongo.errors import OperationFailure

from hpcho.errors import StoreError
from hpcho.store import location
from hpcho.store.administration import Link
from hpcho.store.server import lease
from hpcho.trial import start_ticks

pytestmark = pytest.mark.slow


def client(bench, **options):
    way = bench.way()
    return pymongo.MongoClient(way.url, **{"password": way.password, "serverSelectionTimeoutMS": 20_000, **options})


def write_one(bench, value):
    with client(bench, journal=True) as opened:
        opened.hpcho.things.insert_one({"value": value})


def values(bench):
    with client(bench) as opened:
        return sorted(thing["value"] for thing in opened.hpcho.things.find())


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_it_is_private_and_asks_for_the_password(bench):
    with bench.attend():
        assert mode(bench.folder) == 0o700
        assert mode(bench.folder / "password") == 0o600
        assert len(bench.password) >= 40
        where = bench.whereabouts()
        assert where["is_running"]
        assert where["host"] == "127.0.0.1"
        assert bench.password not in str(where)
        address = f"mongodb://127.0.0.1:{where['port']}"
        with pymongo.MongoClient(address) as stranger, pytest.raises(OperationFailure, match="authentication"):
            stranger.hpcho.things.find_one()
        wrong = {"username": "hyperopt", "password": "wrong"}
        with pymongo.MongoClient(address, **wrong) as stranger, pytest.raises(OperationFailure, match=r"(?i)auth"):
            stranger.hpcho.things.find_one()
        write_one(bench, 1)
        assert values(bench) == [1]


def test_stopping_leaves_no_process_and_says_so(bench):
    with bench.attend():
        assert len(bench.processes()) == 2
    assert bench.processes() == []
    assert not bench.whereabouts()["is_running"]
    assert bench.holder().has_left
    with pytest.raises(StoreError, match=r"the MongoDB server of .*job is not running; `hpcho run` starts it"):
        bench.way()


def test_the_end_of_a_keeper_that_takes_its_time_is_awaited(bench):
    with bench.attend():
        keeper = bench.holder().owner.pid
        os.kill(keeper, signal.SIGSTOP)
        later = threading.Timer(3, os.kill, [keeper, signal.SIGCONT])
        later.start()
    left = bench.processes()
    later.join()
    assert left == []


def test_data_password_and_port_stay(bench):
    with bench.attend():
        write_one(bench, 1)
        before = bench.whereabouts()["port"], bench.password
    with bench.attend():
        assert (bench.whereabouts()["port"], bench.password) == before
        assert values(bench) == [1]


def test_a_port_that_was_taken_meanwhile_is_left_to_its_taker(bench):
    with bench.attend():
        port = bench.whereabouts()["port"]
    with closing(socket.create_server(("127.0.0.1", port))), bench.attend():
        assert bench.whereabouts()["port"] != port


def test_a_port_that_was_asked_for_and_is_taken_is_an_error(bench):
    with closing(socket.create_server(("127.0.0.1", 0))) as taker:
        bench.write({"mongo": {"port": taker.getsockname()[1]}})
        with pytest.raises(StoreError, match=r"port \d+ of 127\.0\.0\.1 is in use: set another"), bench.attend():
            pass
    assert bench.processes() == []


def test_a_killed_server_is_started_again_on_its_data(bench):
    with bench.attend():
        for value in range(3):
            write_one(bench, value)
            server = bench.holder().server
            os.kill(server.pid, signal.SIGKILL)
            bench.until(lambda: bench.holder().server != server)  # noqa: B023 - called at once
            assert values(bench) == list(range(value + 1))
        assert "the server has ended (-9)" in bench.log


KEEPER = """
import pathlib, sys, time
from hpcho.store.server.process import ServerProcess
server = [sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(300)"]
process = ServerProcess(server, pathlib.Path.cwd())
time.sleep(300)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the parent-death signal is Linux's")
def test_the_kernel_ends_a_server_whose_keeper_was_killed(tmp_path):
    keeper = subprocess.Popen([sys.executable, "-c", KEEPER], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    server = int(keeper.stdout.readline())
    keeper.kill()
    keeper.communicate(timeout=30)  # until the server, which holds the other end, is ending as well
    deadline = time.monotonic() + 10
    while start_ticks(server) is not None:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_killed_keeper_takes_the_server_along_and_is_replaced(bench):
    with bench.attend() as service:
        write_one(bench, 1)
        before = bench.holder()
        os.kill(before.owner.pid, signal.SIGKILL)
        bench.until(lambda: service.look() is None and bench.holder().number > before.number, timeout=90)
        bench.until(lambda: not before.server.is_alive_here())
        assert bench.holder().owner.is_alive_here()
        assert values(bench) == [1]


def test_keeper_and_server_killed_at_once_are_replaced_at_the_next_start(bench):
    with bench.attend():
        write_one(bench, 1)
        for process in bench.processes():
            process.kill()
    with bench.attend():
        assert values(bench) == [1]


def test_two_processes_share_one_server_and_the_last_one_ends_it(bench):
    with bench.attend():
        with bench.attend():
            assert len(bench.processes()) == 2
        time.sleep(0.5)
        assert len(bench.processes()) == 2
        write_one(bench, 1)
    assert bench.processes() == []


def test_a_second_keeper_is_refused_the_data(bench):
    with bench.attend():
        before = bench.holder()
        second = subprocess.run(psutil.Process(before.owner.pid).cmdline(), timeout=60, check=False)
        assert second.returncode == lease.TAKEN
        assert (bench.holder().number, bench.holder().owner) == (before.number, before.owner)
        assert values(bench) == []


def test_two_that_start_at_once_get_one_server(bench):
    line = (
        "import sys, pathlib; from hpcho.jobdir import JobDir; from hpcho.store import attend\n"
        "with attend(JobDir(pathlib.Path(sys.argv[1]))): print('up', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", line, str(bench.jobdir.path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    both = [subprocess.Popen(command, **pipes) for _ in range(2)]
    assert [process.stdout.readline() for process in both] == [b"up\n"] * 2
    servers = [process for process in bench.processes() if "--sync-on-commit" in process.cmdline()]
    assert len(servers) == 1
    for process in both:
        process.communicate()
        assert process.returncode == 0
    bench.until(lambda: bench.processes() == [])


def test_the_lease_of_a_dead_keeper_is_taken_and_its_server_ended(bench):
    with bench.attend():
        write_one(bench, 1)
        keeper, server = bench.holder().owner, bench.holder().server
        # Stopped, not killed: the kernel ends the server with its keeper, and here it must be found running.
        os.kill(server.pid, signal.SIGSTOP)
        os.kill(keeper.pid, signal.SIGKILL)
        bench.until(lambda: not keeper.is_alive_here())
        assert server.is_alive_here()
        os.kill(server.pid, signal.SIGCONT)
    with bench.attend():
        assert not server.is_alive_here()
        assert values(bench) == [1]


def test_nobody_connected_for_long_ends_it(bench, monkeypatch):
    monkeypatch.setenv("HPCHO_SERVER_LINGER_S", "1")
    line = "import sys, pathlib, os, signal; from hpcho.jobdir import JobDir; from hpcho.store import attend\n"
    line += "with attend(JobDir(pathlib.Path(sys.argv[1]))): os.kill(os.getpid(), signal.SIGKILL)"
    subprocess.run([sys.executable, "-c", line, str(bench.jobdir.path)], timeout=60, check=False)
    bench.until(lambda: bench.processes() == [])
    assert not bench.whereabouts()["is_running"]


def test_whoever_is_connected_keeps_it_after_the_one_that_started_it(bench):
    with bench.attend(await_end=False):
        link = Link(bench.way())
        assert link.answers()
    time.sleep(1.5)
    assert link.answers()
    link.close()
    bench.until(lambda: bench.processes() == [])


def test_what_cannot_run_is_given_up_with_its_last_words(bench, tmp_path, monkeypatch):
    broken = tmp_path / "mongod"
    broken.write_text("#!/bin/sh\necho 'this machine is too old' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("HPCHO_MONGOD", str(broken))
    with (
        pytest.raises(StoreError, match=r"(?s)cannot be kept running.*server\.log.*this machine is too old"),
        bench.attend(),
    ):
        pass
    assert bench.processes() == []


def test_a_server_that_no_longer_starts_is_given_up_too(bench):
    with bench.attend():
        pass
    for file in (bench.folder / "db").glob("WiredTiger*"):
        file.write_bytes(b"overwritten")
    with (
        pytest.raises(StoreError, match=r"(?s)cannot be kept running.*does not stay up: it has ended 4 times"),
        bench.attend(),
    ):
        pass
    assert bench.processes() == []


def test_a_lost_password_is_made_anew_for_the_same_data(bench):
    with bench.attend():
        write_one(bench, 1)
        before = bench.password
    (bench.folder / "password").unlink()
    with bench.attend():
        assert bench.password != before
        assert values(bench) == [1]


def test_another_password_is_an_error_that_says_what_to_do(bench):
    with bench.attend():
        pass
    (bench.folder / "password").write_text("another\n")
    with (
        pytest.raises(StoreError, match=r"(?s)refuses the password: .* is another one.*or delete it") as error,
        bench.attend(),
    ):
        pass
    assert "another\n" not in str(error.value)
    assert bench.processes() == []


def test_a_first_start_that_was_killed_is_begun_anew(bench):
    (bench.folder / "db").mkdir(parents=True)
    (bench.folder / "db" / "WiredTiger").write_text("half made")
    with bench.attend():
        assert values(bench) == []
    (aside,) = bench.folder.glob("db~*")
    assert (aside / "WiredTiger").read_text() == "half made"


def test_all_tables_are_made_before_the_first_kill_can_come(bench):
    with bench.attend():
        assert len(list((bench.folder / "db").glob("secantus_documents_sh*.wt"))) == 16
        with client(bench) as opened:
            assert opened.hpcho.list_collection_names() == []


def test_a_password_that_others_may_read_is_refused(bench):
    with bench.attend():
        (bench.folder / "password").chmod(0o640)
        with pytest.raises(StoreError, match=r"password: others may read this password \(mode 640\): `chmod 600` it"):
            bench.way()
        (bench.folder / "password").chmod(0o600)


def test_data_dir(bench, tmp_path):
    bench.write({"mongo": {"data_dir": "fast"}})
    with bench.attend():
        place = tmp_path / "fast" / bench.jobdir.read_record()["uuid"]
        assert (place / "db").is_dir()
        assert mode(place) == 0o700
        assert not (bench.folder / "db").exists()
        assert bench.jobdir.read_record()["database"]["path"] == str(place)


def test_a_job_directory_on_a_network_file_system_keeps_its_data_on_a_local_disk(bench, tmp_path, monkeypatch):
    mounts = f"1 0 0:1 / / rw - overlay overlay rw\n2 1 0:2 / {bench.jobdir.path} rw - nfs4 filer:/home rw\n"
    monkeypatch.setattr(location, "read_mountinfo", lambda: mounts)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    notes = []
    with bench.attend(None, notes.append):
        place = tmp_path / "state" / "hpcho" / bench.jobdir.read_record()["uuid"]
        assert (place / "db").is_dir()
        assert mode(bench.folder / "password") == 0o600
    assert len(notes) == 1
    assert f"is on nfs4, where databases get damaged: the trials go to {place}" in notes[0]
    with bench.attend(None, notes.append):
        assert len(notes) == 1


def test_data_on_a_disk_of_another_machine_are_served_there_alone(bench):
    record = bench.jobdir.read_record()
    noted = {"kind": "mongo", "host": "login7", "path": "/var/tmp/hpcho-of-nobody/data"}
    bench.jobdir.write_record({**record, "database": noted})
    with (
        pytest.raises(StoreError, match=r"is on a disk of login7 \(/var/tmp.*: run the command on login7"),
        bench.attend(),
    ):
        pass


def test_its_environment_is_a_short_one(bench, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another-secret")
    with bench.attend():
        for process in bench.processes():
            assert "another-secret" not in str(process.environ())
            assert bench.password not in str(process.environ()) + " ".join(process.cmdline())
            assert os.getsid(process.pid) != os.getsid(0)


def test_the_log_does_not_grow_for_ever(bench):
    with bench.attend():
        with (bench.jobdir.logs / "server.log").open("ab") as log:
            log.write(b"x" * (9 << 20))
        bench.until(lambda: len(bench.log) < 9 << 20)
        assert (bench.jobdir.logs / "server.log.1").stat().st_size >= 9 << 20
