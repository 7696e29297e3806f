"""What hpcho/store/base.py promises, held against every store."""

import math
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpcho.errors import ClaimLost
from hpcho.store import MOVES
from hpcho.trial import Attempt, Cause, Draft, Failure, Owner, Report, Result, TrialState

A, B = Owner("node1", 11, 5, "77"), Owner("node2", 22)
BROKEN = Failure(Cause.OBJECTIVE, "Traceback: ...")
GONE = Failure(Cause.NODE, "no sign of life")
VALS = {"lr": [0.1], "units": [12], "momentum": []}


def one(store, **draft):
    """A new trial."""
    return store.add([Draft(VALS, **draft)])[0]


def claimed(store, owner=A):
    one(store)
    return store.claim(owner)


def stored(store, tid):
    return {trial.tid: trial for trial in store.changes()[1]}[tid]


def in_state(store, state):
    trial = claimed(store)
    if state is TrialState.NEW:
        return store.release(trial)
    if state is TrialState.ERROR:
        return store.fail(trial, BROKEN, retry=False)
    if state is TrialState.DONE:
        return store.finish(trial, Result(1.0))
    if state is TrialState.CANCEL:
        return store.move(trial, TrialState.CANCEL)
    return trial


class TestAdd:
    def test_new_trials_stand_as_drafted(self, store):
        before = time.time()
        added = store.add([Draft(VALS), Draft({"lr": [0.2]}, origin="point")])
        assert [trial.vals for trial in added] == [VALS, {"lr": [0.2]}]
        assert [trial.origin for trial in added] == ["sampler", "point"]
        for trial in added:
            assert (trial.state, trial.version, trial.beat) == (TrialState.NEW, 0, 0)
            assert trial.owner is trial.result is trial.claimed_at is trial.finished_at is None
            assert trial.attempts == trial.reports == ()
            assert before - 1 <= trial.created_at <= time.time() + 1
        assert store.changes()[1] == added

    def test_tids_are_consecutive_and_go_on(self, store):
        first = [trial.tid for trial in store.add([Draft(VALS)] * 3)]
        second = [trial.tid for trial in store.add([Draft(VALS)] * 2)]
        assert first == list(range(first[0], first[0] + 3))
        assert second == [first[-1] + 1, first[-1] + 2]

    def test_nothing_to_add(self, store):
        assert store.add([]) == []
        assert store.changes()[1] == []

    def test_all_or_none(self, store):
        with pytest.raises(TypeError, match="object"):
            store.add([Draft(VALS), Draft({"lr": [object()]})])
        assert store.changes()[1] == []


class TestClaim:
    def test_takes_the_smallest_tid_and_leaves_the_version(self, store):
        first, second = store.add([Draft(VALS)] * 2)
        before = time.time()
        trial = store.claim(A)
        assert (trial.tid, trial.state, trial.owner, trial.version) == (first.tid, TrialState.RUNNING, A, 0)
        assert before - 1 <= trial.claimed_at <= time.time() + 1
        assert store.claim(B).tid == second.tid
        assert trial == stored(store, first.tid)

    def test_none_when_there_is_nothing_new(self, store):
        assert store.claim(A) is None
        claimed(store)
        assert store.claim(A) is None

    def test_a_trial_given_back_comes_before_later_ones(self, store):
        trial = claimed(store)
        one(store)
        store.release(trial)
        assert store.claim(B).tid == trial.tid


class TestHeartbeat:
    def test_counts_and_reports_in_order(self, store):
        trial = claimed(store)
        store.heartbeat(trial)
        store.heartbeat(trial, [Report(1, 0.5), Report(2, 0.25)])
        store.heartbeat(trial, [Report(3, 0.75)])
        now = stored(store, trial.tid)
        assert (now.beat, now.version) == (3, trial.version)
        assert now.reports == (Report(1, 0.5), Report(2, 0.25), Report(3, 0.75))

    def test_does_not_disturb_the_next_write_of_the_owner(self, store):
        trial = claimed(store)
        store.heartbeat(trial, [Report(1, 0.5)])
        done = store.finish(trial, Result(0.1))
        assert (done.beat, done.reports) == (1, (Report(1, 0.5),))

    def test_beats_begin_anew_with_a_claim_and_reports_stay(self, store):
        trial = claimed(store)
        store.heartbeat(trial, [Report(1, 0.5)])
        store.fail(trial, BROKEN, retry=True)
        again = store.claim(B)
        assert (again.beat, again.reports) == (0, (Report(1, 0.5),))
        assert again == stored(store, trial.tid)
        store.heartbeat(again, [Report(1, 0.4)])
        assert stored(store, trial.tid).reports == (Report(1, 0.5), Report(1, 0.4))

    def test_losses_that_are_not_finite(self, store):
        trial = claimed(store)
        store.heartbeat(trial, [Report(1, math.nan), Report(2, math.inf), Report(np.int64(3), np.float32(0.5))])
        nan, inf, half = stored(store, trial.tid).reports
        assert math.isnan(nan.loss)
        assert inf == Report(2, math.inf)
        assert half == Report(3, 0.5)
        assert type(half.step) is int
        assert type(half.loss) is float


