"""What is sqlite's alone: its file, its errors, its locks, and where files go. The contract is in tests/contract."""

import errno
import logging
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcho.errors import ClaimLost, StoreError, StoreFull
from hpcho.jobdir import JobDir
from hpcho.store import database, open_store
from hpcho.store.database import explained
from hpcho.store.files import file_name
from hpcho.store.sqlite import SqliteStore
from hpcho.trial import Draft, Owner, Report, Result, TrialState

OWNER = Owner("node1", 11)
NEW = [Draft({"x": [1.0]})]


@pytest.fixture
def jobdir(tmp_path):
    folder = tmp_path / "job ü?#%"
    folder.mkdir(mode=0o700)
    return JobDir(folder)


@pytest.fixture
def path(jobdir):
    return jobdir.path / "trials.db"


@pytest.fixture
def store(path, jobdir):
    with closing(SqliteStore(path, jobdir)) as opened:
        yield opened


@pytest.fixture
def by_hand(path):
    """Statements of somebody who edits the database with other tools."""

    def edit(*statements):
        with closing(sqlite3.connect(path)) as connection, connection:
            for statement in statements:
                connection.execute(statement)

    return edit


def attach(jobdir, name="made", data=b"data"):
    path = jobdir.path / name
    path.write_bytes(data)
    return path


class TestFile:
    def test_one_database_in_wal_mode(self, store, path, jobdir):
        store.add(NEW)
        assert sorted(file.name for file in jobdir.path.iterdir()) == ["trials.db", "trials.db-shm", "trials.db-wal"]
        store.close()
        assert [file.name for file in jobdir.path.iterdir()] == ["trials.db"]

    def test_closed_to_others(self, store, jobdir):
        store.add(NEW)
        assert {stat.S_IMODE(file.stat().st_mode) for file in jobdir.path.iterdir()} == {0o600}

    def test_open_to_the_group_where_its_folder_is(self, path, jobdir):
        jobdir.path.chmod(0o2770)
        umask = os.umask(0o077)
        try:
            with closing(SqliteStore(path, jobdir)) as store:
                store.add(NEW)
                assert {stat.S_IMODE(file.stat().st_mode) for file in jobdir.path.iterdir()} == {0o660}
        finally:
            os.umask(umask)

    def test_the_log_does_not_grow_for_ever(self, store, path, monkeypatch):
        monkeypatch.setattr(database, "CHECKPOINT_EVERY", 10)
        trial = store.add(NEW)[0]
        for _ in range(20):
            trial = store.release(store.claim(OWNER))
        size = path.with_name("trials.db-wal").stat().st_size
        for _ in range(100):
            trial = store.release(store.claim(OWNER))
        assert path.with_name("trials.db-wal").stat().st_size == size
        assert trial.version == 120

    def test_a_look_at_nothing_new_needs_no_lock(self, store, path):
        store.claim(OWNER)
        cursor, _ = store.changes()
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert store.claim(OWNER) is None
            assert store.changes(cursor) == (cursor, [])
            assert store.get("control") is None

    def test_no_call_goes_through_all_trials(self, store, jobdir):
        cursor, _ = store.changes()
        statements = []
        for connection in store._database._connections:
            connection.set_trace_callback(statements.append)
        store.add(NEW)
        trial = store.claim(OWNER)
        store.heartbeat(trial, [Report(1, 0.5)])
        store.finish(trial, Result(0.5), {"model": attach(jobdir)})
        store.changes(cursor)
        store.attachment(trial.tid, "model")
        store.put("clock", store.get("clock"), expected=None)
        looks = [statement for statement in statements if statement.split()[0] in {"SELECT", "UPDATE", "DELETE"}]
        plans = [row[3] for look in looks for row in store._database.read(f"EXPLAIN QUERY PLAN {look}")]
        assert any("trial_new" in step for step in plans)
        assert any("trial_seq" in step for step in plans)
        assert [step for step in plans if step.startswith("SCAN") and "INDEX" not in step] == []

    def test_numpy_is_not_imported(self):
        code = "import sys, hpcho.store; print([m for m in ('numpy', 'pydantic', 'hyperopt') if m in sys.modules])"
        assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


