"""Search spaces without any sampler: params from points, points from params, labels, fingerprints."""

import math
import random
from collections import Counter

import pytest

from hpcho.errors import SpaceError
from hpcho.expression import Choice, Distribution, Literal, Opaque, Template
from hpcho.space import build

OPTIMIZER = {
    "choice": [
        "rmsprop",
        {"sgd": {"momentum": {"float": [0, 0.99]}}},
        {"adam": {"momentum": {"float": [0.5, 1]}, "amsgrad": {"choice": [True, False]}}},
    ]
}


@pytest.fixture
def rng():
    return random.Random(7)


def refused(space, params):
    with pytest.raises(SpaceError) as caught:
        space.encode(params, random.Random(1))
    return caught.value


def values(space, name, rng, n=300):
    points = [space.decode(space.sample(rng)) for _ in range(n)]
    return [params[name] for params in points if name in params]


def test_params_come_in_order_and_inactive_ones_are_absent():
    space = build({"lr": {"float": [0, 1]}, "optimizer": OPTIMIZER, "units": {"int": [12, 256], "step": 4}})
    assert space.labels == ("lr", "optimizer", "momentum", "momentum~2", "amsgrad", "units")
    vals = {"lr": [0.5], "optimizer": [1], "momentum": [0.25], "momentum~2": [], "amsgrad": [], "units": [64.0]}
    params = space.decode(vals)
    assert list(params.items()) == [("lr", 0.5), ("optimizer", "sgd"), ("momentum", 0.25), ("units", 64)]
    assert type(params["units"]) is int
    assert space.decode({"units": [16.0]}) == {"units": 16}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"int": [12, 256], "step": 4}, set(range(12, 257, 4))),
        ({"int": [1, 10], "step": 4}, {1, 5, 9}),
        ({"int": [-5, 5], "step": 3}, {-5, -2, 1, 4}),
        ({"int": [0, 3]}, {0, 1, 2, 3}),
        ({"int": [1, 5], "log": True}, {1, 2, 3, 4, 5}),
        ({"float": [0, 1], "step": 0.1}, {0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0}),
        ({"float": [0.1, 0.75], "step": 0.2}, {0.1, 0.3, 0.5, 0.7}),
        ({"float": [-0.3, 0.3], "step": 0.15}, {-0.3, -0.15, 0.0, 0.15, 0.3}),
        ({"choice": [1, "a", None, True]}, {1, "a", None}),
        ({"hp": "quniform(1, 10, 4)"}, {0.0, 4.0, 8.0}),
        ({"hp": "randint(3)"}, {0, 1, 2}),
        ({"hp": "randint(2, 5)"}, {2, 3, 4}),
        ({"hp": "uniformint(1, 3)"}, {1, 2, 3}),
        ({"hp": "pchoice([(0.5, 'a'), (0.5, 'b')])"}, {"a", "b"}),
        ({"hp": "choice([1, [2, 3]])"}, {"1", "[2, 3]"}),
    ],
)
def test_exactly_the_declared_values_are_drawn(spec, expected, rng):
    space = build({"x": spec})
    drawn = values(space, "x", rng, 2000)
    if "choice([1, [2" in str(spec):
        drawn = map(str, drawn)
    assert set(drawn) == expected


def test_steps_are_equally_likely(rng):
    counts = Counter(values(build({"x": {"int": [1, 10], "step": 3}}), "x", rng, 4000))
    assert set(counts) == {1, 4, 7, 10}
    assert all(850 < n < 1150 for n in counts.values())


def test_log_ranges_are_even_by_order_of_magnitude(rng):
    for spec in ({"float": [1e-4, 1], "log": True}, {"int": [1, 10_000], "log": True}):
        drawn = values(build({"x": spec}), "x", rng, 2000)
        middle = math.sqrt(1e-4) if "float" in spec else 100
        assert 900 < sum(x < middle for x in drawn) < 1100