class TestFinish:
    def test_done_with_its_result_and_an_attempt(self, store):
        trial = claimed(store)
        result = Result(0.25, data={"accuracy": 0.75, "history": {"loss": [1, 0.5]}})
        done = store.finish(trial, result)
        assert (done.state, done.version, done.owner) == (TrialState.DONE, trial.version + 1, A)
        assert done.result == result
        assert done.attempts == (Attempt(A, trial.claimed_at, done.attempts[0].ended_at),)
        assert done.finished_at >= done.attempts[0].ended_at >= trial.claimed_at
        assert done == stored(store, trial.tid)

    def test_status_fail_has_no_loss(self, store):
        done = store.finish(claimed(store), Result(None, "fail"))
        assert (done.result.loss, done.result.status, done.is_ok) == (None, "fail", False)

    def test_numpy_comes_back_as_plain_python(self, store):
        one(store)
        store.add([Draft({"units": [np.int64(12)], "lr": np.array([0.5]), "on": [np.bool_(True)]})])
        data = {"f": np.float64(0.1), "f4": np.float32(0.5), "b": np.bool_(False), "a": np.arange(4).reshape(2, 2)}
        store.finish(store.claim(A), Result(np.float32(0.5), data=data))
        first, second = store.changes()[1]
        assert first.result == Result(0.5, data={"f": 0.1, "f4": 0.5, "b": False, "a": [[0, 1], [2, 3]]})
        assert [type(value) for value in first.result.data.values()] == [float, float, bool, list]
        assert second.vals == {"units": [12], "lr": [0.5], "on": [True]}
        assert [type(value) for (value,) in second.vals.values()] == [int, float, bool]

    @pytest.mark.parametrize("value", [math.nan, math.inf, object(), b"bytes"], ids=["nan", "inf", "object", "bytes"])
    def test_what_is_not_json_is_refused_and_changes_nothing(self, store, value):
        trial = claimed(store)
        with pytest.raises((TypeError, ValueError)):
            store.finish(trial, Result(0.5, data={"deep": [value]}))
        assert stored(store, trial.tid) == trial
        store.finish(trial, Result(0.5))

    def test_strings_of_every_script_and_large_numbers(self, store):
        data = {
            "文字": ["Grüße", "привет", "שלום", "🙂", "\x00\x1f\u2028", "\ud800"],
            "": {"a.b": {"$c": None}},
            "int64": [2**63 - 1, -(2**63)],
            "float": [5e-324, 1.7976931348623157e308, -0.0],
        }
        trial = claimed(store)
        done = store.finish(trial, Result(1e-300, data=data))
        assert done.result.data == data
        assert stored(store, trial.tid).result.data == data

    def test_deep_results(self, store):
        deep = "bottom"
        for _ in range(80):
            deep = {"down": deep}
        assert store.finish(claimed(store), Result(0.5, data={"deep": deep})).result.data == {"deep": deep}


class TestFail:
    @pytest.mark.parametrize(("retry", "state", "owner"), [(True, TrialState.NEW, None), (False, TrialState.ERROR, A)])
    def test_attempt_is_kept_with_its_cause(self, store, retry, state, owner):
        trial = claimed(store)
        failed = store.fail(trial, BROKEN, retry=retry)
        assert (failed.state, failed.version, failed.owner, failed.result) == (state, 1, owner, None)
        assert (failed.cause, failed.error) == (Cause.OBJECTIVE, BROKEN.error)
        assert failed.attempts[0].owner == A
        assert (failed.finished_at is None) == retry
        assert failed == stored(store, trial.tid)

    def test_attempts_add_up_oldest_first(self, store):
        trial = claimed(store)
        store.fail(trial, BROKEN, retry=True)
        store.fail(store.claim(B), GONE, retry=True)
        done = store.finish(store.claim(A), Result(0.5))
        assert [(attempt.owner, attempt.cause) for attempt in done.attempts] == [
            (A, Cause.OBJECTIVE),
            (B, Cause.NODE),
            (A, None),
        ]
        assert (done.version, done.attempt_count) == (3, 3)

    def test_a_clock_set_back_makes_no_negative_duration(self, store, monkeypatch):
        trial = claimed(store)
        monkeypatch.setattr(time, "time", lambda: trial.claimed_at - 3600)
        assert store.fail(trial, BROKEN, retry=False).duration_s == 0