class TestRefusals:
    """Each says what is wrong, where, and what to do."""

    def test_no_database(self, path, jobdir):
        path.write_bytes(b"no database at all, but long enough to be looked at" * 100)
        with pytest.raises(StoreError, match=r"trials\.db: file is not a database: it was overwritten\. Bring it back"):
            SqliteStore(path, jobdir)

    def test_cut_off(self, store, path, jobdir, by_hand):
        store.add(NEW * 500)
        store.close()
        os.truncate(path, 8192)
        with pytest.raises(StoreError, match=r"trials\.db: .*malformed: it is damaged\. `sqlite3 .* \.recover` saves"):
            SqliteStore(path, jobdir).changes()

    def test_emptied(self, store, path, jobdir):
        store.close()
        os.truncate(path, 0)
        with pytest.raises(StoreError, match=r"trials\.db: it is empty\. Bring it back"):
            SqliteStore(path, jobdir, create=False)

    def test_gone(self, path, jobdir):
        with pytest.raises(StoreError, match=r"trials\.db: the database of this run is gone\. Bring it back"):
            SqliteStore(path, jobdir, create=False)
        assert not path.exists()

    def test_of_another_format(self, store, path, jobdir, by_hand):
        store.close()
        by_hand("PRAGMA user_version = 99")
        with pytest.raises(StoreError, match=r"written by another hpcho \(format 99; this one reads 1\): use that one"):
            SqliteStore(path, jobdir)

    def test_of_another_program(self, path, jobdir, by_hand):
        by_hand("CREATE TABLE bookmarks (url TEXT)")
        with pytest.raises(StoreError, match="another program's database stands where hpcho's belongs: move it away"):
            SqliteStore(path, jobdir)

    def test_without_its_tables(self, store, path, by_hand):
        by_hand("DROP TABLE trial")
        with pytest.raises(StoreError, match="no such table: trial: its tables are not hpcho's"):
            store.changes()

    def test_in_a_missing_folder(self, tmp_path, jobdir):
        with pytest.raises(StoreError, match=r"missing: No such file or directory"):
            SqliteStore(tmp_path / "missing" / "trials.db", jobdir)

    def test_a_folder_in_its_place(self, path, jobdir):
        path.mkdir()
        with pytest.raises(StoreError, match=r"trials\.db: unable to open database file: see that the folder is there"):
            SqliteStore(path, jobdir)

    def test_read_only(self, store):
        """As a user who may read but not write, also where the tests run as root."""
        with tempfile.TemporaryDirectory() as open_to_all:
            jobdir = JobDir(Path(open_to_all))
            SqliteStore(jobdir.path / "trials.db", jobdir).close()
            (jobdir.path / "trials.db").chmod(0o444)
            jobdir.path.chmod(0o555)
            user = os.geteuid()
            try:
                if user == 0:
                    os.seteuid(65534)
                with pytest.raises(StoreError, match=r"trials\.db: .*(this user may|group)"):
                    SqliteStore(jobdir.path / "trials.db", jobdir).add(NEW)
            finally:
                os.seteuid(user)
                jobdir.path.chmod(0o700)

    def test_held_by_another_program(self, path, jobdir, monkeypatch):
        monkeypatch.setattr(database, "BUSY_S", 0.05)
        with (
            closing(SqliteStore(path, jobdir)) as store,
            closing(sqlite3.connect(path, isolation_level=None)) as other,
        ):
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(
                StoreError, match=r"is locked: another process holds it: find it \(`fuser .*trials\.db`\)"
            ):
                store.add(NEW)
            other.execute("ROLLBACK")
            assert len(store.add(NEW)) == 1

    def test_used_after_closing(self, store):
        store.close()
        with pytest.raises(StoreError, match="it was closed before"):
            store.get("control")

    def test_used_in_another_thread(self, store):
        from threading import Thread

        said = []

        def use():
            try:
                store.get("control")
            except StoreError as error:
                said.append(str(error))

        thread = Thread(target=use)
        thread.start()
        thread.join()
        assert "a store belongs to the thread that opened it" in said[0]

    @pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
    def test_used_after_a_fork(self, store):
        store.add(NEW)
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                store.claim(OWNER)
            except StoreError as error:
                os.write(writer, str(error).encode())
            store.close()
            os._exit(0)
        os.close(writer)
        os.waitpid(pid, 0)
        said = os.read(reader, 1000).decode()
        os.close(reader)
        assert f"opened by process {os.getpid()} before a fork: open it anew after it" in said
        assert store.claim(OWNER) is not None


