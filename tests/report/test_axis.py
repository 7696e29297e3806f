import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcho.report.axis import Axis, duration_axis, loss_axis, number, text_of

FLOATS = st.floats(allow_nan=False, allow_infinity=False)


def texts(axis, count=5):
    return [tick.text for tick in axis.ticks(count)]


def test_numbers_stand_in_proportion():
    axis = Axis("x", "linear", 10, 20)
    assert [axis.place(x) for x in (10, 15, 20, 25, 5)] == [0.0, 0.5, 1.0, 1.5, -0.5]


def test_logarithmic_axes_go_by_ratios():
    axis = Axis("lr", "log", 1e-5, 1e-1)
    assert axis.place(1e-3) == pytest.approx(0.5)
    assert axis.place(0) is None
    assert axis.place(-1.0) is None


def test_categories_stand_in_the_middle_of_their_share():
    axis = Axis("x", "categorical", categories=("a", "b"))
    assert [axis.place(x) for x in ("a", "b", "c")] == [0.25, 0.75, None]


@pytest.mark.parametrize("value", [None, "a", True, [1], math.nan, math.inf, 10**400])
def test_what_is_no_number_has_no_place_among_numbers(value):
    assert Axis("x", "linear", 0, 1).place(value) is None


def test_a_number_and_its_text_are_two_categories():
    assert [text_of(x) for x in (1, "1", None, "null", True, "relu", [1, "a"])] == [
        "1", '"1"', "null", '"null"', "true", "relu", '[1, "a"]',
    ]  # fmt: skip


def test_ticks_are_round():
    assert texts(Axis("x", "linear", 12, 256)) == ["50", "100", "150", "200", "250"]
    assert texts(Axis("x", "linear", 0, 1)) == ["0", "0.2", "0.4", "0.6", "0.8", "1"]
    assert texts(Axis("x", "linear", 0.123451, 0.123456)) == [
        "0.123451",
        "0.123452",
        "0.123453",
        "0.123454",
        "0.123455",
        "0.123456",
    ]
    assert texts(Axis("x", "linear", 1, 3, integer=True)) == ["1", "2", "3"]
    assert texts(Axis("lr", "log", 1e-5, 1e-1)) == ["1e-5", "1e-4", "0.001", "0.01", "0.1"]
    assert texts(Axis("x", "log", 1, 40)) == ["1", "2", "5", "10", "20"]


def test_many_categories_have_ticks_for_some():
    axis = Axis("x", "categorical", categories=tuple(map(str, range(100))))
    assert texts(axis, 5) == ["0", "20", "40", "60", "80"]


@given(FLOATS, FLOATS, st.booleans())
def test_ticks_stand_on_the_axis_in_order_and_differ(one, other, log):
    low, high = sorted(max(min(x, 1e100), -1e100) for x in (one, other))
    axis = Axis("x", "log" if log and low > 0 else "linear", low, high)
    ticks = axis.ticks()
    assert 1 <= len(ticks) <= 16
    assert all(-0.001 <= tick.at <= 1.001 for tick in ticks)
    assert [tick.at for tick in ticks] == sorted(tick.at for tick in ticks)
    assert len({tick.text for tick in ticks}) == len(ticks)


@given(st.lists(FLOATS, min_size=1))
def test_a_loss_axis_holds_most_losses(losses):
    axis = loss_axis(losses)
    places = [axis.place(x) for x in losses]
    assert axis.low <= axis.high
    assert None not in places
    assert sum(0 <= at <= 1 for at in places) * 2 >= len(losses)


def test_far_losses_fall_outside_of_the_axis():
    axis = loss_axis([0.1, 0.2, 0.3, 0.4, 0.5, 1e30])
    assert (axis.kind, axis.low, axis.high) == ("linear", 0.1, 0.5)
    assert axis.place(1e30) > 1


def test_losses_over_orders_of_magnitude_make_a_logarithmic_axis():
    assert loss_axis([10.0**k for k in range(-3, 4)]).kind == "log"
    assert loss_axis([-1.0, *(10.0**k for k in range(-3, 4))]).kind == "linear"


def test_equal_losses_stand_in_the_middle():
    assert loss_axis([0.5, 0.5]).place(0.5) == 0.5
    assert loss_axis([]).place(0.5) == 0.5


def test_times_are_shown_in_a_unit_that_fits():
    assert duration_axis([1, 100])[0].unit == "s"
    assert duration_axis([1, 1000], log=False) == (Axis("duration", "linear", 0.0, 1000 / 60, unit="min"), 60.0)
    assert duration_axis([1, 50_000])[0] == Axis("duration", "log", 1 / 3600, 50_000 / 3600, unit="h")
    assert duration_axis([])[0].unit == "s"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.123456, "0.1235"),
        (12345678.0, "1.235e7"),
        (64, "64"),
        (0.0002, "2e-4"),
        (0.0, "0"),
        (1e5, "100000"),
        (-3.5, "-3.5"),
    ],
)
def test_numbers_are_short(value, text):
    assert number(value) == text