def test_release_leaves_no_attempt(store):
    trial = claimed(store)
    freed = store.release(trial)
    assert (freed.state, freed.version, freed.owner, freed.attempts) == (TrialState.NEW, 1, None, ())
    assert freed.claimed_at == trial.claimed_at
    assert freed == stored(store, trial.tid)


class TestMove:
    @pytest.mark.parametrize(("state", "to"), sorted(MOVES))
    def test_legal_moves(self, store, state, to):
        trial = in_state(store, state)
        result = Result(0.5) if to is TrialState.DONE else None
        moved = store.move(trial, to, result=result)
        assert (moved.state, moved.version, moved.owner) == (to, trial.version + 2, None)
        assert moved.result == result
        assert (moved.finished_at is None) == (to is TrialState.NEW)
        assert len(moved.attempts) == len(trial.attempts) + (to is TrialState.DONE)
        assert moved == stored(store, trial.tid)

    @pytest.mark.parametrize(
        ("state", "to"), sorted({(a, b) for a in TrialState for b in TrialState} - MOVES), ids=lambda state: state.label
    )
    def test_other_moves_are_refused(self, store, state, to):
        trial = in_state(store, state)
        with pytest.raises(ValueError, match=f"is {state.label} and cannot be moved to {to.label}"):
            store.move(trial, to, result=Result(0.5) if to is TrialState.DONE else None)
        assert stored(store, trial.tid) == trial

    def test_a_result_goes_with_done_and_only_there(self, store):
        trial = claimed(store)
        with pytest.raises(ValueError, match="without result"):
            store.move(trial, TrialState.NEW, result=Result(0.5))
        freed = store.release(trial)
        with pytest.raises(ValueError, match="with a result"):
            store.move(freed, TrialState.DONE)
        assert stored(store, trial.tid) == freed

    def test_reap_keeps_the_attempt(self, store):
        trial = claimed(store)
        reaped = store.move(trial, TrialState.NEW, failure=GONE)
        assert (reaped.attempts[0].owner, reaped.cause) == (A, Cause.NODE)
        assert reaped.attempts[0].started_at == trial.claimed_at

    def test_a_heartbeat_is_no_change(self, store):
        trial = claimed(store)
        store.heartbeat(trial)
        assert store.move(trial, TrialState.NEW, failure=GONE).version == 2

    def test_refused_when_the_trial_was_claimed_meanwhile(self, store):
        new = one(store)
        trial = store.claim(A)
        with pytest.raises(ClaimLost):
            store.move(new, TrialState.CANCEL)
        assert stored(store, trial.tid) == trial

    def test_a_late_result_is_adopted_with_its_files(self, store, attach):
        trial = claimed(store)
        reaped = store.move(trial, TrialState.NEW, failure=GONE)
        done = store.move(reaped, TrialState.DONE, result=Result(0.5), files={"model": attach(b"late")})
        assert (done.state, done.result.attachments, len(done.attempts)) == (TrialState.DONE, ("model",), 2)
        assert done.attempts[1].started_at == trial.claimed_at
        assert store.attachment(trial.tid, "model").read_bytes() == b"late"


