"""Search spaces as hyperopt samples them: the same labels, and points that read as declared values."""

import json
import random

import numpy as np
import pytest
from hyperopt import anneal, rand, space_eval, tpe
from hyperopt.base import JOB_STATE_DONE, Domain, Trials
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpcho.expression import Choice, Distribution, Literal, Opaque, Structure, Template
from hpcho.space import build

WHOLE = {
    "units": {"int": [12, 256], "step": 4},
    "width": {"int": [1, 10], "step": 4},
    "below": {"int": [-7, 7], "step": 3},
    "logint": {"int": [1, 300], "log": True},
    "real": {"float": [0.001, 0.7]},
    "lr": {"float": [1e-5, 1e-1], "log": True},
    "steps": {"float": [0, 1], "step": 0.1},
    "optimizer": {
        "choice": [
            "rmsprop",
            {
                "sgd": {
                    "momentum": {"float": [0, 0.99]},
                    "decay": {"choice": ["none", {"step": {"rate": {"int": [1, 3]}}}]},
                }
            },
            {"adam": {"momentum": {"float": [0.5, 1]}}},
        ]
    },
    "one": {"choice": [{"value": {"a": 1}}]},
    "quniform": {"hp": "quniform(1, 10, 4)"},
    "qloguniform": {"hp": "qloguniform(0, 3, 2)"},
    "loguniform": {"hp": "loguniform(-3, 0)"},
    "normal": {"hp": "normal(0, 1)"},
    "qnormal": {"hp": "qnormal(5, 2, 2)"},
    "lognormal": {"hp": "lognormal(0, 1)"},
    "qlognormal": {"hp": "qlognormal(1, 1, 1)"},
    "randint": {"hp": "randint(4)"},
    "randint2": {"hp": "randint(2, 6)"},
    "uniformint": {"hp": "uniformint(1, 5)"},
    "pchoice": {"hp": "pchoice([(0.2, 'a'), (0.8, [1, 2])])"},
    "mixed": {"hp": "{'a': uniform(0, 1), 'b': choice([0, (normal(0, 1), 'x')])}"},
}


def points(space, suggest, n, seed=0):
    """``n`` points one after another, each knowing the losses of those before."""
    domain = Domain(None, space.hyperopt())
    trials = Trials()
    assert set(domain.params) == set(space.labels)
    for index in range(n):
        (document,) = suggest(trials.new_trial_ids(1), domain, trials, seed + index)
        vals = document["misc"]["vals"]
        assert set(vals) == set(space.labels)
        document["state"] = JOB_STATE_DONE
        document["result"] = {"status": "ok", "loss": float(np.sin(index))}
        trials.insert_trial_docs([document])
        trials.refresh()
        yield vals


def is_declared(value, spec):
    if "int" in spec:
        (low, high), step = spec["int"], spec.get("step", 1)
        return type(value) is int and low <= value <= high and (value - low) % step == 0
    if "float" in spec:
        (low, high), step = spec["float"], spec.get("step")
        is_on_grid = step is None or len(repr(value)) <= 5
        return type(value) is float and low <= value <= high and is_on_grid
    return True


def check(space, declared, vals):
    """A sampler's point reads as declared values, and those lead back to it."""
    params = space.decode(vals)
    for name, value in params.items():
        assert is_declared(value, declared.get(name, {})), (name, value)
    assert space.decode(space.encode(params, random.Random(0))) == params
    return params


@pytest.mark.parametrize(("suggest", "n"), [(rand.suggest, 200), (tpe.suggest, 30), (anneal.suggest, 80)])
def test_what_hyperopt_suggests_reads_as_declared(suggest, n):
    space = build(WHOLE)
    seen = [check(space, WHOLE, vals) for vals in points(space, suggest, n)]
    assert {params["optimizer"] for params in seen} == {"rmsprop", "sgd", "adam"}
    for params in seen:
        assert ("momentum" in params) == (params["optimizer"] != "rmsprop")
        assert ("rate" in params) == (params.get("decay") == "step")


def test_our_own_points_are_complete_to_hyperopt():
    space = build(WHOLE)
    graph, rng = space.hyperopt(), random.Random(3)
    for _ in range(20):
        point = {label: stored[0] for label, stored in space.sample(rng).items() if stored}
        assert set(space_eval(graph, point)) >= {"units", "optimizer", "mixed"}


