"""Points of another space as points of this one."""

import random

import pytest

from hpcho import space as spaces
from hpcho.space import matched, matched_by_label

HERE = {
    "x": {"float": [0, 1]},
    "units": {"int": [8, 64], "step": 8},
    "depth": {"hp": "quniform(1, 4, 1)"},
    "optimizer": {"choice": ["adam", {"sgd": {"momentum": {"float": [0, 0.9]}}}]},
}
POINT = {"x": 0.5, "units": 16, "depth": 2.0, "optimizer": "adam"}


@pytest.fixture(scope="module")
def here():
    return spaces.build(HERE)


def test_a_point_with_all_parameters_is_the_same_point_here(here):
    assert here.decode(matched(here, POINT)) == POINT
    sgd = {**POINT, "optimizer": "sgd", "momentum": 0.3}
    assert here.decode(matched(here, sgd)) == sgd


def test_what_does_not_exist_here_is_left_out(here):
    assert here.decode(matched(here, {**POINT, "momentum": 0.3, "another": "thing"})) == POINT


@pytest.mark.parametrize(
    ("params", "why"),
    [
        ({**POINT, "x": 1.5}, "with x outside this space"),
        ({**POINT, "units": 12}, "with units outside this space"),  # between two steps
        ({**POINT, "units": "16"}, "with units outside this space"),
        ({**POINT, "depth": 5.0}, "with depth outside this space"),
        ({**POINT, "optimizer": "rmsprop"}, "with optimizer outside this space"),
        ({**POINT, "optimizer": "sgd"}, "without momentum"),
        ({**POINT, "optimizer": "sgd", "momentum": 0.95}, "with momentum outside this space"),
        ({"x": 0.5}, "without units"),
        ({}, "without x"),
    ],
)
def test_a_point_that_is_none_here_is_told_why(here, params, why):
    assert matched(here, params) == why


def test_options_are_matched_by_what_they_are_and_not_by_their_place(here):
    other = spaces.build({**HERE, "optimizer": {"choice": [{"sgd": HERE["optimizer"]["choice"][1]["sgd"]}, "adam"]}})
    vals = other.encode({**POINT, "optimizer": "sgd", "momentum": 0.3}, random.Random(0))
    assert vals["optimizer"] == [0]
    assert matched(here, other.decode(vals))["optimizer"] == [1]


def test_stored_points_are_matched_by_label(here):
    vals = here.encode({**POINT, "optimizer": "sgd", "momentum": 0.3}, random.Random(0))
    assert matched_by_label(here, {**vals, "more": [1]}) == vals
    adam = here.encode(POINT, random.Random(0))
    assert matched_by_label(here, {label: stored for label, stored in adam.items() if stored}) == adam


@pytest.mark.parametrize(
    ("label", "stored", "why"),
    [
        ("x", [2.0], "with x outside this space"),
        ("x", [], "without x"),
        ("optimizer", [2], "with optimizer outside this space"),
        ("optimizer", ["adam"], "with optimizer outside this space"),
        ("optimizer", [1], "without momentum"),
    ],
)
def test_a_stored_point_that_is_none_here_is_told_why(here, label, stored, why):
    vals = here.encode(POINT, random.Random(0))
    assert matched_by_label(here, {**vals, label: stored}) == why
