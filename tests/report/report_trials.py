"""Trials for the report's tests: a space with a conditional parameter, and trials at every end that there is."""

import random
from dataclasses import replace

from hpcho import space
from hpcho.experiment.schema import Budget, Experiment, ObjectiveSpec
from hpcho.trial import Attempt, Cause, Failure, Owner, Report, Result, Trial, TrialState

OWNER = Owner("node01", 4242, 7)
DECLARED = {
    "units": {"int": [12, 256], "step": 4},
    "lr": {"float": [1e-5, 1e-1], "log": True},
    "optimizer": {"choice": ["rmsprop", {"sgd": {"momentum": {"float": [0, 0.99]}}}]},
    "fixed": {"choice": ["only"]},
}
SPACE = space.build(DECLARED)
EXPERIMENT = Experiment(
    name="digits",
    objective=ObjectiveSpec(python="train.py:objective"),
    space=DECLARED,
    budget=Budget(trials=80),
)
PARAMS = {"units": 64, "lr": 1e-3, "optimizer": "rmsprop"}


def vals_of(params, of=SPACE):
    return of.encode(params, random.Random(0))


def trial(tid, state, params=None, of=SPACE, **fields):
    params = PARAMS if params is None and of is SPACE else params or {}
    return Trial(tid=tid, state=state, version=1, vals=vals_of(params, of), **fields)


def done(tid, loss, params=None, *, start=0.0, took=1.0, status="ok", of=SPACE, **data):
    attempt = Attempt(OWNER, 1000.0 + start, 1000.0 + start + took)
    result = Result(loss, status, data)
    return trial(tid, TrialState.DONE, params, of, owner=OWNER, attempts=(attempt,), result=result)


def pruned(tid, loss, **more):
    return replace(done(tid, loss, **more), reports=(Report(1, loss),), result=Result(loss, pruned=True))


def promoted(tid, parent, loss, **more):
    return replace(
        done(tid, loss, **more), reports=(Report(1, loss), Report(2, loss)), origin="promoted", parent=parent
    )


def failed(tid, failure=None, params=None, *, start=0.0, took=1.0, of=SPACE, times=1):
    failure = failure or Failure(Cause.OBJECTIVE, "Traceback\nValueError: loss is nan")
    attempt = Attempt(OWNER, 1000.0 + start, 1000.0 + start + took, failure.cause, failure.error)
    return trial(tid, TrialState.ERROR, params, of, attempts=(attempt,) * times)


def untimed(one):
    """The trial as a program leaves it that writes no times."""
    return replace(one, attempts=tuple(replace(attempt, started_at=0.0, ended_at=0.0) for attempt in one.attempts))


def running(tid, params=None, of=SPACE):
    return trial(tid, TrialState.RUNNING, params, of, owner=OWNER, claimed_at=1500.0)


def new(tid, params=None, of=SPACE):
    return trial(tid, TrialState.NEW, params, of)


def sampled(count, of=SPACE, seed=1, failing=0.1):
    """So many ended trials at random points, one in ten of them failed."""
    rng = random.Random(seed)
    trials = []
    for tid in range(count):
        vals = of.sample(rng)
        attempt = Attempt(OWNER, 1000.0 + tid, 1001.0 + tid + rng.random())
        if rng.random() < failing:
            attempt = Attempt(OWNER, attempt.started_at, attempt.ended_at, Cause.OBJECTIVE, "Traceback\nValueError: no")
            trials.append(Trial(tid=tid, state=TrialState.ERROR, version=1, vals=vals, attempts=(attempt,)))
        else:
            result = Result(rng.lognormvariate(0, 1))
            trials.append(
                Trial(tid=tid, state=TrialState.DONE, version=1, vals=vals, attempts=(attempt,), result=result)
            )
    return trials


HUGE = [1.7e308, -1.7e308, 1e-320, 0.0, 1.0, 1.1, 1.2, 1.3, 1e30, 5.0]
ODD = {
    "none": [],
    "new only": [new(0), new(1)],
    "running only": [running(0)],
    "one": [done(0, 0.5)],
    "one of zero": [done(0, 0.0, took=0.0)],
    "failed only": [failed(0), failed(1, Failure(Cause.TIMEOUT, "no result after 1 min"))],
    "half-way": [*sampled(30), running(30), new(31)],
    "rejected": [done(0, None, status="fail"), done(1, 0.3)],
    "pruned only": [pruned(0, 0.5), pruned(1, 0.3)],
    "promoted": [pruned(0, 0.5), done(1, 0.7), promoted(2, 0, 0.4), promoted(3, 77, 0.4)],
    "all alike": [done(tid, 0.25, start=tid) for tid in range(12)],
    "nearly alike": [done(tid, 1.0 + tid * 1e-15, start=tid) for tid in range(12)],
    "huge": [done(tid, loss, start=tid, took=10.0**tid) for tid, loss in enumerate(HUGE)],
    "infinite": [done(0, float("inf")), done(1, float("nan")), done(2, 0.1)],
    "untimed": [untimed(done(0, 0.5)), untimed(failed(1)), replace(running(2), claimed_at=None)],
    "partly untimed": [untimed(done(0, 0.5)), done(1, 0.7), done(2, 0.6, start=5)],
    "clock set back": [done(0, 0.5, start=100, took=-50), done(1, 0.4, start=-200)],
}