class TestFencing:
    """A worker that has lost its claim, and all that it may still try."""

    WRITES = {  # noqa: RUF012 - never changed
        "heartbeat": lambda store, trial: store.heartbeat(trial, [Report(9, 9.0)]),
        "finish": lambda store, trial: store.finish(trial, Result(9.0)),
        "fail": lambda store, trial: store.fail(trial, BROKEN, retry=False),
        "retry": lambda store, trial: store.fail(trial, BROKEN, retry=True),
        "release": lambda store, trial: store.release(trial),
        "reap": lambda store, trial: store.move(trial, TrialState.NEW),
    }

    @pytest.fixture(params=sorted(WRITES))
    def write(self, request):
        return self.WRITES[request.param]

    def refused(self, store, write, trial):
        before = store.changes()
        with pytest.raises(ClaimLost, match=f"trial {trial.tid} has moved on"):
            write(store, trial)
        assert store.changes() == before

    @pytest.mark.parametrize("to", [TrialState.NEW, TrialState.ERROR, TrialState.CANCEL])
    def test_after_a_reap(self, store, write, to):
        trial = claimed(store)
        store.move(trial, to, failure=GONE)
        self.refused(store, write, trial)

    def test_after_a_reap_and_a_second_claim(self, store, write):
        trial = claimed(store)
        store.move(trial, TrialState.NEW, failure=GONE)
        assert store.claim(B).tid == trial.tid
        self.refused(store, write, trial)

    def test_after_a_reap_and_a_second_claim_by_the_same_owner(self, store, write):
        trial = claimed(store)
        store.move(trial, TrialState.NEW, failure=GONE)
        assert store.claim(A).tid == trial.tid
        self.refused(store, write, trial)

    def test_after_its_own_end(self, store, write):
        trial = claimed(store)
        store.finish(trial, Result(0.5))
        self.refused(store, write, trial)

    def test_by_a_wrong_owner(self, store, write):
        from dataclasses import replace

        trial = claimed(store)
        self.refused(store, write, replace(trial, owner=B))

    def test_of_a_trial_that_is_not_there(self, store, write):
        from dataclasses import replace

        trial = claimed(store)
        self.refused(store, write, replace(trial, tid=trial.tid + 1))

    def test_a_worker_cannot_write_before_it_has_claimed(self, store):
        new = one(store)
        with pytest.raises(ClaimLost):
            store.finish(new, Result(0.5))
        assert stored(store, new.tid) == new

    def test_a_refused_finish_leaves_the_files_to_the_worker(self, store, attach):
        trial = claimed(store)
        store.move(trial, TrialState.NEW, failure=GONE)
        done = store.finish(store.claim(B), Result(0.5), {"model": attach(b"winner")})
        late = attach(b"late")
        with pytest.raises(ClaimLost):
            store.finish(trial, Result(9.0), {"model": late, "more": late})
        assert late.read_bytes() == b"late"
        assert store.attachment(trial.tid, "model").read_bytes() == b"winner"
        assert stored(store, trial.tid) == done


class TestAttachments:
    def test_files_are_taken_over(self, store, attach):
        source = attach(b"\x00weights")
        done = store.finish(claimed(store), Result(0.5, attachments=("wrong",)), {"model.keras": source})
        assert done.result.attachments == ("model.keras",)
        assert store.attachment(done.tid, "model.keras").read_bytes() == b"\x00weights"
        assert not source.exists()

    def test_no_files_no_names(self, store):
        assert store.finish(claimed(store), Result(0.5, attachments=("wrong",))).result.attachments == ()

    @pytest.mark.parametrize(
        "name",
        [
            "../../escape",
            "/etc/passwd",
            "..",
            ".",
            "",
            ".hidden",
            "a/b",
            "模型.keras",
            "a b",
            "%2F",
            "x" * 3000,
            "\x00",
            "\n",
        ],
    )
    def test_any_string_is_a_name(self, store, place, attach, name):
        done = store.finish(claimed(store), Result(0.5), {name: attach(b"it"), "other": attach(b"other", "other")})
        path = store.attachment(done.tid, name)
        assert path.read_bytes() == b"it"
        assert store.attachment(done.tid, "other").read_bytes() == b"other"
        assert done.result.attachments == (name, "other")
        assert place.folder in path.resolve().parents

    def test_names_that_look_alike_stay_apart(self, store, attach):
        names = ["a/b", "a%2Fb", "a", "%", "", "y" * 300, "y" * 301, ".b", "%2Eb"]
        files = {name: attach(name.encode(), f"made{i}") for i, name in enumerate(names)}
        done = store.finish(claimed(store), Result(0.5), files)
        assert [store.attachment(done.tid, name).read_bytes() for name in names] == [name.encode() for name in names]

    @pytest.mark.slow
    def test_a_hundred_megabytes_come_back(self, store, attach):
        data = np.random.default_rng(0).bytes(100 << 20)
        done = store.finish(claimed(store), Result(0.5), {"large": attach(data)})
        assert store.attachment(done.tid, "large").read_bytes() == data

    def test_a_second_attempt_overwrites(self, store, attach, place):
        trial = claimed(store)
        store.fail(trial, BROKEN, retry=True)
        done = store.finish(store.claim(B), Result(0.5), {"model": attach(b"second")})
        assert store.attachment(done.tid, "model").read_bytes() == b"second"

    @pytest.mark.parametrize("known", [True, False])
    def test_what_is_not_there(self, store, known):
        tid = store.finish(claimed(store), Result(0.5)).tid if known else 99
        with pytest.raises(KeyError, match=f"model: trial {tid} has no"):
            store.attachment(tid, "model")

    def test_a_file_that_was_cleared_away(self, store, attach):
        done = store.finish(claimed(store), Result(0.5), {"model": attach()})
        path = store.attachment(done.tid, "model")
        store.clear(done.tid)
        assert not path.exists()
        with pytest.raises(KeyError, match="cleared away"):
            store.attachment(done.tid, "model")
        assert stored(store, done.tid) == done

    def test_clearing_where_there_is_nothing_is_harmless(self, store):
        trial = claimed(store)
        for tid in (trial.tid, 99):
            store.clear(tid)
        assert stored(store, trial.tid) == trial


