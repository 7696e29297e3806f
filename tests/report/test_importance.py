import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcho.report.axis import Axis
from hpcho.report.importance import importances

X, Y = Axis("x", "linear", 0, 1), Axis("y", "linear", 0, 1)
KIND = Axis("kind", "categorical", categories=("a", "b"))


def points(count, loss, seed=0):
    rng = random.Random(seed)
    params = [{"x": rng.random(), "y": rng.random(), "kind": rng.choice("ab")} for _ in range(count)]
    return [(p, loss(p)) for p in params]


def test_what_alone_decides_the_loss_explains_nearly_all_of_it():
    shares = importances([X, Y, KIND], points(200, lambda p: p["x"]))
    assert shares["x"] > 0.95
    assert shares["y"] < 0.1
    assert shares["kind"] < 0.1


def test_chance_is_subtracted():
    rng = random.Random(3)
    shares = [importances([X], points(40, lambda p: rng.random(), seed))["x"] for seed in range(40)]
    assert sum(shares) / len(shares) < 0.06


def test_a_category_that_splits_the_losses_in_halves_explains_three_quarters():
    # Ranks 1..2n: the variance between two halves is (n/2)**2, of all it is (4n**2 - 1) / 12, about 3/4.
    shares = importances([KIND], points(400, lambda p: (p["kind"] == "b") + p["x"] / 10))
    assert shares["kind"] == pytest.approx(0.75, abs=0.02)


@pytest.mark.parametrize(
    "data", [points(9, lambda p: p["x"]), points(50, lambda p: 1.0), []], ids=["few", "alike", "none"]
)
def test_too_little_to_tell_is_none(data):
    assert importances([X, Y], data) == {"x": None, "y": None}


def test_a_conditional_parameter_is_judged_where_it_is_active():
    data = points(300, lambda p: (p["kind"] == "b") * (1 + p["x"]))
    hidden = [({k: v for k, v in p.items() if k != "x" or p["kind"] == "b"}, loss) for p, loss in data]
    shares = importances([X, KIND], hidden)
    assert shares["kind"] > 0.7  # being active is the choice's doing,
    assert 0.05 < shares["x"] < 0.3  # the value is the parameter's
    rare = [(p if i < 5 else {"kind": p["kind"]}, loss) for i, (p, loss) in enumerate(data)]
    assert importances([X], rare)["x"] is None


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(-1000, 1000)), min_size=10, max_size=60))
def test_shares_lie_between_0_and_1_and_only_the_order_of_losses_counts(pairs):
    one = importances([X], [({"x": x}, float(loss)) for x, loss in pairs])["x"]
    other = importances([X], [({"x": x}, float(loss) ** 3 - 5) for x, loss in pairs])["x"]
    assert one == other
    assert one is None or 0 <= one <= 1
