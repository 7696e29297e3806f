import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcho.report import importance
from hpcho.report.axis import Axis

X, Y = Axis("x", "linear", 0, 1), Axis("y", "linear", 0, 1)
KIND = Axis("kind", "categorical", categories=("a", "b"))


def points(count, loss, seed=0):
    rng = random.Random(seed)
    params = [{"x": rng.random(), "y": rng.random(), "kind": rng.choice("ab")} for _ in range(count)]
    return [(p, loss(p)) for p in params]


def importances(axes, data):
    """The shares alone."""
    return {name: share and share.value for name, share in importance.importances(axes, data).items()}


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


def test_the_confidence_interval_holds_the_share_and_narrows_with_more_trials():
    def noisy(count):
        rng = random.Random(5)
        return importance.importances([X], points(count, lambda p: p["x"] + rng.random()))["x"]

    few, many = noisy(40), noisy(2000)
    assert all(0 <= share.low <= share.value <= share.high <= 1 for share in (few, many))
    assert many.high - many.low < (few.high - few.low) / 3


def test_nine_in_ten_confidence_intervals_hold_the_truth():
    # x and noise of equal spread: x explains half of the variance, of the ranks a little less.
    def noisy(count, seed):
        rng = random.Random(-1 - seed)
        return importance.importances([X], points(count, lambda p: p["x"] + rng.random(), seed))["x"]

    truth = noisy(20_000, 0).value
    assert truth == pytest.approx(0.5, abs=0.03)
    held = [share.low <= truth <= share.high for share in (noisy(200, seed) for seed in range(1, 101))]
    assert 80 <= sum(held) <= 98