class TestNoRoom:
    def test_sqlite_says_full(self, store, monkeypatch):
        store.add(NEW)
        trial = store.claim(OWNER)
        store._database._durable.execute("PRAGMA max_page_count = 10")
        with pytest.raises(
            StoreFull, match=r"the disk or the quota is full\. Nothing was lost: make room and it goes on"
        ):
            store.finish(trial, Result(0.5, data={"large": "x" * 100_000}))
        assert store.changes()[1] == [trial]
        store._database._durable.execute("PRAGMA max_page_count = 100000")
        assert store.finish(trial, Result(0.5, data={"large": "x" * 100_000})).is_ok

    @pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
    def test_a_file_that_does_not_fit(self, tmp_path, number):
        with pytest.raises(StoreFull, match="model: the disk or the quota is full"), explained(tmp_path):
            raise OSError(number, os.strerror(number), "model")

    def test_other_errors_of_the_file_system(self, tmp_path):
        with pytest.raises(StoreError, match="model: Input/output error"), explained(tmp_path):
            raise OSError(errno.EIO, os.strerror(errno.EIO), "model")

    @pytest.mark.slow
    def test_a_disk_that_fills_up_and_has_room_again(self, tmp_path):
        """On a real small file system: what was finished stays, and after making room it all goes on."""
        inside = ["unshare", "--user", "--map-root-user", "--mount", sys.executable, __file__, str(tmp_path)]
        if (
            shutil.which("unshare") is None
            or subprocess.run([*inside[:4], "true"], check=False, capture_output=True).returncode
        ):
            pytest.skip("no mount namespaces for users here")
        done = subprocess.run(inside, check=False, capture_output=True, text=True)
        assert (done.stdout, done.returncode) == ("went on\n", 0), done.stderr