@pytest.mark.parametrize(
    "text",
    [
        "normal(0, 1)",
        "qnormal(5, 2, 2)",
        "lognormal(0, 1)",
        "qlognormal(0, 1, 1)",
        "loguniform(-3, 0)",
        "qloguniform(0, 3, 2)",
        "uniform(-1, 1)",
        "quniform(0, 1, 0.25)",
    ],
)
def test_hyperopt_distributions_have_hyperopts_meaning(text, rng):
    space = build({"x": {"hp": text}})
    drawn = values(space, "x", rng)
    assert all(isinstance(x, float) for x in drawn)
    assert len(set(drawn)) > 2
    for value in drawn:
        assert space.decode(space.encode({"x": value}, rng)) == {"x": value}
    if text.startswith("q"):
        step = float(text.rstrip(")").rpartition(",")[2])
        assert all(x % step == 0 for x in drawn)


@pytest.mark.parametrize(
    ("spec", "stored", "value"),
    [
        ({"int": [12, 256], "step": 4}, 64.0, 64),
        ({"int": [12, 256], "step": 4}, 8.0, 12),
        ({"int": [12, 256], "step": 4}, 300.0, 256),
        ({"int": [1, 10], "step": 4}, 8.0, 9),
        ({"int": [1, 10], "step": 4}, 12.0, 9),
        ({"int": [1, 10], "log": True}, 0.0, 1),
        ({"float": [0.1, 0.7]}, 0.09999999, 0.1),
        ({"float": [1e-5, 1e-1], "log": True}, 0.1000000001, 0.1),
        ({"float": [0, 1], "step": 0.1}, 3.0, 0.3),
        ({"float": [0, 1], "step": 0.1}, 11.0, 1.0),
        ({"choice": ["a", "b"]}, 1.0, "b"),
    ],
)
def test_what_a_sampler_stores_is_read_within_the_bounds(spec, stored, value):
    read = build({"x": spec}).decode({"x": [stored]})["x"]
    assert read == value
    assert type(read) is type(value)


def test_a_stored_integer_is_the_number_itself_where_low_is_a_multiple_of_step(rng):
    assert build({"x": {"int": [12, 256], "step": 4}}).encode({"x": 64}, rng) == {"x": [64.0]}
    assert build({"x": {"int": [1, 10], "step": 4}}).encode({"x": 9}, rng) == {"x": [8.0]}


def test_the_largest_integers_stay_exact(rng):
    low, high = 2**53 - 3, 2**53
    space = build({"x": {"int": [low, high]}, "y": {"int": [1, high], "log": True}})
    assert set(values(space, "x", rng)) <= {low, low + 1, low + 2, high}
    assert all(space.decode(space.encode({"x": x}, rng))["x"] == x for x in range(low, high + 1))
    assert all(1 <= y <= high for y in values(space, "y", rng))


def test_a_list_option_is_new_for_each_trial():
    space = build({"x": {"choice": [[1, 2], {"value": {"a": []}}]}})
    first = space.decode({"x": [1]})["x"]
    first["a"].append(1)
    assert space.decode({"x": [1]})["x"] == {"a": []}


def test_params_become_points_and_params_again(rng):
    space = build(
        {"u": {"int": [1, 9], "step": 2}, "o": OPTIMIZER, "m": {"hp": "[uniform(0, 1), choice([2, (1, 'a')])]"}}
    )
    for _ in range(200):
        params = space.decode(space.sample(rng))
        assert space.decode(space.encode(params, rng)) == params


def test_what_is_left_out_is_sampled(rng):
    space = build({"x": {"float": [0, 1]}, "y": {"int": [1, 100]}})
    drawn = {space.decode(space.encode({"x": 0.5}, rng))["y"] for _ in range(50)}
    assert len(drawn) > 20
    assert space.encode({"x": 0.5}, random.Random(3)) == space.encode({"x": 0.5}, random.Random(3))


def test_an_option_is_implied_by_a_parameter_that_only_it_holds(rng):
    space = build({"o": OPTIMIZER})
    for _ in range(50):
        assert space.decode(space.encode({"amsgrad": True}, rng))["o"] == "adam"
    drawn = {space.decode(space.encode({"momentum": 0.7}, rng))["o"] for _ in range(50)}
    assert drawn == {"sgd", "adam"}
    assert space.decode(space.encode({"o": "adam", "momentum": 0.75, "amsgrad": False}, rng)) == {
        "o": "adam",
        "momentum": 0.75,
        "amsgrad": False,
    }


def test_a_nested_parameter_implies_all_choices_above_it(rng):
    space = build({"a": {"choice": ["x", {"y": {"b": {"choice": ["p", {"q": {"c": {"int": [1, 9]}}}]}}}]}})
    assert space.decode(space.encode({"c": 4}, rng)) == {"a": "y", "b": "q", "c": 4}


