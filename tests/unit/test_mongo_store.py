"""What is the mongo store's alone: hyperopt's format, lost answers, errors, secrets. The contract: tests/contract."""

import dataclasses
import datetime as dt
import gc
import logging
import math
import os
import pickle
import threading
import time
import traceback
import types
from contextlib import closing
from urllib.parse import urlsplit

import bson
import gridfs
import mongo_server
import pymongo
import pytest
from hyperopt.base import Trials
from mongo_proxy import Proxy
from pymongo.errors import OperationFailure

from hpcho.errors import ClaimLost, StoreError, StoreFull, UsageError
from hpcho.jobdir import JobDir
from hpcho.store.address import Address
from hpcho.store.mongo import connect
from hpcho.store.mongo.connection import explained
from hpcho.trial import Cause, Draft, Failure, Owner, Report, Result, TrialState

OWNER, OTHER = Owner("node1", 11, 5, "77"), Owner("node2", 22)
NEW = Draft({"lr": [0.1], "units": [12], "momentum": []})
TIME = dt.datetime(2024, 5, 6, 7, 8, 9, 250_000)  # noqa: DTZ001 - naive, as hyperopt stores times
SECONDS = 1714979289.25


@pytest.fixture
def url(mongo_url, tmp_path):
    yield mongo_server.test_url(tmp_path)
    mongo_server.drop(tmp_path)


@pytest.fixture
def open_store(url, tmp_path):
    """Opens another object for the test's database."""
    opened = []

    def make(exp_key="k", **more):
        opened.append(connect(url, exp_key=exp_key, jobdir=JobDir(tmp_path), **more))
        return opened[-1]

    yield make
    for each in opened:
        each.close()


@pytest.fixture
def store(open_store):
    return open_store()


@pytest.fixture
def database(url):
    """What others see of it, hyperopt among them."""
    with pymongo.MongoClient(url) as client:
        yield client.get_default_database()


@pytest.fixture
def attach(tmp_path):
    def make(data=b"data", name="made"):
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return make


def claimed(store, owner=OWNER, draft=NEW):
    store.add([draft])
    return store.claim(owner)


def stored(store):
    return {trial.tid: trial for trial in store.changes()[1]}


def stock_document(tid, **fields):
    """A document of hyperopt's own."""
    misc = {"tid": tid, "cmd": ["domain_attachment", "FMinIter_Domain"], "workdir": None}
    misc |= {"idxs": {"x": [tid]}, "vals": {"x": [0.5]}}
    document = {"state": 0, "tid": tid, "spec": None, "result": {"status": "new"}, "misc": misc, "exp_key": "k"}
    return {**document, "owner": None, "version": 0, "book_time": None, "refresh_time": None, **fields}


