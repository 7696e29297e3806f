"""hpcho's own sampler as a pure function over trials."""

import json
import logging
import math
import random
from dataclasses import replace

import numpy as np
import pytest

from hpcho import space as spaces
from hpcho.experiment.schema import SamplerSpec
from hpcho.samplers import auto, build
from hpcho.samplers.candidates import halton
from hpcho.samplers.coordinates import Coordinates
from hpcho.samplers.process import Posterior, Scales, fit, log_improvement, standardised
from hpcho.trial import Attempt, Cause, Result, Trial, TrialState

EVERY_DISTRIBUTION = {
    name: {"hp": text}
    for name, text in {
        "uniform": "uniform(0, 1)",
        "quniform": "quniform(0, 10, 2)",
        "uniformint": "uniformint(1, 9)",
        "loguniform": "loguniform(-5, 0)",
        "qloguniform": "qloguniform(0, 5, 1)",
        "normal": "normal(0, 1)",
        "qnormal": "qnormal(0, 3, 1)",
        "lognormal": "lognormal(0, 1)",
        "qlognormal": "qlognormal(0, 1, 1)",
        "randint": "randint(5)",
        "below_zero": "randint(-5, 0)",
        "choice": "choice([1, 2, 3])",
        "pchoice": "pchoice([(0.0, 1), (0.25, 2), (0.75, 3)])",
    }.items()
}
NESTED = {
    "x": {"float": [-1, 1]},
    "lr": {"float": [1e-5, 1e-1], "log": True},
    "units": {"int": [10, 200], "step": 10},
    "kind": {
        "choice": [
            "none",
            {"deep": {"depth": {"int": [0, 3]}, "inner": {"choice": ["a", {"b": {"rate": {"float": [0, 1]}}}]}}},
        ]
    },
}
SMALL = {"n": {"int": [1, 5]}, "kind": {"choice": ["plain", {"rich": {"m": {"int": [0, 2]}}}]}}
SQUARE = {"x": {"float": [0, 1]}, "y": {"float": [0, 1]}}


def sampler_of(declared=NESTED):
    return build(SamplerSpec(), spaces.build(declared))


def done(tid, vals, loss, *, status="ok"):
    result = Result(loss, status)
    return Trial(tid=tid, state=TrialState.DONE, version=1, vals=vals, result=result, finished_at=tid + 1.0)


def failed(tid, vals, cause):
    attempt = Attempt(None, 0.0, 1.0, cause, "it failed")
    return Trial(tid=tid, state=TrialState.ERROR, version=1, vals=vals, attempts=(attempt,))


def in_state(tid, vals, state):
    return Trial(tid=tid, state=state, version=0, vals=vals)


def loss_of(vals):
    return sum(abs(values[0]) for values in vals.values() if values)


def grow(sampler, count, seed=1, loss=loss_of):
    trials = []
    for tid in range(count):
        (vals,) = sampler.suggest(trials, 1, seed)
        trials.append(done(tid, vals, loss(vals)))
    return trials


@pytest.fixture(scope="module")
def history():
    return grow(sampler_of(), 30)


def distances(points, centre):
    return [math.dist([vals["x"][0], vals["y"][0]], centre) for vals in points]


# -- points


def test_points_are_plain_json_and_labels_of_options_not_taken_are_empty(history):
    for vals in [trial.vals for trial in history]:
        assert json.loads(json.dumps(vals)) == vals
        deep, inner = vals["kind"] == [1], vals["inner"] == [1]
        assert len(vals["depth"]) == len(vals["inner"]) == deep
        assert len(vals["rate"]) == inner
        assert all(type(value) is int for label in ("kind", "inner") for value in vals[label])
    assert {trial.vals["kind"][0] for trial in history} == {0, 1}


def test_every_distribution_of_hyperopt_gives_values_within_its_bounds():
    space = spaces.build(EVERY_DISTRIBUTION)
    for trial in grow(sampler_of(EVERY_DISTRIBUTION), 60):
        params = space.decode(trial.vals)
        assert space.encode(params, random.Random(0)) == trial.vals
        assert params["quniform"] in {0, 2, 4, 6, 8, 10}
        assert params["uniformint"] in range(1, 10)
        assert params["qlognormal"] >= 0
        assert params["below_zero"] in range(-5, 0)
        assert params["pchoice"] in {2, 3}  # an option without weight is never taken


