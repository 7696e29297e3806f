"""A result always arrives: in the store, or, where its claim was lost or the store is away, in the trial's folder."""

import pytest
from worker_job import FAST, wait_for

from hpcho import results
from hpcho.errors import StoreError, StoreFull
from hpcho.store.sqlite import SqliteStore
from hpcho.trial import Cause, Failure, TrialState

GATE = """
import pathlib, time
def objective(params):
    pathlib.Path("../began").touch()
    while not pathlib.Path("../go").exists(): time.sleep(0.01)
    return {"loss": 3.0, "attachments": {"a/b": b"weights"}}
"""


def reap(lab, started):
    """A worker is in the middle of a trial, and the trial is taken from it."""
    lab.add()
    process = lab.start("--max-trials", "1")
    started(process)
    wait_for((lab.dir.path / "began").exists)
    lab.store.move(lab.trial(), TrialState.NEW, failure=Failure(Cause.NODE, "was thought dead"))
    return process


def test_a_result_whose_claim_was_lost_is_kept_with_its_files(job, started):
    lab = job(GATE, trial={"heartbeat_s": 60})
    process = reap(lab, started)
    (lab.dir.path / "go").touch()
    assert process.wait(20) == 0
    assert lab.trial().state is TrialState.NEW
    (found,) = results.load(lab.dir.trial(0))
    assert (found.version, found.result.loss) == (0, 3.0)
    (path,) = found.files.values()
    assert path.read_bytes() == b"weights"
    done = lab.store.move(lab.trial(), TrialState.DONE, result=found.result, files=found.files)
    assert done.loss == 3.0
    assert not list(lab.dir.trial(0).glob(".result-*"))


def test_a_heartbeat_that_is_refused_stops_the_trial_and_writes_nothing(job, started):
    lab = job(GATE, trial=FAST)
    process = reap(lab, started)
    assert process.wait(20) == 0
    assert lab.trial().state is TrialState.NEW
    assert results.load(lab.dir.trial(0)) == []
    assert "belongs to somebody else by now" in lab.log()


def disturb(monkeypatch, method, error, times):
    """The first ``times`` calls of a store's ``method`` raise ``error``, as a full disk or a lost database would."""
    real, calls = getattr(SqliteStore, method), []

    def disturbed(self, *args, **kwargs):
        calls.append(1)
        if len(calls) <= times:
            raise error
        return real(self, *args, **kwargs)

    monkeypatch.setattr(SqliteStore, method, disturbed)
    return calls


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr("hpcho.worker.deliver.FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr("hpcho.worker.parent.TROUBLE_S", 0.01)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("method", ["claim", "finish"])
def test_a_full_store_pauses_claims_and_loses_nothing(job, monkeypatch, method):
    lab = job("def objective(params): return {'loss': 3.0, 'attachments': {'m': b'weights'}}")
    calls = disturb(monkeypatch, method, StoreFull("no room on /here"), 3)
    trial = lab.evaluate()
    assert len(calls) == 4
    assert trial.loss == 3.0
    assert lab.store.attachment(0, "m").read_bytes() == b"weights"
    assert results.load(lab.dir.trial(0)) == []
    assert "no room on /here" in lab.log()


@pytest.mark.usefixtures("impatient")
def test_a_failure_is_delivered_when_the_store_is_back(job, monkeypatch):
    lab = job("def objective(params): raise ValueError")
    disturb(monkeypatch, "fail", StoreError("away"), 2)
    assert lab.evaluate().cause is Cause.OBJECTIVE


def test_heartbeats_that_cannot_be_written_do_not_disturb_the_trial(job, monkeypatch):
    lab = job(
        "import time\ndef objective(params, trial): trial.report(1, 2.0); time.sleep(0.6); return 1.0", trial=FAST
    )
    disturb(monkeypatch, "heartbeat", StoreError("away"), 3)
    trial = lab.evaluate()
    assert trial.loss == 1.0
    assert len(trial.reports) == 1
    assert lab.log().count("no heartbeat possible: away") == 1


def test_a_worker_that_must_leave_while_the_store_is_away_keeps_the_result_and_exits_3(job, monkeypatch):
    import os
    import signal

    lab = job("def objective(params): return 3.0")
    lab.add()
    monkeypatch.setattr("hpcho.worker.deliver.STOPPED_S", 0.0)

    def away(self, *args, **kwargs):
        os.kill(os.getpid(), signal.SIGTERM)
        raise StoreError("away")

    with monkeypatch.context() as patch:
        patch.setattr(SqliteStore, "finish", away)
        assert lab.serve(1) == 3
    assert lab.trial().state is TrialState.RUNNING
    assert results.load(lab.dir.trial(0))[0].result.loss == 3.0
    assert "leaving, though its end is not stored" in lab.log()


@pytest.mark.usefixtures("impatient")
def test_a_result_that_finds_no_room_on_the_disk_waits_for_it(job, tmp_path):
    lab = job(
        """
        import errno, hpcho.worker.evaluate as evaluate
        real, calls = evaluate.encode, []
        def full(*args):
            calls.append(1)
            if len(calls) < 3: raise OSError(errno.ENOSPC, "No space left on device")
            return real(*args)
        evaluate.encode, evaluate.NO_ROOM_S = full, 0.3
        def objective(params): return 3.0
        """,
        trial={"timeout_min": 0.2 / 60},
    )
    assert lab.evaluate().loss == 3.0
    assert lab.log().count("no room for the result") == 2