def test_equal_numbers_are_one_option_and_true_is_no_number(rng):
    space = build({"x": {"choice": [1, True, "1", [1, 2]]}})
    for value, index in ((1, 0), (1.0, 0), (True, 1), ("1", 2), ([1, 2], 3), ((1, 2), 3)):
        assert space.encode({"x": value}, rng) == {"x": [index]}


@pytest.mark.parametrize(
    ("params", "path", "message"),
    [
        ({"unitz": 3}, "unitz", "is no parameter of the space; did you mean 'units'?"),
        ({"units": 13}, "units", "must be 12 plus a multiple of 4 (near are 12 and 16), not 13"),
        ({"units": 8}, "units", "must be an integer from 12 to 256, not 8"),
        ({"units": 64.5}, "units", "must be an integer from 12 to 256, not 64.5"),
        ({"units": True}, "units", "must be an integer from 12 to 256, not true"),
        ({"lr": 0}, "lr", "must be a number from 1e-05 to 0.1, not 0"),
        ({"lr": "a"}, "lr", 'must be a number from 1e-05 to 0.1, not "a"'),
        ({"s": 0.25}, "s", "must be 0.0 plus a multiple of 0.1 (near is 0.2), not 0.25"),
        ({"q": 1.5}, "q", "must be a multiple of 1 from 1 to 4, not 1.5"),
        ({"r": 5}, "r", "must be an integer from 0 to 4, not 5"),
        ({"n": math.inf}, "n", "must be a number, not .inf"),
        ({"e": 3}, "e", "its expression never gives 3"),
        ({"o": "sdg"}, "o", "must be rmsprop, sgd or adam, not \"sdg\"; did you mean 'sgd'?"),
        ({"o": "rmsprop", "momentum": 0.5}, "momentum", 'does not exist when o is "rmsprop"'),
        ({"o": "sgd", "amsgrad": True}, "amsgrad", 'does not exist when o is "sgd"'),
        ({"momentum": 0.75, "only_a": 1, "only_b": 1}, "only_b", "only_a and only_b never exist together: each comes"),
    ],
)
def test_params_outside_the_space_are_refused_by_name(params, path, message):
    space = build(
        {
            "units": {"int": [12, 256], "step": 4},
            "lr": {"float": [1e-5, 1e-1], "log": True},
            "s": {"float": [0, 1], "step": 0.1},
            "q": {"hp": "quniform(1, 4, 1)"},
            "r": {"hp": "randint(5)"},
            "n": {"hp": "normal(0, 1)"},
            "e": {"hp": "[uniform(0, 1), 2]"},
            "o": OPTIMIZER,
            "p": {"choice": [{"a": {"only_a": {"int": [1, 2]}}}, {"b": {"only_b": {"int": [1, 2]}}}]},
        }
    )
    error = refused(space, params)
    assert error.path == (path,)
    assert error.message.startswith(message)
    assert str(error) == f"{path}: {error.message}"


def test_a_step_may_carry_the_dirt_of_floating_point(rng):
    assert build({"s": {"float": [0, 1], "step": 0.1}}).encode({"s": 0.1 + 0.2}, rng) == {"s": [3.0]}


def test_labels_are_unlike_each_other_whatever_the_names_are():
    options = [{str(i): {"a": {"float": [0, 1]}}} for i in range(3)]
    space = build(
        {
            "c": {"choice": options},
            "a~2": {"int": [1, 2]},
            "h": {"hp": "[randint(2), randint(3)]"},
            "h_1": {"int": [1, 2]},
        }
    )
    assert space.labels == ("c", "a", "a~3", "a~4", "a~2", "h_1~2", "h_2", "h_1")
    assert len(set(space.labels)) == len(space.labels)
    assert [p.name for p in space.parameters] == ["c", "a", "a", "a", "a~2", "h", "h_1"]