def test_coordinates_and_stored_points_are_two_ways_to_say_the_same():
    space, rng = spaces.build({**NESTED, **EVERY_DISTRIBUTION}), np.random.default_rng(0)
    at = Coordinates(space)
    for row in at.settled(at.drawn(rng.random((50, at.size)))):
        vals = at.vals(row)
        assert set(vals) == set(space.labels)
        np.testing.assert_allclose(at.row(vals), row, atol=1e-7)


def test_the_ends_of_an_axis_are_values_that_it_has():
    declared = {
        "many": {"hp": "randint(1000000000000000000)"},
        "few": {"hp": "randint(-5, 0)"},
        "wide": {"hp": "lognormal(0, 200)"},
        "n": {"int": [3, 10**15], "step": 7},
    }
    at = Coordinates(spaces.build(declared))
    low, high = (at.vals(at.settled(np.full((1, 4), end))[0]) for end in (0.0, 1.0))
    assert (low["many"], high["many"]) == ([0], [10**18 - 1])
    assert (low["few"], high["few"]) == ([-5], [-1])
    assert math.isfinite(high["wide"][0])
    assert spaces.build(declared).decode(high)["n"] <= 10**15


def test_the_points_of_a_small_space_can_be_listed():
    at = Coordinates(spaces.build(SMALL))
    assert at.count() == 5 * (1 + 3)
    assert len({json.dumps(at.vals(row)) for row in at.every()}) == 20
    assert Coordinates(spaces.build(NESTED)).count() == math.inf


# -- purity


def test_the_same_arguments_give_the_same_points_whatever_was_asked_before(history):
    used = sampler_of()
    used.suggest(history[:7], 2, 9)
    used.suggest([], 1, 3)
    assert used.suggest(history, 3, 5) == sampler_of().suggest(history, 3, 5) == used.suggest(history, 3, 5)
    assert used.suggest(history, 1, 5) != used.suggest(history, 1, 6)
    assert used.suggest(history, 0, 5) == []


def test_changed_results_are_noticed(history):
    changed = [replace(trial, result=Result(1000.0 - trial.loss)) for trial in history]
    used = sampler_of()
    used.suggest(history, 1, 5)
    assert used.suggest(changed, 1, 5) == sampler_of().suggest(changed, 1, 5) != used.suggest(history, 1, 5)


def test_two_at_once_are_the_two_one_by_one(history):
    sampler = sampler_of()
    first, second = sampler.suggest(history, 2, 5)
    pending = in_state(30, first, TrialState.NEW)
    assert sampler.suggest([*history, pending], 1, 5) == [second]


@pytest.mark.parametrize("loss", [0.0, -1e9, 1e300])
def test_losses_that_are_all_equal_or_huge_are_no_trouble(loss):
    assert len(grow(sampler_of(), 14, loss=lambda vals: loss)) == 14


@pytest.mark.parametrize("kind", ["nan", "infinite", "subnormal", "of any size"])
def test_losses_of_any_kind_are_no_trouble(kind):
    rng = random.Random(1)
    draw = {
        "nan": lambda: rng.choice([math.nan, 1.0, 2.0]),
        "infinite": lambda: rng.choice([math.inf, -math.inf, 1.0, 2.0]),
        "subnormal": lambda: 5e-324 * rng.randrange(3),
        "of any size": lambda: rng.choice([1, -1]) * 10 ** rng.uniform(-300, 308),
    }[kind]
    assert len(grow(sampler_of(), 40, loss=lambda vals: draw())) == 40


@pytest.mark.parametrize("state", list(TrialState))
def test_a_history_without_any_result_still_gives_points(state, history):
    trials = [replace(trial, state=state, result=Result(None, "fail")) for trial in history]
    assert len(sampler_of().suggest(trials, 2, 5)) == 2


# -- search


def test_it_finds_the_optimum_of_a_smooth_function_in_few_trials():
    trials = grow(sampler_of(SQUARE), 30, loss=lambda vals: distances([vals], (0.3, 0.7))[0])
    assert min(trial.loss for trial in trials) < 0.02


