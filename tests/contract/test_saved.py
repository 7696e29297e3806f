"""Whether an attempt saved work is kept with it, in every store."""

from hpcho.trial import Attempt, Cause, Draft, Failure, Owner, TrialState

OWNER = Owner("node1", 11, 5, "123_4")


def test_it_stays_with_the_attempt_however_that_ended(store):
    store.add([Draft({"x": [1.0]})])
    store.fail(store.claim(OWNER), Failure(Cause.WALLTIME, "its time was over", saved=True), retry=True)
    store.fail(store.claim(OWNER), Failure(Cause.PREEMPTED, "gone"), retry=True)
    store.move(store.claim(OWNER), TrialState.NEW, failure=Failure(Cause.NODE, "lost", saved=True))
    (trial,) = store.changes()[1]
    assert [attempt.saved for attempt in trial.attempts] == [True, False, True]
    assert [attempt.owner.job for attempt in trial.attempts] == ["123_4"] * 3


def test_an_attempt_of_an_earlier_version_saved_nothing():
    attempt = Attempt(OWNER, 1.0, 2.0, Cause.NODE, "gone")
    data = attempt.to_json()
    del data["saved"]
    assert Attempt.from_json(data) == attempt