@pytest.mark.parametrize("suggest", [tpe.suggest, anneal.suggest])
def test_an_integer_never_leaves_its_bounds_when_the_best_stand_at_the_edge(suggest):
    declared = {"x": {"int": [1, 10], "step": 4}, "y": {"int": [1, 3]}, "z": {"int": [1, 9], "log": True}}
    space = build(declared)
    domain, trials = Domain(None, space.hyperopt()), Trials()
    for index in range(60):
        (document,) = suggest(trials.new_trial_ids(1), domain, trials, index)
        params = check(space, declared, document["misc"]["vals"])
        document["state"] = JOB_STATE_DONE
        document["result"] = {"status": "ok", "loss": float(params["x"] + params["y"] + params["z"])}
        trials.insert_trial_docs([document])
        trials.refresh()


def test_hyperopts_own_draws_hit_every_step_equally_often():
    space = build({"x": {"int": [1, 10], "step": 3}, "y": {"float": [0, 0.3], "step": 0.1}})
    params = [space.decode(vals) for vals in points(space, rand.suggest, 800)]
    for name, values in (("x", [1, 4, 7, 10]), ("y", [0.0, 0.1, 0.2, 0.3])):
        counts = [sum(p[name] == value for p in params) for value in values]
        assert sum(counts) == 800
        assert min(counts) > 140


def test_templates_with_code_inside_work_with_hyperopt():
    rate = Template("Dropout", Distribution("Dropout", "uniform", (0, 1)))
    nested = Choice("layer_1", (Opaque("Dropout({{...}})", (rate,)), Literal("flat")))
    layer = Template(
        "layer",
        Choice(
            "layer",
            (
                Literal(1),
                nested,
                Structure("list", (Literal(1), nested_two := Choice("layer_2", (Literal(1), Literal(2))))),
            ),
        ),
    )
    assert nested_two.label == "layer_2"
    space = build(None, (layer,))
    assert space.labels == ("layer", "layer_1", "layer_2", "Dropout")
    seen = [space.decode(vals) for vals in points(space, rand.suggest, 100)]
    assert {str(params["layer"]) for params in seen} == {"1", "Dropout({{...}})", "flat", "[1, 1]", "[1, 2]"}
    for params in seen:
        assert ("Dropout" in params) == (params["layer"] == "Dropout({{...}})")
        assert space.decode(space.encode(params, random.Random(0))) == params


names = st.sampled_from(["a", "b", "c", "a~2", "a_1", "loss", "ü x"])
integers = st.integers(-50, 50)
ints = st.builds(
    lambda low, span, step: {"int": [low, low + span], "step": min(step, span)},
    integers,
    st.integers(1, 60),
    st.integers(1, 9),
)
log_ints = st.builds(
    lambda low, span: {"int": [low, low + span], "log": True}, st.integers(1, 9), st.integers(1, 10_000)
)
floats = st.builds(lambda low, span: {"float": [low / 8, (low + span) / 8]}, integers, st.integers(1, 50))
log_floats = st.builds(
    lambda low, span: {"float": [10.0**low, 10.0 ** (low + span)], "log": True}, st.integers(-9, 3), st.integers(1, 6)
)
steps = st.builds(
    lambda low, n: {"float": [low / 10, (low + 2 * n) / 10], "step": 0.2}, st.integers(-9, 9), st.integers(1, 20)
)
expressions = st.sampled_from(
    ["quniform(1, 10, 4)", "randint(2, 7)", "normal(0, 2)", "choice([1, uniform(0, 1)])", "[uniform(0, 1), randint(3)]"]
).map(lambda text: {"hp": text})
numbers = st.one_of(ints, log_ints, floats, log_floats, steps, expressions)


def choices(below):
    option = st.one_of(
        st.integers(0, 5).map(lambda n: {"value": {"n": n}}),
        st.sampled_from(["x", None, True, 1.5]),
        st.tuples(st.sampled_from(["p", "q", "r"]), below).map(lambda pair: {pair[0]: pair[1]}),
    )
    return st.lists(option, min_size=1, max_size=4, unique_by=json.dumps).map(lambda options: {"choice": options})


sections = st.recursive(
    st.dictionaries(names, numbers, min_size=1, max_size=3),
    lambda below: st.dictionaries(names, st.one_of(numbers, choices(below)), min_size=1, max_size=3),
    max_leaves=6,
)


def is_accepted(section):
    """Random names may collide, which a space refuses; nothing else may be wrong with these."""
    from hpcho.experiment import declared

    flaws = declared.read(section).flaws
    allowed = ("has this name too", "was given before")
    assert all(any(words in flaw.message for words in allowed) for flaw in flaws), flaws
    return not flaws


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(sections.filter(is_accepted), st.integers(0, 1000))
def test_any_space_goes_to_hyperopt_and_back(section, seed):
    space = build(section)
    assert build(json.loads(json.dumps(section))).fingerprint() == space.fingerprint()
    for vals in points(space, rand.suggest, 5, seed):
        check(space, section, vals)
    rng = random.Random(seed)
    for _ in range(20):
        check(space, section, space.sample(rng))