class TestFormat:
    def test_a_new_trial_is_hyperopts_document(self, store, database):
        store.add([NEW])
        document = database.jobs.find_one()
        misc = {"tid": 0, "cmd": ["domain_attachment", "FMinIter_Domain"], "workdir": None}
        misc |= {
            "idxs": {"lr": [0], "units": [0], "momentum": []},
            "vals": {"lr": [0.1], "units": [12], "momentum": []},
        }
        (stock,) = Trials(exp_key="k").new_trial_docs([0], [None], [{"status": "new"}], [misc])
        del document["_id"], document["hpcho"]
        assert document == stock

    def test_hyperopts_indexes_are_there(self, store, database):
        assert {"exp_key_1", "result.loss_1", "book_time_1"} < database.jobs.index_information().keys()
        assert database.drivers.index_information()["exp_key_1"]["unique"]

    def test_tids_come_from_hyperopts_counter_for_the_whole_database(self, open_store, database):
        database.job_ids.insert_one({"a": 0, "last_id": 7})
        first = open_store("a").add([NEW] * 2)
        second = open_store("b").add([NEW])
        assert [trial.tid for trial in first + second] == [7, 8, 9]
        assert [document["last_id"] for document in database.job_ids.find({"a": 0})] == [10]

    def test_a_lost_counter_is_made_again_beyond_the_trials(self, store, database):
        store.add([NEW] * 3)
        database.job_ids.drop()
        assert store.add([NEW])[0].tid == 3

    def test_a_claim_is_hyperopts_reservation(self, store, database):
        trial = claimed(store)
        document = database.jobs.find_one()
        assert (document["state"], document["owner"], document["version"]) == (1, ["node1:11"], 0)
        assert document["book_time"] == document["refresh_time"]
        assert document["book_time"].replace(tzinfo=dt.timezone.utc).timestamp() == trial.claimed_at

    def test_a_result_is_hyperopts_and_its_files_are_named_so(self, store, database, attach):
        store.finish(claimed(store), Result(0.5, data={"accuracy": 0.9}), {"model": attach(b"weights")})
        document = database.jobs.find_one()
        assert document["result"] == {"accuracy": 0.9, "loss": 0.5, "status": "ok"}
        assert (document["state"], document["version"]) == (2, 1)
        ((name, file_id),) = document["_attachments"]
        file = gridfs.GridFS(database).get(file_id)
        assert (name, file.filename, file.read()) == ("model", f"{document['_id']}_model", b"weights")

    def test_an_error_is_a_pair(self, store, database):
        trial = store.fail(claimed(store), Failure(Cause.OOM, "Traceback: ..."), retry=False)
        assert database.jobs.find_one()["error"] == ["oom", "Traceback: ..."]
        store.move(trial, TrialState.NEW)
        assert "error" not in database.jobs.find_one()

    def test_a_moved_trial_refuses_hyperopts_late_worker(self, store, database):
        trial = claimed(store)
        store.move(trial, TrialState.NEW)
        # hyperopt's update does not look at what it matched; it reads back with the next version.
        mine = {"_id": database.jobs.find_one()["_id"]}
        assert not database.jobs.update_one({**mine, "version": 0}, {"$set": {"state": 2, "version": 1}}).matched_count
        assert database.jobs.find_one({**mine, "version": 1}) is None

    def test_experiments_keep_apart(self, open_store):
        one, two = open_store("one"), open_store("two")
        one.add([NEW])
        one.put("clock", 1)
        assert two.claim(OWNER) is None
        assert (two.changes()[1], two.get("clock")) == ([], None)

    def test_looking_only_makes_no_index(self, open_store, database):
        database.jobs.insert_one(stock_document(0))
        assert len(open_store(prepare=False).changes()[1]) == 1
        assert list(database.jobs.index_information()) == ["_id_"]

    def test_a_later_format_is_refused(self, store, open_store, database):
        database.job_ids.update_one({"a": 0}, {"$set": {"hpcho": 9}})
        with pytest.raises(StoreError, match="written by a later hpcho"):
            open_store()


class TestStockDocuments:
    """What hyperopt's own drivers and workers leave behind."""

    OVER = types.MappingProxyType(
        {"owner": ["node1:11"], "book_time": TIME, "refresh_time": TIME + dt.timedelta(seconds=2)}
    )

    def only(self, store, database, **fields):
        database.jobs.insert_one(stock_document(3, **fields))
        return stored(store)[3]

    def test_new(self, store, database):
        trial = self.only(store, database)
        assert (trial.state, trial.vals, trial.origin, trial.attempts) == (TrialState.NEW, {"x": [0.5]}, "sampler", ())
        assert trial.created_at > 0
        assert store.claim(OWNER).tid == 3

    def test_done(self, store, database):
        result = {"status": "ok", "loss": 0.25, "history": [1, 2.5]}
        trial = self.only(store, database, state=2, version=3, result=result, **self.OVER)
        assert trial.result == Result(0.25, data={"history": [1, 2.5]})
        assert (trial.claimed_at, trial.finished_at, trial.duration_s, trial.cause) == (SECONDS, SECONDS + 2, 2, None)
        assert trial.attempts[0].owner == Owner("node1", 11)

    def test_failed(self, store, database):
        error = ["<class 'ValueError'>", "bad"]
        trial = self.only(store, database, state=3, version=2, error=error, **self.OVER)
        assert (trial.cause, trial.error) == (Cause.OBJECTIVE, "<class 'ValueError'>: bad")

    @pytest.mark.parametrize("loss", [math.nan, math.inf, None, "low"])
    def test_done_without_a_usable_loss(self, store, database, loss):
        trial = self.only(store, database, state=2, version=3, result={"status": "ok", "loss": loss}, **self.OVER)
        assert (trial.result.status, trial.result.loss, trial.is_ok) == ("fail", None, False)

    def test_what_is_not_json_reads_as_text(self, store, database):
        odd = {"time": TIME, "bytes": b"ab", "nan": math.nan, "deep": [{"id": bson.ObjectId(b"0" * 12)}], "big": 2**40}
        trial = self.only(store, database, state=2, version=3, result={"status": "ok", "loss": 1, **odd}, **self.OVER)
        text = {"time": str(TIME), "bytes": "YWI=", "nan": None, "deep": [{"id": "30" * 12}], "big": 2**40}
        assert trial.result.data == text
        assert type(trial.result.data["big"]) is int

    def test_an_attempt_of_hyperopts_worker_comes_after_ours(self, store, database):
        trial = store.fail(claimed(store), Failure(Cause.NODE, "gone"), retry=True)
        change = {"state": 2, "version": trial.version + 3, "result": {"status": "ok", "loss": 0.5}, **self.OVER}
        database.jobs.update_one({"tid": trial.tid}, {"$set": change})
        assert [attempt.cause for attempt in stored(store)[trial.tid].attempts] == [Cause.NODE, None]

    def test_reaped_and_requeued_like_ours(self, store, database):
        running = self.only(store, database, state=1, **self.OVER)
        reaped = store.move(running, TrialState.NEW, failure=Failure(Cause.NODE, "gone"))
        assert (reaped.version, reaped.attempts[0].owner) == (2, Owner("node1", 11))
        assert reaped == stored(store)[3]


