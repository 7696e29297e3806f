"""What samplers make of several numbers to minimise, and of constraints."""

import pytest

from hpcho import samplers, space
from hpcho.experiment.schema import SamplerSpec
from hpcho.goals import USUAL, Goals
from hpcho.trial import Attempt, Result, Trial, TrialState

SPACE = space.build({"x": {"float": [0, 1]}, "y": {"float": [0, 1]}})


def evaluated(objective, goals, *, count, sampler="auto", seed=1):
    """So many trials, one after the other; ``objective(x, y)`` gives the loss and further numbers."""
    suggest = samplers.build(SamplerSpec(name=sampler), SPACE, goals=goals).suggest
    trials = []
    for tid in range(count):
        (vals,) = suggest(trials, 1, seed)
        loss, data = objective(vals["x"][0], vals["y"][0])
        attempt = Attempt(None, float(tid), tid + 1.0)
        result = Result(loss, data=data)
        trials.append(
            Trial(
                tid=tid,
                state=TrialState.DONE,
                version=1,
                vals=vals,
                result=result,
                attempts=(attempt,),
                finished_at=tid + 1.0,
            )
        )
    return trials


def two_valleys(x, y):
    return (x - 0.2) ** 2 + y**2, {"size": (x - 0.8) ** 2 + y**2}


def corner(x, y):
    """The least loss, at (0, 0), is not allowed: x + y is to be 0.5 at least, where the best is 0.125."""
    return x * x + y * y, {"sum": x + y}


def test_auto_looks_for_the_whole_front():
    goals = Goals.read(["loss", "size"], [])
    front = goals.front(evaluated(two_valleys, goals, count=40))
    xs = sorted(trial.vals["x"][0] for trial in front)
    assert len(front) >= 8
    assert xs[0] < 0.35
    assert xs[-1] > 0.65
    assert sorted(trial.vals["y"][0] for trial in front)[len(front) // 2] < 0.1


def test_auto_finds_the_best_on_the_right_side_of_a_constraint():
    goals = Goals.read(["loss"], ["sum >= 0.5"])
    trials = evaluated(corner, goals, count=30)
    feasible = [trial for trial in trials if goals.are_met(trial)]
    assert len(feasible) >= 10
    assert 0.125 <= min(trial.loss for trial in feasible) < 0.14


def test_auto_comes_to_feasible_trials_where_the_first_ones_are_none():
    goals = Goals.read(["loss"], ["sum >= 1.8"])
    trials = evaluated(corner, goals, count=25)
    assert not any(goals.are_met(trial) for trial in trials[:4])
    assert any(goals.are_met(trial) for trial in trials)


def test_auto_goes_on_where_a_number_is_never_there():
    for goals in (Goals.read(["loss"], ["nothing < 1"]), Goals.read(["loss", "nothing"], [])):
        trials = evaluated(corner, goals, count=12)
        assert len({(trial.vals["x"][0], trial.vals["y"][0]) for trial in trials}) == 12


def test_a_suggestion_depends_on_trials_seed_and_tid_alone():
    goals = Goals.read(["loss", "size"], ["size < 0.9"])
    trials = evaluated(two_valleys, goals, count=12)
    fresh = samplers.build(SamplerSpec(name="auto"), SPACE, goals=goals)
    assert fresh.suggest(trials[:11], 1, 1) == [trials[11].vals]


@pytest.mark.parametrize("sampler", ["tpe", "anneal"])
def test_others_see_the_first_number_as_the_loss_and_infeasible_trials_as_failed(sampler):
    goals = Goals.read(["size", "loss"], ["size > 0.1"])
    trials = evaluated(two_valleys, goals, count=6, sampler=sampler)
    told = [
        Trial(
            tid=trial.tid,
            state=trial.state,
            version=1,
            vals=trial.vals,
            result=Result(trial.result.data["size"]) if goals.are_met(trial) else Result(None, "fail"),
        )
        for trial in trials
    ]
    plain = samplers.build(SamplerSpec(name=sampler), SPACE, goals=USUAL)
    aimed = samplers.build(SamplerSpec(name=sampler), SPACE, goals=goals)
    assert aimed.suggest(trials, 2, 1) == plain.suggest(told, 2, 1)
