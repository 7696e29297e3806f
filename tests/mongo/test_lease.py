"""The lease on a server's data, among processes of this host and of others."""

import json
import os
import subprocess
import sys
import threading

import pytest

from hpcho.jobdir import write_atomically
from hpcho.store.server import lease
from hpcho.store.server.lease import Holder, Lease, LeaseLost, read
from hpcho.trial import Owner


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(lease, "BEAT_S", 0.0)


def put(place, number, holder):
    folder = place / f"lease-{number}"
    folder.mkdir()
    (folder / "holder.json").write_text(json.dumps(holder.to_json()))


def dead_owner():
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    process.wait()
    return Owner(Owner.here().host, process.pid, 1)


def test_taken_and_left(tmp_path):
    assert read(tmp_path) is None
    mine = Lease(tmp_path)
    assert mine.take() == mine.holder
    assert read(tmp_path) == Holder(1, Owner.here())
    assert read(tmp_path).may_live
    mine.leave()
    assert mine.holder is None
    assert not read(tmp_path).may_live
    mine.leave()


def test_refused_while_its_holder_lives_on_this_host(tmp_path):
    first, second = Lease(tmp_path), Lease(tmp_path)
    first.take()
    assert second.take() == first.holder
    assert second.holder is None


def test_a_dead_process_s_lease_is_taken_at_once(tmp_path):
    server = Owner("here", 4)
    put(tmp_path, 3, Holder(3, dead_owner(), beat=7, server=server))
    mine = Lease(tmp_path)
    mine.take(patience_s=1000)
    assert mine.holder.number == 4
    assert mine.earlier.server == server
    assert [path.name for path in tmp_path.iterdir()] == ["lease-4"]


def test_a_pid_used_again_is_another_process(tmp_path):
    put(tmp_path, 1, Holder(1, Owner(Owner.here().host, os.getpid(), started=1)))
    assert Lease(tmp_path).take(patience_s=1000).number == 2


def test_another_host_s_lease_is_taken_once_its_counter_stands_still(tmp_path, caplog):
    put(tmp_path, 1, Holder(1, Owner("login7", 12), beat=3))
    mine = Lease(tmp_path)
    mine.take(patience_s=0.1)
    assert mine.holder.number == 2
    assert "the lease of login7:12" in caplog.text


def test_another_host_s_lease_is_left_alone_while_it_counts(tmp_path):
    theirs = Holder(1, Owner("login7", 12), beat=3)
    put(tmp_path, 1, theirs)
    later = Holder(1, theirs.owner, beat=4)
    beat = threading.Timer(0.1, write_atomically, [tmp_path / "lease-1" / "holder.json", json.dumps(later.to_json())])
    beat.start()
    mine = Lease(tmp_path)
    assert mine.take(patience_s=1000) == later
    assert mine.holder is None
    beat.join()


def test_another_host_s_lease_is_taken_as_soon_as_it_is_left(tmp_path):
    theirs = Holder(1, Owner("login7", 12))
    put(tmp_path, 1, theirs)
    left = json.dumps({**theirs.to_json(), "has_left": True})
    leave = threading.Timer(0.1, write_atomically, [tmp_path / "lease-1" / "holder.json", left])
    leave.start()
    assert Lease(tmp_path).take(patience_s=1000).number == 2
    leave.join()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"owner": 3}', '{"owner": {"host": "a"}}'])
def test_a_lease_that_cannot_be_read_is_judged_like_another_host_s(tmp_path, text):
    (tmp_path / "lease-5").mkdir()
    (tmp_path / "lease-5" / "holder.json").write_text(text)
    assert Lease(tmp_path).take(patience_s=0.05).number == 6


def test_of_many_that_take_it_one_gets_it(tmp_path):
    put(tmp_path, 1, Holder(1, dead_owner()))
    line = (
        "import sys, pathlib; from hpcho.store.server.lease import Lease; mine = Lease(pathlib.Path(sys.argv[1]));"
        "mine.take(); print(mine.holder is not None, flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", line, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, **pipes) for _ in range(8)]
    won = [process.stdout.readline().strip() for process in processes]
    for process in processes:
        process.communicate()
    assert sorted(won) == ["False"] * 7 + ["True"]


def test_a_beat_counts_and_tells_of_the_server(tmp_path):
    mine = Lease(tmp_path)
    mine.take()
    server = Owner("here", 4)
    mine.beat(server)
    mine.beat()
    assert (read(tmp_path).beat, read(tmp_path).server) == (2, server)


def test_a_holder_that_was_stopped_for_long_finds_the_lease_lost(tmp_path):
    mine = Lease(tmp_path)
    mine.take()
    put(tmp_path, 2, Holder(2, Owner("login7", 12)))
    with pytest.raises(LeaseLost, match="another process serves"):
        mine.beat()
    assert mine.holder is None
    mine.leave()
    assert read(tmp_path).owner.host == "login7"


def test_a_lease_whose_folder_is_gone_is_lost(tmp_path):
    mine = Lease(tmp_path)
    mine.take()
    (tmp_path / "lease-1" / "holder.json").unlink()
    (tmp_path / "lease-1").rmdir()
    with pytest.raises(LeaseLost):
        mine.beat()


def test_a_number_that_was_used_long_ago_is_not_taken_again(tmp_path):
    """The folder of an old lease, half removed by its successor, is empty, and so may be renamed onto."""
    (tmp_path / "lease-2").mkdir()
    put(tmp_path, 3, Holder(3, Owner.here()))
    slow = Lease(tmp_path)
    assert slow._put_in_place(Holder(2, Owner.here())).number == 3
    assert slow.holder is None
    assert [path.name for path in tmp_path.iterdir()] == ["lease-3"]