class TestChanges:
    def test_only_what_is_new_since_the_cursor(self, store):
        cursor, nothing = store.changes()
        assert nothing == []
        first, second = store.add([Draft(VALS)] * 2)
        cursor, changed = store.changes(cursor)
        assert changed == [first, second]
        assert store.changes(cursor) == (cursor, [])
        trial = store.claim(A)
        cursor, changed = store.changes(cursor)
        assert changed == [trial]
        store.heartbeat(trial, [Report(1, 0.5)])
        cursor, (changed,) = store.changes(cursor)
        assert (changed.beat, changed.reports) == (1, (Report(1, 0.5),))
        done = store.finish(trial, Result(0.5))
        cursor, changed = store.changes(cursor)
        assert changed == [done]
        assert store.changes(cursor) == (cursor, [])

    def test_by_tid_whatever_changed_last(self, store):
        store.add([Draft(VALS)] * 4)
        trials = [store.claim(A) for _ in range(4)]
        for trial in reversed(trials):
            store.release(trial)
        assert [trial.tid for trial in store.changes()[1]] == [trial.tid for trial in trials]

    def test_records_are_no_trials(self, store):
        cursor, _ = store.changes()
        store.put("clock", {"elapsed_s": 1})
        assert store.changes(cursor) == (cursor, [])


class TestRecords:
    def test_round_trip_and_deletion(self, store):
        assert store.get("clock") is None
        assert store.put("clock", {"elapsed_s": 1.5, "text": "é", "list": [1, None, True]})
        assert store.get("clock") == {"elapsed_s": 1.5, "text": "é", "list": [1, None, True]}
        assert store.put("clock", None)
        assert store.get("clock") is None
        assert store.put("clock", None)

    def test_compare_and_set(self, store):
        assert not store.put("seat", {"owner": 1}, expected={"owner": 0})
        assert store.get("seat") is None
        assert store.put("seat", {"owner": 1, "beat": 0}, expected=None)
        assert not store.put("seat", {"owner": 2}, expected=None)
        assert store.put("seat", {"owner": 1, "beat": 1}, expected={"beat": 0, "owner": 1})
        assert not store.put("seat", None, expected={"owner": 2})
        assert store.get("seat") == {"owner": 1, "beat": 1}
        assert store.put("seat", None, expected={"owner": 1, "beat": 1})
        assert store.get("seat") is None

    def test_expected_may_hold_tuples(self, store):
        store.put("end", {"list": [1, 2]})
        assert store.put("end", {"list": (3,)}, expected={"list": (1, 2)})
        assert store.get("end") == {"list": [3]}


class TestObjects:
    def test_two_objects_see_one_store(self, store, place):
        other = place.open()
        trial = claimed(store)
        assert other.changes()[1] == [trial]
        done = other.finish(trial, Result(0.5))
        assert stored(store, trial.tid) == done
        store.put("control", {"stop": "now"})
        assert other.get("control") == {"stop": "now"}
        other.close()

    def test_what_was_stored_is_there_after_closing(self, store, place, attach):
        done = store.finish(claimed(store), Result(0.5), {"model": attach(b"kept")})
        store.put("identity", {"uuid": "u"})
        store.close()
        again = place.open()
        assert again.changes()[1] == [done]
        assert again.get("identity") == {"uuid": "u"}
        assert again.attachment(done.tid, "model").read_bytes() == b"kept"
        again.close()

    def test_closing_twice_is_harmless(self, store):
        store.close()
        store.close()


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.dictionaries(st.text().filter(lambda key: key not in {"loss", "status", "attachments"}), JSON, max_size=4)
)
def test_any_json_comes_back_as_it_was(store, data):
    trial = claimed(store)
    assert store.finish(trial, Result(0.5, data=data)).result.data == data
    store.put("end", data or None)
    assert store.get("end") == (data or None)
