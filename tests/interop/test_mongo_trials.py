"""hpcho.compat.MongoTrials: hyperopt's interface to trials in a database."""

import logging
import pickle
import threading
import time
from urllib.parse import quote

import cloudpickle
import pytest
from hyperopt import JOB_STATE_DONE, JOB_STATE_ERROR, JOB_STATE_NEW, JOB_STATE_RUNNING, Trials, fmin, hp, rand
from hyperopt.exceptions import AllTrialsFailed
from stock_lab import KEY, PASSWORD, add, done

from hpcho.compat import MongoTrials, silence
from hpcho.errors import ClaimLost, StoreError, UsageError
from hpcho.trial import Owner, TrialState


@pytest.fixture
def trials(database):
    opened = MongoTrials(database.url, exp_key=KEY)
    yield opened
    opened.close()


def test_new_trials_are_hyperopts_documents(trials, database):
    (tid,) = add(trials)
    (stored,) = database.find()
    assert stored.keys() == {"_id", *trials.new_trial_docs([0], [None], [{}], [{}])[0]}
    assert stored["misc"]["vals"] == {"x": [float(tid)], "y": []}
    assert (stored["exp_key"], stored["state"], stored["version"], stored["owner"]) == (KEY, 0, 0, None)
    assert isinstance(trials, Trials)
    assert trials.asynchronous


def test_everything_is_read_as_from_hyperopts_own_trials(trials):
    with pytest.raises(AllTrialsFailed):
        _ = trials.best_trial
    first = add(trials, **done(3.0))[0]
    best = add(trials, **done(1.0, loss_variance=0.0))[0]
    failed = add(trials, **done(None, why="no"))[0]
    new = add(trials)[0]
    add(trials, state=JOB_STATE_ERROR, error=["<class 'E'>", "m"])
    plain = Trials(exp_key=KEY)
    plain.insert_trial_docs(trials.trials)
    plain.refresh()
    assert trials.tids == plain.tids == [first, best, failed, new]
    for name in ("results", "miscs", "specs", "idxs", "vals", "idxs_vals"):
        assert getattr(trials, name) == getattr(plain, name)
    assert trials.losses() == plain.losses() == [3.0, 1.0, None, None]
    assert trials.statuses() == plain.statuses() == ["ok", "ok", "ok", "new"]
    assert (len(trials), [trial["tid"] for trial in trials]) == (4, trials.tids)
    assert trials.count_by_state_synced(JOB_STATE_NEW) == plain.count_by_state_synced(JOB_STATE_NEW) == 1
    assert trials.count_by_state_unsynced([JOB_STATE_DONE, JOB_STATE_ERROR]) == 4
    with pytest.raises(ValueError, match="states are"):
        trials.count_by_state_unsynced(7)


def test_the_best_trial_and_its_point(trials):
    add(trials, **done(3.0))
    best = add(trials, **done(1.0))[0]
    assert trials.best_trial["tid"] == best
    assert trials.argmin == {"x": float(best)}
    assert trials.average_best_error() == 1.0


def test_counts_are_of_now_and_what_is_read_of_the_last_refresh(trials, database):
    add(trials, 3)
    other = MongoTrials(database.url, exp_key=KEY)
    add(trials, 2)
    assert len(other) == 3
    assert other.count_by_state_unsynced(JOB_STATE_NEW) == 5
    assert len(other) == 3
    other.refresh()
    assert len(other) == 5
    other.close()


def test_a_refresh_sees_what_workers_and_other_programs_do(trials, database):
    tids = add(trials, 4)
    store = database.store()
    store.release(store.claim(Owner.here()))
    claimed = store.claim(Owner.here())
    trials.refresh()
    assert [trial["state"] for trial in trials] == [JOB_STATE_RUNNING] + [JOB_STATE_NEW] * 3
    store.move(claimed, TrialState.CANCEL)
    database.jobs.update_one({"tid": tids[1]}, {"$set": {"state": 1, "owner": ["h:1"]}})
    trials.refresh()
    database.jobs.update_one({"tid": tids[1]}, {"$set": {**done(0.5), "version": 3}})
    trials.refresh()
    assert trials.tids == tids[1:]
    assert trials.losses() == [0.5, None, None]


def test_experiments_are_kept_apart_and_a_view_is_another(trials, database):
    add(trials, 2)
    other = trials.view(exp_key="other")
    (tid,) = add(other)
    assert (len(other), len(trials.view())) == (1, 2)
    assert tid > max(trials.tids)
    other.attachments["name"] = b"theirs"
    assert "name" not in trials.attachments
    everything = MongoTrials(database.url)
    assert len(everything) == 3
    database.jobs.update_one({"tid": tid}, {"$set": {"version": 1, "state": 2, "result": {"status": "fail"}}})
    database.jobs.delete_one({"tid": trials.tids[0]})
    everything.refresh()
    assert everything.statuses() == ["new", "fail"]
    everything.close()