def test_it_finds_the_best_option_and_its_parameter():
    def loss(vals):
        return abs(vals["rate"][0] - 0.6) if vals["rate"] else 1.0 + abs(vals["x"][0])

    assert min(trial.loss for trial in grow(sampler_of(), 40, loss=loss)) < 0.05


def test_noise_does_not_hold_it_at_a_lucky_point():
    noise = random.Random(2)
    trials = grow(sampler_of(SQUARE), 60, loss=lambda v: distances([v], (0.3, 0.7))[0] + noise.gauss(0, 0.1))
    late = distances([trial.vals for trial in trials[40:]], (0.3, 0.7))
    assert sorted(late)[10] < 0.2


@pytest.mark.parametrize("noise", [0.0, 0.002])
def test_where_most_losses_are_the_same_it_goes_on_to_look_everywhere(noise):
    def best(seed):
        rng = random.Random(seed)

        def loss(vals):
            return min(1.0, 5 * distances([vals], (0.2, 0.7))[0]) + rng.gauss(0, noise)

        return min(trial.loss for trial in grow(sampler_of(SQUARE), 50, seed, loss))

    assert sorted(map(best, range(4)))[2] < 0.2


def test_losses_that_all_say_the_same_leave_the_points_spread():
    points = [trial.vals for trial in grow(sampler_of(SQUARE), 32, loss=lambda vals: 1.0)]
    cells = {(int(4 * vals["x"][0]), int(4 * vals["y"][0])) for vals in points}
    assert len(cells) >= 14  # of 16


def test_many_workers_get_different_points():
    history = grow(sampler_of(SQUARE), 20, loss=lambda vals: distances([vals], (0.3, 0.7))[0])
    points = sampler_of(SQUARE).suggest(history, 32, 5)
    nearest = [sorted(distances(points, (vals["x"][0], vals["y"][0])))[1] for vals in points]
    assert min(nearest) > 0
    assert (
        sum(distance > 0.05 for distance in nearest) >= 8
    )  # it is sure of the optimum by now, and looks elsewhere too


def test_a_pending_trial_is_not_suggested_again(history):
    sampler = sampler_of()
    (vals,) = sampler.suggest(history, 1, 5)
    for state in (TrialState.NEW, TrialState.RUNNING):
        assert sampler.suggest([*history, in_state(30, vals, state)], 1, 5) != [vals]


def test_regions_where_trials_fail_are_avoided():
    trials = []
    for tid in range(40):
        (vals,) = sampler_of(SQUARE).suggest(trials, 1, 3)
        x = vals["x"][0]
        trials.append(failed(tid, vals, Cause.OOM) if x > 0.5 else done(tid, vals, 1.0 - x))
    assert sum(trial.state is TrialState.ERROR for trial in trials[20:]) < 8


def test_failures_of_the_infrastructure_say_nothing(history):
    sampler, elsewhere = sampler_of(), history[9].vals
    preempted = [failed(30, history[0].vals, Cause.PREEMPTED), in_state(31, history[1].vals, TrialState.CANCEL)]
    other = [failed(30, elsewhere, Cause.NODE), in_state(31, elsewhere, TrialState.CANCEL)]
    crashed = [failed(30, history[0].vals, Cause.OBJECTIVE), other[1]]
    assert sampler.suggest([*history, *preempted], 4, 5) == sampler.suggest([*history, *other], 4, 5)
    assert sampler.suggest([*history, *crashed], 4, 5) != sampler.suggest([*history, *other], 4, 5)


def test_no_point_of_a_small_space_comes_twice_until_all_are_used_and_then_it_says_so(caplog):
    sampler = sampler_of(SMALL)
    with caplog.at_level(logging.WARNING, logger="hpcho"):
        trials = grow(sampler, 20)
        assert not caplog.messages
        assert len({json.dumps(trial.vals) for trial in trials}) == 20
        assert len(sampler.suggest(trials, 3, 1)) == 3
    assert caplog.messages == ["every point of the space (20) has been tried: from now on they repeat"]


def test_workers_on_a_used_up_space_still_get_different_points():
    trials = grow(sampler_of(SMALL), 20)
    assert len({json.dumps(vals) for vals in sampler_of(SMALL).suggest(trials, 20, 1)}) == 20
    assert len(sampler_of(SMALL).suggest(trials, 25, 1)) == 25