def test_parameters_tell_a_report_their_axes():
    space = build(
        {
            "i": {"int": [1, 10], "step": 4},
            "f": {"float": [1e-5, 0.1], "log": True},
            "s": {"float": [0, 1], "step": 0.3},
            "h": {"hp": "loguniform(0, 1)"},
            "n": {"hp": "normal(0, 1)"},
            "r": {"hp": "randint(2, 5)"},
            "c": {"choice": ["a", {"b": {"k": {"int": [1, 2]}}}]},
            "e": {"hp": "choice([uniform(0, 1), 'off'])"},
        }
    )
    told = {p.name: (p.kind, p.low, p.high, p.log, p.step, p.options, p.parent) for p in space.parameters}
    assert told == {
        "i": ("int", 1, 9, False, 4, (), None),
        "f": ("float", 1e-5, 0.1, True, None, (), None),
        "s": ("float", 0.0, 0.9, False, 0.3, (), None),
        "h": ("float", 1.0, math.e, True, None, (), None),
        "n": ("float", None, None, False, None, (), None),
        "r": ("int", 2, 4, False, None, (), None),
        "c": ("choice", None, None, False, None, ("a", "b"), None),
        "k": ("int", 1, 2, False, None, (), ("c", 1)),
        "e": ("other", None, None, False, None, (), None),
    }


def test_templates_are_parameters_and_code_brings_its_own(rng):
    rate = Template("rate", Distribution("rate", "uniform", (0, 1)))
    inner = Template("Dropout", Choice("Dropout", (Opaque("Dropout(rate)", (rate,)), Literal(None))))
    layers = Template("layers", Choice("layers", (Literal(2), Opaque("[Dropout(x), Dense(y)]", (inner,)))))
    space = build(None, (Template("units", Distribution("units", "quniform", (12, 256, 4))), layers))
    assert space.labels == ("units", "layers", "Dropout", "rate")
    assert space.decode({"units": [16.0], "layers": [0], "Dropout": [], "rate": []}) == {"units": 16.0, "layers": 2}
    assert space.decode({"units": [16.0], "layers": [1], "Dropout": [0], "rate": [0.5]}) == {
        "units": 16.0,
        "layers": "[Dropout(x), Dense(y)]",
        "Dropout": "Dropout(rate)",
        "rate": 0.5,
    }
    assert space.decode(space.encode({"rate": 0.25, "units": 12}, rng)) == {
        "units": 12.0,
        "layers": "[Dropout(x), Dense(y)]",
        "Dropout": "Dropout(rate)",
        "rate": 0.25,
    }
    assert refused(space, {"layers": 2, "rate": 0.5}).message == "does not exist when layers is 2"


def test_an_expressions_option_of_weight_zero_is_never_drawn(rng):
    space = build({"x": {"hp": "pchoice([(0, 'a'), (1, 'b')])"}})
    assert set(values(space, "x", rng)) == {"b"}
    assert space.decode(space.encode({"x": "a"}, rng)) == {"x": "a"}


def test_fingerprints_are_equal_for_equal_spaces_only():
    one = {"x": {"float": [0, 1]}, "o": OPTIMIZER}
    equal = [{"o": OPTIMIZER, "x": {"float": [0.0, 1.0]}}, {"x": {"float": [0, 1], "log": False}, "o": OPTIMIZER}]
    assert {build(space).fingerprint() for space in equal} == {build(one).fingerprint()}
    others = [
        {"x": {"float": [0, 2]}, "o": OPTIMIZER},
        {"y": {"float": [0, 1]}, "o": OPTIMIZER},
        {"x": {"float": [0, 1], "step": 0.5}, "o": OPTIMIZER},
        {"x": {"int": [0, 1]}, "o": OPTIMIZER},
        {"x": {"float": [0, 1]}, "o": {"choice": list(reversed(OPTIMIZER["choice"]))}},
        {"x": {"float": [0, 1]}, "o": {"choice": [*OPTIMIZER["choice"][:2], "adam"]}},
        {"x": {"float": [0, 1]}},
    ]
    prints = [build(space).fingerprint() for space in (one, *others)]
    assert len(set(prints)) == len(prints)
    bounds = [{"x": {"int": [1, top], "step": 4}} for top in (9, 10)]
    assert len({build(space).fingerprint() for space in bounds}) == 1  # 10 is not reached: the same values


def test_a_space_that_is_none_is_refused():
    with pytest.raises(SpaceError, match=r"^x\.int: low must be less than high"):
        build({"x": {"int": [3, 1]}})
    with pytest.raises(SpaceError, match="there is nothing to tune"):
        build(None)
    with pytest.raises(SpaceError, match="needs at least one parameter"):
        build({})