class TestValues:
    """Whatever BSON cannot hold comes back as it was, from another object too."""

    def finished(self, store, open_store, data):
        done = store.finish(claimed(store), Result(0.5, data=data))
        assert stored(open_store())[done.tid] == done
        return done.result.data

    @pytest.mark.parametrize(
        "value",
        [2**64, -(10**40), {"$set": 1}, {"a.b": 1}, {"": 1}, {"nul\0": 1}, "\ud800", {"\ud800": [2**70, {"x": "\0"}]}],
        ids=repr,
    )
    def test_odd_ones(self, store, open_store, database, value):
        data = {"odd": value, "plain": [1, 0.5]}
        assert self.finished(store, open_store, data) == data
        assert database.jobs.find_one()["result"] == {"plain": [1, 0.5], "loss": 0.5, "status": "ok"}

    def test_nested_beyond_what_mongodb_takes(self, store, open_store):
        deep = "bottom"
        for _ in range(250):
            deep = [deep]
        assert self.finished(store, open_store, {"deep": deep}) == {"deep": deep}

    @pytest.mark.parametrize("sizes", [[20 << 20], [300_000] * 60], ids=["one", "many"])
    @pytest.mark.slow
    def test_more_than_a_document_holds(self, store, open_store, database, sizes):
        data = {f"v{i}": chr(97 + i % 26) * n for i, n in enumerate(sizes)} | {"small": 1}
        assert self.finished(store, open_store, data) == data
        assert len(bson.encode(database.jobs.find_one())) < 2 << 20
        assert database.jobs.find_one()["result"]["small"] == 1

    def test_odd_labels_and_values_of_a_point(self, store, open_store):
        vals = {"a.b": [1], "$c": [2**70], "plain": [0.5], "": []}
        (trial,) = store.add([Draft(vals)])
        assert trial.vals == vals
        assert stored(open_store())[trial.tid] == trial

    def test_an_attachments_name_with_half_a_character(self, store, open_store, attach):
        done = store.finish(claimed(store), Result(0.5), {"\ud800": attach(b"it")})
        assert stored(open_store())[done.tid].result.attachments == ("\ud800",)
        assert open_store().attachment(done.tid, "\ud800").read_bytes() == b"it"

    def test_of_an_endless_error_both_ends_stay(self, store):
        failed = store.fail(claimed(store), Failure(Cause.OBJECTIVE, "a" * 10**6 + "\ud800" + "z" * 10**6), retry=False)
        assert len(failed.error) < 600_000
        assert (failed.error[:2], failed.error[-2:]) == ("aa", "zz")
        assert "characters left out" in failed.error
        assert stored(store)[failed.tid] == failed

    def test_many_reports(self, store):
        trial = claimed(store)
        for start in range(0, 5000, 1000):
            store.heartbeat(trial, [Report(i, 0.5) for i in range(start, start + 1000)])
        assert store.finish(trial, Result(0.5)).reports == tuple(Report(i, 0.5) for i in range(5000))