def test_a_space_too_large_to_look_at_as_a_whole_is_used_up_too_before_points_repeat(monkeypatch, caplog):
    monkeypatch.setattr(auto, "ENUMERATED", 10)
    sampler = sampler_of(SMALL)
    with caplog.at_level(logging.WARNING, logger="hpcho"):
        trials = grow(sampler, 20)
        assert len({json.dumps(trial.vals) for trial in trials}) == 20
        assert not caplog.messages
        sampler.suggest(trials, 2, 1)
    assert caplog.messages == ["every point of the space (20) has been tried: from now on they repeat"]


def test_a_space_of_which_nobody_can_say_how_large_it_is_repeats_points_by_necessity_and_says_so(caplog):
    narrow = {"x": {"hp": "qnormal(0, 0.1, 5)"}}
    with caplog.at_level(logging.WARNING, logger="hpcho"):
        assert [trial.vals for trial in grow(sampler_of(narrow), 6)] == [{"x": [0.0]}] * 6
    assert caplog.messages == ["no point is found that has not been tried: from now on they repeat"]


def test_a_space_without_anything_to_choose_has_one_point_again_and_again():
    constants = {"x": {"hp": "[1, 2]"}}
    assert [trial.vals for trial in grow(sampler_of(constants), 8)] == [{}] * 8


def test_a_large_history_is_no_trouble():
    space, rng = spaces.build(NESTED), random.Random(1)
    trials = [done(tid, vals, loss_of(vals)) for tid, vals in ((tid, space.sample(rng)) for tid in range(1500))]
    pending = [in_state(1500 + i, space.sample(rng), TrialState.RUNNING) for i in range(300)]
    assert len(sampler_of().suggest([*trials, *pending], 2, 1)) == 2


# -- parts


def test_the_first_quasi_random_points_are_spread_and_the_seed_scrambles_them():
    points = np.array([halton(index, 4, 7) for index in range(28)])
    assert (points >= 0).all()
    assert (points < 1).all()
    assert len(set((points[:7, 3] * 7).astype(int))) == 7  # one in each seventh of the fourth axis
    assert not np.allclose(points[0], halton(0, 4, 8))


def test_better_losses_stay_apart_however_many_are_the_same():
    for plateau in (np.ones(95), 1 + 1e-6 * np.arange(95)):
        found = standardised(np.concatenate([[0.1, 0.2, 0.5], plateau]))
        assert (np.diff(found[:4]) > 0.05).all()
    assert (standardised(np.ones(5)) == 0).all()
    assert np.isfinite(standardised(np.array([1e308, -1e308, 0.0, 5e-324]))).all()


def test_the_process_recalls_what_it_was_told_and_doubts_what_it_was_not():
    rng = np.random.default_rng(0)
    points = rng.random((30, 2))
    losses = standardised(np.sin(5 * points[:, 0]))
    column_of = np.arange(2)
    scales = fit(points, losses, column_of)
    assert scales.lengths[1] > scales.lengths[0] + 0.5  # the second parameter does not matter
    posterior = Posterior(scales, column_of, points, losses, np.empty((0, 2)))
    mean, deviation = posterior(points)
    np.testing.assert_allclose(mean, losses, atol=0.1)
    assert posterior(np.array([[5.0, 5.0]]))[1] > 5 * deviation.max()


def test_a_pending_point_is_no_longer_uncertain():
    points, losses, waiting = np.array([[0.1], [0.2]]), np.array([-1.0, 1.0]), np.array([[0.9]])
    before = Posterior(Scales.prior(1), np.arange(1), points, losses, np.empty((0, 1)))
    after = Posterior(Scales.prior(1), np.arange(1), points, losses, waiting)
    np.testing.assert_allclose(before(waiting)[0], after(waiting)[0], atol=1e-2)
    assert after(waiting)[1] < 0.2 * before(waiting)[1]


def test_the_logarithm_of_the_expected_improvement_holds_far_out():
    z = np.array([2.0, 0.0, -0.999, -1.001, -5.0, -300.0])
    found = log_improvement(0.0, -z, np.ones(6))
    assert np.isfinite(found).all()
    assert (np.diff(found) < 0).all()
    np.testing.assert_allclose(found[1], math.log(1 / math.sqrt(2 * math.pi)))
    np.testing.assert_allclose(found[4], math.log(5.346e-8), rtol=1e-3)