def test_attachments_of_the_experiment(trials, database):
    trials.attachments["FMinIter_Domain"] = b"first"
    trials.attachments["FMinIter_Domain"] = b"second"
    trials.attachments["text"] = "tëxt"
    assert trials.attachments["FMinIter_Domain"] == b"second"
    assert trials.attachments["text"] == "tëxt".encode()
    assert sorted(trials.attachments) == ["FMinIter_Domain", "text"]
    stored = list(database.client[database.name]["fs.files"].find({"filename": "FMinIter_Domain"}))
    assert [(file["exp_key"], file["encoding"]) for file in stored] == [(KEY, "utf-8")]
    del trials.attachments["text"]
    with pytest.raises(KeyError, match="text"):
        _ = trials.attachments["text"]
    with pytest.raises(KeyError, match="text"):
        del trials.attachments["text"]


def test_attachments_of_a_trial(trials, database):
    add(trials, **done(1.0))
    (trial,) = trials.trials
    attached = trials.trial_attachments(trial)
    attached["model"] = b"weights"
    attached["model"] = b"better"
    attached["text"] = "t"
    assert dict(attached.items()) == {"text": b"t", "model": b"better"}
    (stored,) = database.find()
    assert stored["version"] == trial["version"] == 3
    assert database.client[database.name]["fs.files"].count_documents({}) == 2
    database.jobs.update_one({}, {"$inc": {"version": 2}})
    with pytest.raises(ClaimLost, match=r"trial \d+ has changed since it was read: refresh"):
        attached["late"] = b""
    assert database.client[database.name]["fs.files"].count_documents({}) == 2
    trials.refresh()
    with pytest.raises(KeyError):
        _ = attached["none"]


def test_delete_all_leaves_other_experiments(trials, database):
    add(trials, 2, **done(1.0))
    trials.trial_attachments(trials.trials[0])["model"] = b"weights"
    trials.attachments["name"] = b""
    other = trials.view(exp_key="other")
    add(other)
    other.attachments["name"] = b"kept"
    trials.delete_all()
    assert len(trials) == 0
    assert [document["exp_key"] for document in database.find()] == ["other"]
    assert list(other.attachments) == ["name"]
    assert database.client[database.name]["fs.files"].count_documents({}) == 1
    other.delete_all({"state": 2})
    assert len(other) == 1


def test_a_pickle_holds_the_trials_and_never_the_password(trials, database):
    add(trials, **done(1.0))
    opened = MongoTrials(database.url.replace("hyperopt@", f"hyperopt:{quote(PASSWORD, safe='')}@"), exp_key=KEY)
    data = cloudpickle.dumps(opened)
    for secret in (PASSWORD, quote(PASSWORD, safe=""), "ss/w", "ss%2Fw"):
        assert secret.encode() not in data
    back = pickle.loads(data)
    assert back.losses() == [1.0]
    add(trials, **done(0.5))
    back.refresh()  # with the password of ~/.hyperopt
    assert back.losses() == [1.0, 0.5]
    back.close()
    opened.close()


def test_the_file_of_the_password_must_be_private(database):
    database.password_file.chmod(0o644)
    with pytest.raises(StoreError, match=r"others may read this password \(mode 644\): `chmod 600` it"):
        MongoTrials(database.url, exp_key=KEY)


def test_a_wrong_password_is_told_without_it(database):
    with pytest.raises(StoreError, match="the user or the password is wrong") as raised:
        MongoTrials(f"mongo://hyperopt:guessed@{database.host}/{database.name}/jobs", exp_key=KEY)
    assert "guessed" not in str(raised.value)


@pytest.mark.parametrize("written", ["p%40:1", "p%2540%3A1"], ids=["as it is", "encoded"])
def test_a_password_in_the_url_is_taken_as_it_is_or_encoded(database, written):
    database.client.admin.command("updateUser", "hyperopt", pwd="p%40:1")
    database.password_file.unlink()
    try:
        MongoTrials(f"mongo://hyperopt:{written}@{database.host}/{database.name}/jobs", exp_key=KEY).close()
    finally:
        database.client.admin.command("updateUser", "hyperopt", pwd=PASSWORD)


def test_a_password_file_may_be_named(database, tmp_path):
    named = database.password_file.rename(tmp_path / "secret")
    with pytest.raises(StoreError, match=r"there is no password for hyperopt: .* or let it be .*/\.hyperopt"):
        MongoTrials(database.url, exp_key=KEY)
    opened = MongoTrials(database.url, exp_key=KEY, password_file=named)
    assert pickle.loads(pickle.dumps(opened)).count_by_state_unsynced(JOB_STATE_NEW) == 0
    opened.close()