class TestDamage:
    @pytest.fixture
    def damaged(self, store, database, request):
        """Three new trials; the first one's document was edited by hand."""
        store.add([NEW] * 3)
        database.jobs.update_one({"tid": 0}, request.param)

    CASES = (
        {"$unset": {"misc": ""}},
        {"$set": {"misc": {"vals": 3}}},
        {"$set": {"version": "one"}},
        {"$set": {"hpcho": "mine"}},
        {"$set": {"hpcho.attempts": [{"no": "owner"}]}},
        {"$set": {"state": "lost"}},
        {"$set": {"state": 77}},
        {"$unset": {"tid": ""}},
        {"$set": {"state": 2, "result": 3}},
        {"$set": {"state": 1}},
        {"$set": {"state": 2, "owner": ["no pid"], "result": {"status": "ok"}}},
    )

    @pytest.mark.parametrize("damaged", CASES, ids=str, indirect=True)
    def test_named_once_and_left_out(self, store, damaged, caplog):
        with caplog.at_level(logging.WARNING):
            cursor, trials = store.changes()
            assert [trial.tid for trial in trials] == [1, 2]
            assert [store.claim(OWNER).tid, store.claim(OWNER).tid, store.claim(OWNER)] == [1, 2, None]
            assert [trial.tid for trial in store.changes(cursor)[1]] == [1, 2]
        (message,) = [record.getMessage() for record in caplog.records]
        assert "is damaged" in message
        assert message.endswith("this trial is left out")

    @pytest.mark.parametrize("change", [{"$unset": {"misc": ""}}, {"$set": {"hpcho": "mine"}}], ids=str)
    def test_a_claimer_that_meets_it_first_leaves_it_new(self, store, database, caplog, change):
        store.add([NEW] * 2)
        database.jobs.update_one({"tid": 0}, change)
        assert store.claim(OWNER).tid == 1
        document = database.jobs.find_one({"tid": 0})
        assert (document["state"], document["owner"]) == (0, None)
        assert "is damaged" in caplog.text

    def test_a_file_that_is_gone_is_damage_of_its_trial_only(self, store, database, caplog):
        large = store.finish(claimed(store), Result(0.5, data={"x": "x" * (2 << 20)}))
        small = store.finish(claimed(store), Result(0.5))
        database.fs.chunks.delete_many({})
        assert list(stored(store)) == [small.tid]
        assert f"trial {large.tid}" in caplog.text
        assert "is damaged" in caplog.text

    def test_a_damaged_record(self, store, database):
        store.put("clock", {"elapsed_s": 1})
        database.hpcho_records.update_one({"key": "clock"}, {"$set": {"value": "{"}})
        with pytest.raises(StoreError, match=r"record 'clock' of experiment k is damaged .* delete"):
            store.get("clock")


class Seen(pymongo.monitoring.CommandListener):
    """The commands of clients made meanwhile, and how many documents came back."""

    def __init__(self):
        self.documents, self.names = 0, []

    def started(self, event):
        self.names.append(event.command_name)

    def succeeded(self, event):
        cursor = event.reply.get("cursor", {})
        self.documents += len(cursor.get("firstBatch", cursor.get("nextBatch", ())))

    def failed(self, event):
        pass


