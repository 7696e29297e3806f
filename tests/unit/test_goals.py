"""Goals: what is minimised, constraints, feasibility, the Pareto set."""

import itertools
import random

import pytest

from hpcho.goals import USUAL, Constraint, Front, Goals, undominated
from hpcho.standing import Ledger
from hpcho.trial import Attempt, Result, Trial, TrialState


def made(tid=0, loss=0.5, *, took=1.0, status="ok", pruned=False, **data):
    return Trial(
        tid=tid,
        state=TrialState.DONE,
        version=1,
        vals={},
        attempts=(Attempt(None, 100.0, 100.0 + took),),
        result=Result(loss, status, data, pruned=pruned),
    )


def test_the_loss_alone_is_what_is_usual():
    assert Goals() == USUAL
    assert USUAL.is_loss_alone
    assert not USUAL.are_several
    assert USUAL.values(made(loss=0.25)) == {"loss": 0.25}


@pytest.mark.parametrize(
    ("text", "is_met"),
    [
        ("n < 10", False),
        ("n <= 10", True),
        ("n>=10", True),
        (" n > 9.5e0 ", True),
        ("a.b < 3", True),
        ("c.d < 1", True),
    ],
)
def test_a_constraint_is_met_or_not(text, is_met):
    assert Constraint.read(text).is_met(made(n=10, a={"b": 2}, **{"c.d": 0})) is is_met


@pytest.mark.parametrize(("text", "excess"), [("n < 10", 2.0), ("n >= 10", -2.0), ("n > 15", 3.0)])
def test_the_excess_is_how_far_beyond_the_limit_a_trial_is(text, excess):
    assert Constraint.read(text).excess(made(n=12)) == excess


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("n", "must be NAME < NUMBER, with <, <=, > or >= in the middle: params_m < 10, say"),
        ("n == 3", "must be NAME < NUMBER"),
        ("1 < n < 3", "must be NAME < NUMBER"),
        ("__import__('os').getcwd() < x", "must end in a number, and x is none"),
        ("n < inf", "must end in a number, and inf is none"),
        ("10 > n", "must end in a number, and n is none; write the name first: n < 10"),
    ],
)
def test_what_is_no_constraint_is_told_how_to_write_one(text, error):
    with pytest.raises(ValueError, match="must") as caught:
        Constraint.read(text)
    assert str(caught.value).startswith(error)


@pytest.mark.parametrize("data", [{}, {"n": None}, {"n": "3"}, {"n": True}, {"n": float("nan")}, {"n": {"m": 1}}])
def test_a_trial_without_the_number_is_infeasible(data):
    goals = Goals.read(["loss"], ["n < 10"])
    assert not goals.are_met(made(**data))
    assert goals.account([made(**data), made(n=1)]) == ["no number n: 1 of 2 trials"]


def test_what_keeps_trials_from_being_feasible_is_counted():
    goals = Goals.read(["loss", "size"], ["n < 10"])
    trials = [made(n=11, size=1), made(n=3), made(n=3, size=2), made(loss=None, status="fail")]
    assert goals.account(trials) == ["n < 10 is not kept: 1 of 3 trials", "no number size: 1 of 3 trials"]
    assert goals.shortfalls(made(n=12)) == ["no number size", "n < 10 is not kept"]


def test_feasible_trials_rank_first_then_whole_ones_then_those_of_less():
    goals = Goals.read(["size"], ["n < 10"])
    trials = [made(0, n=99, size=0), made(1, n=1, size=1, pruned=True), made(2, n=1, size=9), made(3, n=1, size=8)]
    assert [trial.tid for trial in sorted(trials, key=goals.rank)] == [3, 2, 1, 0]


def test_the_front_has_what_no_other_trial_beats():
    goals = Goals.read(["loss", "duration_s"], ["n < 10"])
    trials = [
        made(0, 1.0, took=5.0, n=1),
        made(1, 2.0, took=3.0, n=1),
        made(2, 2.0, took=4.0, n=1),  # as good as 1 in loss, and slower
        made(3, 0.1, took=0.1, n=10),  # infeasible
        made(4, 0.5, took=0.5, n=1, pruned=True),
        made(5, 3.0, took=1.0, n=1),
        made(6, 1.0, took=5.0, n=1),  # as good as 0
        made(7, None, took=0.1, status="fail", n=1),
    ]
    assert [trial.tid for trial in goals.front(trials)] == [0, 6, 1, 5]


@pytest.mark.parametrize("columns", [1, 2, 3, 4])
def test_what_is_undominated_is_what_pairs_say(columns):
    rng = random.Random(columns)
    points = [tuple(rng.randint(0, 6) for _ in range(columns)) for _ in range(60)]

    def beats(a, b):
        return all(x <= y for x, y in zip(a, b, strict=True)) and a != b

    found = undominated(points)
    assert sorted(found) == [i for i, b in enumerate(points) if not any(beats(a, b) for a in points)]
    assert all(points[i] <= points[j] for i, j in itertools.pairwise(found))


def test_of_no_points_none_is_undominated():
    assert undominated([]) == []


def test_a_front_that_grows_is_that_of_all_trials():
    goals = Goals.read(["loss", "size"], ["n < 5"])
    rng = random.Random(1)
    trials = [made(tid, float(rng.randint(0, 9)), size=rng.randint(0, 9), n=rng.randint(0, 5)) for tid in range(80)]
    front = Front(goals)
    for count, trial in enumerate(trials, 1):
        front.add(trial)
        assert set(front.points) == {one.tid for one in goals.front(trials[:count])}


def test_a_ledger_knows_the_best_feasible_trial_the_least_loss_and_the_front():
    ledger = Ledger(Goals.read(["size", "loss"], ["size > 1"]))
    trials = [
        made(0, 0.1, size=1),
        made(1, 0.2, size=9),
        made(2, 0.5, size=3),
        made(3, 0.9, size=2),
        made(4, 0.6, size=4),
    ]
    ledger.apply(trials)
    ledger.apply(trials[1:3])  # reported again
    assert (ledger.best.tid, ledger.least.tid, ledger.infeasible, ledger.ok) == (3, 1, 1, 5)
    assert set(ledger.front.points) == {1, 2, 3}
    ledger.forget([2])
    assert set(ledger.front.points) == {1, 3, 4}
