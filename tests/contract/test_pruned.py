"""Pruned trials, and those that go on from them, on every store."""

import contextlib

from hpcho.trial import Draft, Owner, Report, Result

OWNER = Owner("node", 7, 1)


def test_a_pruned_result_is_kept_as_one(store):
    store.add([Draft({"x": [1.0]}), Draft({"x": [2.0]})])
    pruned = store.finish(store.claim(OWNER), Result(0.5, data={"a": 1}, pruned=True))
    store.finish(store.claim(OWNER), Result(0.5))
    assert pruned.is_pruned
    first, second = store.changes()[1]
    assert first.is_pruned
    assert first.result == Result(0.5, data={"a": 1}, pruned=True)
    assert not second.is_pruned


def test_a_promoted_trial_knows_its_parent_and_begins_with_its_reports(store):
    store.add([Draft({"x": [1.0]})])
    told = (Report(1, 0.5), Report(2, 0.25))
    (added,) = store.add([Draft({"x": [1.0]}, "promoted", 0, told)])
    assert (added.origin, added.parent, added.reports) == ("promoted", 0, told)
    parent = store.claim(OWNER)
    assert (parent.origin, parent.parent) == ("sampler", None)
    claimed = store.claim(OWNER)
    assert (claimed.origin, claimed.parent, claimed.reports) == ("promoted", 0, told)
    store.heartbeat(claimed, [Report(3, 0.125)])
    assert store.changes()[1][1].reports == (*told, Report(3, 0.125))
    assert store.finish(claimed, Result(0.125)).parent == 0


def test_another_reader_sees_a_promoted_trial(place):
    with contextlib.closing(place.open()) as one, contextlib.closing(place.open()) as other:
        one.add([Draft({"x": [1.0]})])
        cursor, _ = other.changes()
        one.add([Draft({"x": [1.0]}, "promoted", 0, (Report(1, 0.5),))])
        _, (trial,) = other.changes(cursor)
        assert (trial.parent, trial.reports) == (0, (Report(1, 0.5),))