class TestChanges:
    @pytest.fixture
    def seen(self, monkeypatch):
        seen = Seen()
        monkeypatch.setattr(pymongo.monitoring, "_LISTENERS", pymongo.monitoring._Listeners([seen], [], [], [], []))
        return seen

    @pytest.mark.parametrize("ended", [0, 300])
    def test_nothing_new_costs_no_documents(self, seen, open_store, database, ended):
        store = open_store()
        store.add([NEW] * 300)
        database.jobs.update_many(
            {"tid": {"$lt": ended}}, {"$set": {"state": 2, "result": {"status": "ok", "loss": 1}}}
        )
        cursor, _ = store.changes()
        seen.names.clear()
        seen.documents = 0
        assert store.changes(cursor) == (cursor, [])
        assert seen.documents == 0
        assert len(seen.names) <= 5

    def test_hyperopts_worker_is_followed(self, store, database):
        first, second = store.add([NEW] * 2)
        cursor, _ = store.changes()
        database.jobs.update_one({"tid": first.tid}, {"$set": {"state": 1, "owner": ["a:1"], "book_time": TIME}})
        cursor, (running,) = store.changes(cursor)
        database.jobs.update_one({"tid": first.tid}, {"$set": {"refresh_time": TIME}, "$inc": {"version": 1}})
        cursor, (refreshed,) = store.changes(cursor)
        assert (running.version, refreshed.version) == (0, 1)
        whole = {"state": 2, "owner": ["a:1"], "version": 3, "result": {"status": "ok", "loss": 0.5}}
        for tid in (first.tid, second.tid):  # the second is claimed and ended between two looks
            database.jobs.update_one({"tid": tid}, {"$set": whole})
        cursor, ended = store.changes(cursor)
        assert [trial.loss for trial in ended] == [0.5, 0.5]
        assert store.changes(cursor) == (cursor, [])

    def test_hyperopts_driver_is_followed(self, store, database):
        cursor, _ = store.changes()
        database.jobs.insert_one(stock_document(5))
        cursor, (added,) = store.changes(cursor)
        assert added.tid == 5
        database.jobs.insert_one(stock_document(3))  # of a driver that took its tids before
        cursor, (late,) = store.changes(cursor)
        assert late.tid == 3
        database.jobs.delete_many({})
        assert store.changes(cursor)[1] == []

    def test_any_of_a_long_queue_that_ends_between_two_looks(self, store):
        trials = store.add([NEW] * 200)
        cursor, _ = store.changes()
        for _ in trials[:150]:
            store.finish(store.claim(OWNER), Result(0.5))
        cursor, changed = store.changes(cursor)
        assert [trial.tid for trial in changed] == [trial.tid for trial in trials[:150]]
        for trial in trials[150:]:
            store.move(trial, TrialState.CANCEL)
        assert len(store.changes(cursor)[1]) == 50

    def test_requeued_and_ended_again_between_two_looks(self, store):
        failed = store.fail(claimed(store), Failure(Cause.OBJECTIVE, "it raised"), retry=False)
        cursor, _ = store.changes()
        store.move(failed, TrialState.NEW)
        done = store.finish(store.claim(OWNER), Result(0.5))
        cursor, changed = store.changes(cursor)
        assert changed == [done]
        assert store.changes(cursor) == (cursor, [])

    def test_more_changes_than_are_announced(self, store):
        trial = claimed(store)
        cursor, _ = store.changes()
        for _ in range(300):
            trial = store.release(trial)
            trial = store.claim(OWNER)
        cursor, changed = store.changes(cursor)
        assert changed == [trial]

    def test_an_announced_change_that_comes_late(self, store):
        failed = store.fail(claimed(store), Failure(Cause.OBJECTIVE, "it raised"), retry=False)
        cursor, _ = store.changes()
        number = store._records.announce(failed.tid)  # and here the writer stands still
        cursor, _ = store.changes(cursor)
        store._jobs.collection.update_one(
            {"tid": failed.tid}, {"$set": {"state": 4, "version": 3, "hpcho.number": number}}
        )
        cursor, (late,) = store.changes(cursor)
        assert late.state is TrialState.CANCEL
        assert store.changes(cursor) == (cursor, [])


class TestFiles:
    def test_a_copy_is_made_once_and_again_when_the_file_is_another(self, store, database, attach):
        done = store.finish(claimed(store), Result(0.5), {"model": attach(b"first")})
        path = store.attachment(done.tid, "model")
        before = path.stat().st_ino
        assert store.attachment(done.tid, "model").stat().st_ino == before
        other = gridfs.GridFS(database).put(b"second, of hyperopt's", filename="x")
        database.jobs.update_one({}, {"$set": {"_attachments": [["model", other]]}})
        assert store.attachment(done.tid, "model").read_bytes() == b"second, of hyperopt's"
        assert [file.name for file in path.parent.iterdir()] == ["model"]

    def test_without_a_job_directory_copies_go_with_the_store(self, url, attach):
        with closing(connect(url, exp_key="k")) as store:
            done = store.finish(claimed(store), Result(0.5), {"model": attach(b"it")})
            path = store.attachment(done.tid, "model")
            assert path.read_bytes() == b"it"
        assert not path.exists()

    def test_clearing_takes_the_bytes_away(self, store, database, attach):
        done = store.finish(claimed(store), Result(0.5), {"model": attach()})
        store.clear(done.tid)
        assert database.fs.files.count_documents({}) == database.fs.chunks.count_documents({}) == 0

    def test_a_refused_finish_leaves_nothing_behind(self, store, database, attach):
        trial = claimed(store)
        store.move(trial, TrialState.NEW)
        with pytest.raises(ClaimLost):
            store.finish(trial, Result(0.5, data={"x": "x" * (2 << 20)}), {"model": attach()})
        assert database.fs.files.count_documents({}) == database.fs.chunks.count_documents({}) == 0

    def test_a_file_that_is_not_there(self, store, tmp_path, attach):
        trial = claimed(store)
        with pytest.raises(StoreError, match="gone: No such file or directory: the store needs this file"):
            store.finish(trial, Result(0.5), {"model": attach(), "more": tmp_path / "gone"})
        assert store.finish(trial, Result(0.5), {"model": attach()}).result.attachments == ("model",)

    def test_an_incomplete_file_is_damage(self, store, database, attach):
        done = store.finish(claimed(store), Result(0.5), {"model": attach(b"x" * 600_000)})
        database.fs.chunks.delete_one({"n": 1})
        store.attachment(done.tid, "model").unlink()  # the copy that the worker has left
        with pytest.raises(StoreError, match="chunk"):
            store.attachment(done.tid, "model")


