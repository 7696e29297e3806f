"""Samplers over the spaces that experiment.yaml declares: what a user gets stays within what was declared."""

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpcho import space as spaces
from hpcho.experiment.schema import SamplerSpec
from hpcho.samplers import build
from hpcho.trial import Result, Trial, TrialState

NAMES = ("auto", "tpe", "anneal", "random", "atpe")
STATES = (*[TrialState.DONE] * 6, *TrialState)

DECLARED = {
    "units": {"int": [1, 10], "step": 4},
    "batch": {"int": [-7, 9], "step": 3},
    "width": {"int": [1, 1000], "log": True},
    "depth": {"int": [2, 3]},
    "rate": {"float": [1e-5, 1e-1], "log": True},
    "dropout": {"float": [0, 0.5], "step": 0.1},
    "optimizer": {"choice": ["rmsprop", {"sgd": {"momentum": {"float": [0, 0.99]}, "warmup": {"int": [0, 5]}}}]},
}
UNITS, BATCH = {1, 5, 9}, {-7, -4, -1, 2, 5, 8}
DROPOUT = {0.0, 0.1, 0.2, 0.3, 0.4, 0.5}


def assert_declared(params):
    integers = ["units", "batch", "width", "depth"]
    assert params["units"] in UNITS
    assert params["batch"] in BATCH
    assert 1 <= params["width"] <= 1000
    assert params["depth"] in {2, 3}
    assert 1e-5 <= params["rate"] <= 1e-1
    assert params["dropout"] in DROPOUT
    assert params["optimizer"] in {"rmsprop", "sgd"}
    assert ("momentum" in params) == ("warmup" in params) == (params["optimizer"] == "sgd")
    if params["optimizer"] == "sgd":
        integers.append("warmup")
        assert 0 <= params["momentum"] <= 0.99
        assert 0 <= params["warmup"] <= 5
    assert all(type(params[name]) is int for name in integers)


def run(name, declared, count, loss, *, seed=4, states=(TrialState.DONE,)):
    """The params of ``count`` trials, suggested one after another while earlier ones are in all kinds of states."""
    space = spaces.build(declared)
    sampler = build(SamplerSpec(name=name), space)
    rng = random.Random(seed)
    trials = []
    for tid in range(count):
        (vals,) = sampler.suggest(trials, 1, seed)
        state = rng.choice(states)
        result = Result(loss(space.decode(vals), rng)) if state is TrialState.DONE else None
        trials.append(Trial(tid=tid, state=state, version=0, vals=vals, result=result))
    return [space.decode(trial.vals) for trial in trials]


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("random", 500),
        ("anneal", 300),
        ("auto", 200),
        pytest.param("tpe", 200, marks=pytest.mark.slow),
        pytest.param("atpe", 60, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize(
    "loss",
    [
        lambda params, rng: rng.gauss(0, 1),
        lambda params, rng: params["units"] + params["width"],  # the best are at the lower bounds
        lambda params, rng: -params["units"] - params["width"] - params["batch"],  # and at the upper ones
    ],
    ids=["noise", "low", "high"],
)
def test_hundreds_of_suggestions_stay_within_the_declared_space(name, count, loss):
    found = run(name, DECLARED, count, loss, states=STATES)
    for params in found:
        assert_declared(params)


def test_random_search_reaches_every_integer_about_equally_often():
    found = [params["units"] for params in run("random", DECLARED, 1500, lambda params, rng: 0.0)]
    assert {value: 400 < found.count(value) < 600 for value in found} == dict.fromkeys(UNITS, True)


@st.composite
def integer_ranges(draw):
    low, span = draw(st.integers(-50, 50)), draw(st.integers(1, 60))
    return {"int": [low, low + span], "step": draw(st.integers(1, span))}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(declared=integer_ranges(), towards=st.sampled_from([-1, 1]))
def test_an_int_never_leaves_its_bounds(name, declared, towards):
    (low, high), step = declared["int"], declared["step"]
    for params in run(name, {"n": declared}, 30, lambda params, rng: float(towards * params["n"])):
        assert type(params["n"]) is int
        assert params["n"] in range(low, high + 1, step)


def test_params_of_a_hyperopt_expression_keep_hyperopts_own_meaning():
    found = run("tpe", {"depth": {"hp": "quniform(1, 10, 4)"}}, 60, lambda params, rng: params["depth"])
    assert {params["depth"] for params in found} == {0.0, 4.0, 8.0}