def fill_a_disk(folder):
    """Run inside a mount namespace."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], check=True)
    jobdir = JobDir(folder)
    store = SqliteStore(folder / "trials.db", jobdir)
    store.add(NEW * 20)
    done, ballast = [], folder / "ballast"
    done.append(store.finish(store.claim(OWNER), Result(0.0), {"model": attach(jobdir, data=b"x" * 1000)}))
    trial = store.claim(OWNER)
    large = attach(jobdir, "large", b"x" * 100_000)
    try:
        with ballast.open("wb") as file:
            while True:
                file.write(bytes(4096))
                file.flush()
    except OSError as error:
        assert error.errno == errno.ENOSPC  # noqa: PT017 - the loop can only end so
    for attempt in (
        lambda: store.finish(trial, Result(1.0, data={"text": "x" * 500_000})),
        lambda: store.finish(trial, Result(1.0, data={"text": "x" * 500_000}), {"model": large}),
        lambda: store.add([Draft({"x": ["y" * 500_000]})]),
        lambda: store.put("end", "y" * 500_000),
    ):
        try:
            attempt()
        except StoreFull:
            continue
        raise AssertionError("there was room")
    assert large.read_bytes() == b"x" * 100_000
    ballast.unlink()
    assert [trial for trial in store.changes()[1] if trial.state is TrialState.DONE] == done
    assert store.finish(trial, Result(1.0), {"model": large}).is_ok
    assert store.attachment(trial.tid, "model").stat().st_size == 100_000
    store.close()
    assert len(SqliteStore(folder / "trials.db", jobdir).changes()[1]) == 20
    print("went on")


class TestDamagedRows:
    def test_left_out_with_one_warning(self, store, by_hand, caplog):
        tids = [trial.tid for trial in store.add(NEW * 4)]
        by_hand(
            f"UPDATE trial SET vals = '{{\"x\": [1.0' WHERE tid = {tids[0]}",
            f"UPDATE trial SET state = 'done' WHERE tid = {tids[2]}",
        )
        with caplog.at_level(logging.WARNING):
            for _ in range(2):
                assert [trial.tid for trial in store.changes()[1]] == [tids[1], tids[3]]
        assert len(caplog.records) == 2
        assert f"trial {tids[0]}: its row in table `trial` is damaged (JSONDecodeError" in caplog.text
        assert "this trial is left out" in caplog.text

    def test_claims_pass_over_it(self, store, by_hand):
        first, second = store.add(NEW * 2)
        by_hand(f"UPDATE trial SET vals = '[]' WHERE tid = {first.tid}")
        assert store.claim(OWNER).tid == second.tid
        assert store.claim(OWNER) is None

    def test_a_damaged_record(self, store, by_hand):
        store.put("clock", {"elapsed_s": 1})
        by_hand("UPDATE record SET value = '{' WHERE key = 'clock'")
        with pytest.raises(StoreError, match=r"the record 'clock' is damaged .* delete it from table `record`"):
            store.get("clock")


class TestFiles:
    @given(st.lists(st.text(), min_size=2, max_size=2, unique=True))
    def test_names_are_plain_and_differ(self, names):
        made = [file_name(name) for name in names]
        assert made[0] != made[1]
        for name in made:
            assert name == Path(name).name
            assert name[0] != "."
            assert name.isascii()
            assert len(name) < 200 + 20

    def test_a_long_name_keeps_its_suffix(self):
        assert file_name("模" * 100 + ".keras").endswith(".keras")
        assert len(file_name("模" * 100 + ".keras")) < 200
        assert file_name("model.keras") == "model.keras"

    def test_from_another_file_system(self, store, jobdir):
        shm = Path("/dev/shm")
        if not shm.is_dir() or shm.stat().st_dev == jobdir.path.stat().st_dev:
            pytest.skip("no second file system here")
        with tempfile.TemporaryDirectory(dir=shm) as elsewhere:
            source = Path(elsewhere) / "model"
            source.write_bytes(b"far away")
            store.add(NEW)
            trial = store.claim(OWNER)
            store.move(trial, TrialState.NEW)
            with pytest.raises(ClaimLost):
                store.finish(trial, Result(0.5), {"model": source})
            assert source.read_bytes() == b"far away"
            done = store.finish(store.claim(OWNER), Result(0.5), {"model": source})
            assert not source.exists()
            assert store.attachment(done.tid, "model").read_bytes() == b"far away"

    def test_files_that_are_in_each_others_places(self, store, jobdir):
        trial = store.add(NEW)[0]
        folder = jobdir.trial(trial.tid) / "attachments"
        folder.mkdir(parents=True)
        for name in "abc":
            (folder / name).write_text(name)
        store.finish(store.claim(OWNER), Result(0.5), {"a": folder / "b", "b": folder / "a", "c": folder / "c"})
        assert [(folder / name).read_text() for name in "abc"] == ["b", "a", "c"]
        assert len(list(folder.iterdir())) == 3

    def test_what_a_killed_attempt_has_left_goes_with_the_next(self, store, jobdir):
        trial = store.add(NEW)[0]
        folder = jobdir.trial(trial.tid) / "attachments"
        folder.mkdir(parents=True)
        (folder / ".0-1-0.draft").write_text("half")
        (folder / "model").write_text("placed, never committed")
        done = store.finish(store.claim(OWNER), Result(0.5), {"model": attach(jobdir, data=b"new")})
        assert [file.name for file in folder.iterdir()] == ["model"]
        assert store.attachment(done.tid, "model").read_bytes() == b"new"

    def test_a_link_is_followed(self, store, jobdir):
        (jobdir.path / "link").symlink_to(attach(jobdir, "real", b"real"))
        store.add(NEW)
        done = store.finish(store.claim(OWNER), Result(0.5), {"model": jobdir.path / "link"})
        found = store.attachment(done.tid, "model")
        assert found.read_bytes() == b"real"
        assert not found.is_symlink()

    def test_a_source_that_is_not_there(self, store, jobdir):
        store.add(NEW)
        trial = store.claim(OWNER)
        with pytest.raises(StoreError, match="absent: No such file or directory"):
            store.finish(trial, Result(0.5), {"model": jobdir.path / "absent"})
        assert store.changes()[1] == [trial]
        assert list((jobdir.trial(trial.tid) / "attachments").iterdir()) == []


def test_a_killed_process_does_not_stop_the_queue(store, path, jobdir):
    """Killed while it held both locks, in the middle of a transaction."""
    store.add(NEW)
    code = (
        "import sys, time, pathlib; from hpcho.jobdir import JobDir; from hpcho.store.sqlite import SqliteStore\n"
        "folder = pathlib.Path(sys.argv[1]); store = SqliteStore(folder / 'trials.db', JobDir(folder))\n"
        "with store._database.writing(durable=True) as c:\n"
        "    c.execute('DELETE FROM trial'); print('in', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, jobdir.path], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"in\n"
    process.kill()
    process.communicate()
    assert store.claim(OWNER) is not None


def test_open_store_is_a_trial_store(jobdir):
    jobdir.write_record({"uuid": "u"})
    began = time.time()
    with closing(open_store(jobdir)) as store:
        assert store.add(NEW)[0].created_at >= began


if __name__ == "__main__":
    fill_a_disk(Path(sys.argv[1]))