class TestRestoring:
    """Finished trials of a store that was lost."""

    def test_a_trial_comes_back_as_it_was(self, store, open_store, attach):
        given = claimed(store)
        store.heartbeat(given)
        done = store.finish(given, Result(0.5, data={"big": "x" * 2_000_000, "f": 1.5}), {"model": attach(b"weights")})
        other = open_store("other")
        other.restore(done, {"model": store.attachment(done.tid, "model")})
        other.restore(done)
        _, (back,) = other.changes()
        assert back == dataclasses.replace(done, beat=0)
        assert other.attachment(done.tid, "model").read_bytes() == b"weights"

    def test_later_tids_are_larger(self, store):
        store.skip(41)
        assert [trial.tid for trial in store.add([NEW, NEW])] == [42, 43]
        store.skip(3)
        assert store.add([NEW])[0].tid > 43


class TestAnotherAddress:
    """A server that comes back at another place is found there."""

    def test_the_next_call_goes_there(self, url, tmp_path):
        place = urlsplit(url)

        def at(port):
            netloc = f"{place.netloc.rpartition('@')[0]}@127.0.0.1:{port}".lstrip("@")
            return place._replace(netloc=netloc, query=f"{place.query}&serverSelectionTimeoutMS=300").geturl()

        first, second = Proxy(place.hostname, place.port), Proxy(place.hostname, place.port)
        addresses = [Address(at(first.port))]
        with closing(
            connect(addresses[0].url, exp_key="k", jobdir=JobDir(tmp_path), find=lambda: addresses[-1])
        ) as store:
            (added,) = store.add([NEW])
            held = store.claim(OWNER)
            first.close()
            with pytest.raises(StoreError):
                store.heartbeat(held)
            addresses.append(Address(at(second.port)))
            with pytest.raises(StoreError):
                store.get("control")
            store.heartbeat(held)
            assert store.finish(held, Result(1.0)).tid == added.tid
            assert store.put("control", None)
            assert [trial.state for trial in store.changes()[1]] == [TrialState.DONE]
        second.close()