def test_fmin_ends_by_its_timeout_though_there_is_no_worker(trials):
    began = time.monotonic()
    fmin(lambda x: x, hp.uniform("x", 0, 1), rand.suggest, 4, timeout=2, trials=trials, max_queue_len=4,
         show_progressbar=False, return_argmin=False)  # fmt: skip
    assert time.monotonic() - began < 60
    assert trials.count_by_state_unsynced(JOB_STATE_NEW) == 0
    assert trials.count_by_state_unsynced(TrialState.CANCEL) == 4
    assert len(trials) == 0


def test_fmin_ends_by_its_loss_though_a_trial_never_ends(trials, database):
    def serve():
        claims = database.store()
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not (first := claims.claim(Owner("elsewhere", 1))):
            time.sleep(0.1)
        del first
        second = claims.claim(Owner("elsewhere", 2))
        database.jobs.update_one({"tid": second.tid}, {"$set": {**done(0.25), "version": 1}})

    worker = threading.Thread(target=serve)
    worker.start()
    found = fmin(lambda x: x, hp.uniform("x", 0, 1), rand.suggest, 3, loss_threshold=0.5, trials=trials,
                 max_queue_len=3, show_progressbar=False)  # fmt: skip
    worker.join()
    assert found == trials.argmin
    assert [trials.count_by_state_unsynced(state) for state in (1, 2, 4)] == [1, 1, 1]


def test_a_worker_of_this_host_that_is_gone_is_named(trials, database, caplog):
    gone = Owner(Owner.here().host, 4_000_000)
    (tid,) = add(trials, state=1, owner=[str(gone)])
    assert f"trial {tid}: its worker {gone} is gone; MongoTrials.requeue([{tid}])" in caplog.text
    caplog.clear()
    trials.refresh()
    assert caplog.text == ""  # said once
    assert trials.requeue([tid]) == 1
    (document,) = database.find()
    assert (document["state"], document["owner"], document["version"]) == (0, None, 2)


class Clock:
    """The clock that silence goes by, which a busy machine does not drive on."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(silence, "time", made)
    return made


def test_silent_workers_elsewhere_are_named_once(trials, caplog, clock):
    add(trials, state=1, owner=["elsewhere:7"])
    add(trials, state=1, owner=["elsewhere:8"], hpcho={"beat": 3})
    clock.now += 59
    trials.refresh()
    assert caplog.text == ""
    for _ in range(20):
        clock.now += 60
        trials.refresh()
    assert len(caplog.messages) == 2
    assert "nothing from its worker elsewhere:7 for 10 minutes, as from hyperopt's own in a long trial" in caplog.text
    assert "its worker elsewhere:8 has given no sign of life for a minute" in caplog.text


def test_a_queue_that_nobody_serves_is_told(trials, caplog, clock):
    add(trials, 2)
    clock.now += 59
    trials.refresh()
    assert caplog.text == ""
    clock.now += 2
    trials.refresh()
    assert "no worker takes the trials that wait: start some" in caplog.text


def test_a_queue_that_was_served_between_two_looks_is_no_trouble(trials, database, caplog, clock):
    for _ in range(3):
        add(trials)
        clock.now += 100
        database.jobs.update_many({"state": 0}, {"$set": {"state": 2, **done(1.0)}, "$inc": {"version": 1}})
    add(trials)
    assert caplog.text == ""


def test_a_damaged_document_is_told_once_and_left_out(trials, database, caplog):
    tids = add(trials, 2)
    database.jobs.update_one({"tid": tids[0]}, {"$set": {"misc": "gone", "state": 1}})
    opened = MongoTrials(database.url, exp_key=KEY)
    opened.refresh()
    assert opened.tids == tids[1:]
    assert "is damaged (misc); this trial is left out" in caplog.text
    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == 1
    opened.close()


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("mongo+ssh://host:1/db/jobs", r"mongo\+ssh:// is no URL of a MongoDB: open the tunnel with `ssh -L`"),
        ("http://u:secret@host/db", "http:// is no URL of a MongoDB: write mongodb://"),
        ("mongo://host:1/db/trials", "hyperopt keeps its trials in the collection jobs"),
        ("mongo://host:1/", "names no database"),
        ("mongo://u:secret@host:port/db/jobs", "the URL of the MongoDB cannot be used"),
    ],
)
def test_a_wrong_url_is_told_without_its_password(url, why):
    with pytest.raises(UsageError, match=why) as raised:
        MongoTrials(url, exp_key=KEY)
    assert "secret" not in str(raised.value)