class TestLostAnswers:
    """The server has made a write, and its answer is lost."""

    @pytest.fixture
    def proxy(self, url):
        place = urlsplit(url)
        proxy = Proxy(place.hostname, place.port)
        yield proxy
        proxy.close()

    @pytest.fixture
    def far(self, proxy, url, tmp_path):
        """A store beyond the proxy."""
        place = urlsplit(url)
        netloc = f"{place.netloc.rpartition('@')[0]}@127.0.0.1:{proxy.port}".lstrip("@")
        with closing(connect(place._replace(netloc=netloc).geturl(), exp_key="k", jobdir=JobDir(tmp_path))) as far:
            yield far

    @staticmethod
    def lost(proxy, marker, call, times=1):
        proxy.lose(marker, times)
        with pytest.raises(StoreError, match="the same call may be made again"):
            call()

    def test_claim(self, proxy, far):
        far.add([NEW] * 2)
        self.lost(proxy, b"book_time", lambda: far.claim(OWNER))
        assert [far.claim(OWNER).tid, far.claim(OWNER).tid, far.claim(OWNER)] == [0, 1, None]

    def test_claim_whose_second_look_is_lost(self, proxy, far, store):
        far.add([NEW] * 2)
        self.lost(proxy, b"projection", lambda: far.claim(OWNER), times=2)  # pymongo reads twice by itself
        assert [trial.state for trial in stored(store).values()] == [TrialState.RUNNING, TrialState.NEW]
        assert far.claim(OWNER).tid == 0

    def test_claim_is_no_other_owners(self, proxy, far):
        far.add([NEW] * 2)
        self.lost(proxy, b"book_time", lambda: far.claim(OWNER))
        assert far.claim(OTHER).tid == 1
        assert far.claim(OWNER).tid == 0

    def test_claim_that_was_reaped_since(self, proxy, far, store):
        store.add([NEW])
        self.lost(proxy, b"book_time", lambda: far.claim(OWNER))
        store.move(stored(store)[0], TrialState.NEW)
        assert store.claim(OTHER).tid == 0
        assert far.claim(OWNER) is None

    WRITES = {  # noqa: RUF012 - never changed
        "finish": lambda far, trial, attach: far.finish(trial, Result(0.5), {"model": attach()}),
        "fail": lambda far, trial, attach: far.fail(trial, Failure(Cause.OBJECTIVE, "it raised"), retry=False),
        "retry": lambda far, trial, attach: far.fail(trial, Failure(Cause.OBJECTIVE, "it raised"), retry=True),
        "release": lambda far, trial, attach: far.release(trial),
        "move": lambda far, trial, attach: far.move(trial, TrialState.CANCEL),
    }

    @pytest.mark.parametrize("name", sorted(WRITES))
    def test_the_same_write_again_succeeds_once(self, proxy, far, store, database, attach, name):
        trial = claimed(far)
        far.heartbeat(trial, [Report(1, 0.5)])
        write = self.WRITES[name]
        self.lost(proxy, b"hpcho.settled", lambda: write(far, trial, attach))
        done = write(far, trial, attach)
        assert done == stored(store)[trial.tid]
        assert done.reports == (Report(1, 0.5),)
        assert database.fs.files.count_documents({}) == (name == "finish")
        with pytest.raises(ClaimLost):
            write(far, trial, attach)
        assert stored(store)[trial.tid] == done

    def test_another_owners_end_is_not_taken_for_it(self, proxy, far, store):
        trial = claimed(store)
        proxy.close()
        with pytest.raises(StoreError):
            far.finish(trial, Result(0.5))
        store.finish(trial, Result(0.25))
        assert stored(store)[trial.tid].loss == 0.25

    def test_add(self, proxy, far, store):
        self.lost(proxy, b"documents", lambda: far.add([NEW] * 3))
        store.claim(OTHER)
        added = far.add([NEW] * 3)
        assert [(trial.tid, trial.state) for trial in added] == [(0, 1), (1, 0), (2, 0)]
        assert [trial.tid for trial in far.add([NEW])] == [3]
        assert len(stored(store)) == 4

    def test_add_that_was_partly_made(self, proxy, far, store, database):
        self.lost(proxy, b"documents", lambda: far.add([NEW] * 3))
        database.jobs.delete_one({"tid": 1})
        assert [trial.tid for trial in far.add([NEW] * 3)] == [0, 1, 2]

    def test_add_that_was_seen_since_is_another(self, proxy, far):
        self.lost(proxy, b"documents", lambda: far.add([NEW]))
        assert len(far.changes()[1]) == 1
        assert far.add([NEW])[0].tid == 1

    @pytest.mark.parametrize("present", [None, {"n": 1}])
    def test_put(self, proxy, far, present):
        far.put("seat", present)
        marker = b"insert" if present is None else b"update"
        self.lost(proxy, marker, lambda: far.put("seat", {"n": 2}, expected=present))
        assert far.get("seat") == {"n": 2}
        assert far.put("seat", {"n": 2}, expected=present)
        assert not far.put("seat", {"n": 2}, expected=present)


class TestErrors:
    SECRET = "sécret/p@ss"

    def test_nobody_there(self):
        with pytest.raises(StoreError) as caught:
            connect("mongodb://u@127.0.0.1:1/db?serverSelectionTimeoutMS=200", self.SECRET, exp_key="k")
        message = str(caught.value)
        assert message.startswith("MongoDB at 127.0.0.1:1, database db: 127.0.0.1:1: [Errno 111] Connection refused: ")
        assert "see that the server is running" in message
        assert "Topology" not in message

    def test_a_wrong_password(self, mongo_url):
        place = urlsplit(mongo_url)
        if "@" not in place.netloc:
            pytest.skip("this server asks for no password")
        user = place.netloc.partition(":")[0]
        url = f"mongodb://{user}@{place.netloc.rpartition('@')[2]}/db?authSource=admin&directConnection=true"
        with pytest.raises(StoreError, match="the user or the password is wrong") as caught:
            connect(url, self.SECRET, exp_key="k")
        text = "".join(traceback.format_exception(caught.value))
        assert self.SECRET not in text
        assert f"{user}@" not in text

    @pytest.mark.parametrize(
        ("url", "words"),
        [
            ("http://host/db", "must begin with"),
            ("mongodb://host:1", "names no database"),
            ("mongodb://host:99999/db", "65535"),
            ("mongodb://host/db?tls=perhaps", "tls"),
            ("mongodb://u:sécret/p@ss@host/db", "percent-encoded"),
            ("mongodb://u:sécret%zz@host/db", "percent-encoded"),
            ("mongodb://u@host/db", "URL"),
        ],
    )
    @pytest.mark.filterwarnings("ignore:Unknown option")
    def test_a_wrong_url(self, url, words):
        with pytest.raises(UsageError, match=words) as caught:
            connect(url, exp_key="k")
        text = "".join(traceback.format_exception(caught.value))
        assert "sécret" not in text.replace(repr(url), "")

    def test_no_room(self):
        with pytest.raises(StoreFull, match="its disk or quota is full"), explained("MongoDB at h, database d"):
            raise OperationFailure("WT_SESSION.insert: No space left on device", 8)

    def test_no_right(self):
        with pytest.raises(StoreError, match="give it the role readWrite"), explained("MongoDB at h, database d"):
            raise OperationFailure("not authorized on d", 13)

    def test_closed(self, store):
        store.close()
        with pytest.raises(StoreError, match="open the store again"):
            store.claim(OWNER)

    def test_another_thread(self, store):
        caught = []

        def ask():
            try:
                store.get("clock")
            except StoreError as error:
                caught.append(str(error))

        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()
        assert "a store belongs to the thread that opened it" in caught[0]

    @pytest.mark.filterwarnings("ignore:This process")
    def test_a_fork_leaves_the_parent_its_store(self, store):
        store.add([NEW])
        if (child := os.fork()) == 0:
            try:
                store.claim(OWNER)
            except StoreError:
                store.close()
                os._exit(0)
            os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
        assert store.claim(OWNER).tid == 0

    def test_it_cannot_be_pickled(self, store):
        with pytest.raises(TypeError):
            pickle.dumps(store)

    def test_no_answer_no_leak(self, url):
        """A store that could not be opened leaves no connection to the garbage collector, which would complain."""
        with pytest.raises(StoreError):
            connect("mongodb://127.0.0.1:1/db?serverSelectionTimeoutMS=50", exp_key="k")
        gc.collect()


@pytest.mark.slow
def test_the_server_killed_and_started_again(mongo_url, tmp_path):
    folder = tmp_path / "server"
    folder.mkdir()
    server = mongo_server.Server(folder)
    url = server.url("db") + "&serverSelectionTimeoutMS=300"
    with closing(connect(url, exp_key="k", jobdir=JobDir(tmp_path))) as store:
        trials = store.add([NEW] * 3)
        done = store.finish(store.claim(OWNER), Result(0.5))
        running = store.claim(OWNER)
        server.kill()
        for call in (lambda: store.claim(OWNER), lambda: store.finish(running, Result(0.25)), store.changes):
            with pytest.raises(StoreError, match="see that the server is running"):
                call()
        server.start()
        ended = store.finish(running, Result(0.25))
        assert list(stored(store).values()) == [done, ended, trials[2]]
    server.stop()


@pytest.mark.parametrize("ahead_s", [600, -600])
def test_times_are_the_servers_whatever_clock_the_caller_has(store, open_store, monkeypatch, ahead_s):
    store.add([NEW])
    real = time.time
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: real() + ahead_s)
        claimed = open_store().claim(OWNER)
    assert abs(claimed.claimed_at - real()) < 5
    done = store.move(claimed, TrialState.ERROR, failure=Failure(Cause.NODE, "gone"))
    assert 0 <= done.duration_s < 5
    assert abs(store.now() - real()) < 1
