from dataclasses import replace

import pytest
import report_trials as made
from hypothesis import given
from hypothesis import strategies as st

from hpcho import space
from hpcho.errors import UsageError
from hpcho.experiment.schema import ObjectiveSpec
from hpcho.report import summarise
from hpcho.report.axis import Axis
from hpcho.report.summary import CauseCount, Step, choose_pair
from hpcho.trial import Attempt, Cause, Failure, TrialState


def summary_of(trials, of=made.SPACE, elapsed_s=60.0):
    return summarise(made.EXPERIMENT, of, trials, elapsed_s=elapsed_s)


def test_counts_by_state_and_end():
    oom = Failure(Cause.OOM, "more than 8 GB")
    retried = made.trial(
        6,
        TrialState.DONE,
        attempts=(Attempt(made.OWNER, 1000, 1004, Cause.NODE, "gone"), Attempt(made.OWNER, 1005, 1006)),
        result=made.done(6, 0.1).result,
    )
    trials = [
        made.done(0, 0.5),
        made.done(1, None, status="fail"),
        made.failed(2, took=3.0),
        made.failed(3, oom, took=2.0, times=2),
        made.running(4),
        made.new(5),
        retried,
    ]
    summary = summary_of(trials)
    assert summary.states == {"new": 1, "running": 1, "done": 3, "error": 2, "cancel": 0}
    assert (summary.ok, summary.failed, summary.rejected, summary.wanted) == (2, 2, 1, 80)
    assert summary.causes == (
        CauseCount("oom", 1, 2, 4.0),
        CauseCount("objective", 1, 1, 3.0),
        CauseCount("node", 0, 1, 4.0),
    )
    assert [cause.is_infrastructure for cause in summary.causes] == [False, False, True]
    assert (summary.spent_s, summary.wasted_s) == (14.0, 11.0)
    assert summary.best.tid == 6
    assert summary.trials_per_hour == 5 * 60


def test_time_whose_work_was_saved_is_not_lost():
    attempts = (
        Attempt(made.OWNER, 0, 10, Cause.PREEMPTED, "its job was preempted", saved=True),
        Attempt(made.OWNER, 20, 23, Cause.PREEMPTED, "its job was preempted"),
    )
    summary = summary_of([made.trial(0, TrialState.NEW, attempts=attempts)])
    assert summary.causes == (CauseCount("preempted", 0, 2, 3.0, saved=1),)
    assert (summary.spent_s, summary.wasted_s) == (13.0, 3.0)


def test_steps_follow_the_order_of_ends():
    trials = [
        made.done(0, 0.5, start=0, took=10),
        made.done(1, 0.7, start=1, took=2),
        made.failed(2, start=5, took=1),
        made.done(3, 0.6, start=7, took=20),
    ]
    assert summary_of(trials).steps == (
        Step(1, 3.0, 0.7, 0.7),
        Step(2, 6.0, None, 0.7),
        Step(0, 10.0, 0.5, 0.5),
        Step(3, 27.0, 0.6, 0.5),
    )


def test_trials_of_which_nobody_knows_when_have_ends_without_a_time():
    summary = summary_of(made.ODD["partly untimed"])
    assert summary.steps == (Step(0, None, 0.5, 0.5), Step(1, 1.0, 0.7, 0.5), Step(2, 6.0, 0.6, 0.5))
    assert [row.duration_s for row in summary.rows] == [None, 1.0, 1.0]
    assert summary.tradeoff.front == (2,)


def test_values_of_which_no_scale_is_known_get_a_logarithmic_axis_where_they_spread_over_decades():
    tried = [{"lr": [10 ** -(5 - tid / 10)], "x": [tid / 10], "t": [tid / 10 - 1.0]} for tid in range(40)]
    trials = [replace(made.done(tid, 1.0 + tid), vals=vals) for tid, vals in enumerate(tried)]
    summary = summary_of(trials, space.observed(trials))
    assert {axis.name: axis.kind for axis in summary.axes} == {"lr": "log", "x": "linear", "t": "linear"}


def test_the_sampler_of_another_program_is_not_known():
    nobody_s = made.EXPERIMENT.model_copy(update={"objective": ObjectiveSpec.model_construct()})
    assert summarise(nobody_s, made.SPACE, [], elapsed_s=0.0).sampler is None
    assert summary_of([]).sampler == "auto"


@given(st.lists(st.tuples(st.floats(-10, 10), st.floats(0, 100), st.floats(0, 100)), max_size=30))
def test_the_best_so_far_never_gets_worse_and_the_front_is_what_nobody_beats(data):
    summary = summary_of([made.done(tid, loss, start=start, took=took) for tid, (loss, start, took) in enumerate(data)])
    bests = [step.best for step in summary.steps]
    assert bests == sorted(bests, reverse=True)
    if data:
        assert bests[-1] == summary.best.loss == min(loss for loss, _, _ in data)
    rows = {row.tid: (row.loss, row.duration_s) for row in summary.rows}
    beaten = {
        tid
        for tid, (loss, took) in rows.items()
        if any(other != (loss, took) and other[0] <= loss and other[1] <= took for other in rows.values())
    }
    assert not beaten & set(summary.tradeoff.front)
    assert {rows[tid] for tid in summary.tradeoff.front} == {rows[tid] for tid in rows if tid not in beaten}


def test_axes_are_the_parameters_that_vary():
    summary = summary_of([made.done(0, 0.5)])
    assert summary.axes == (
        Axis("units", "linear", 12.0, 256.0, integer=True),
        Axis("lr", "log", 1e-5, 1e-1),
        Axis("optimizer", "categorical", categories=("rmsprop", "sgd")),
        Axis("momentum", "linear", 0.0, 0.99),
    )
    assert summary.param_names == ("units", "lr", "optimizer", "momentum", "fixed")


def test_a_name_in_two_options_is_one_axis():
    of = space.build(
        {"model": {"choice": [{"small": {"width": {"int": [1, 8]}}}, {"large": {"width": {"int": [64, 512]}}}]}}
    )
    width = next(axis for axis in summary_of(made.sampled(20, of), of).axes if axis.name == "width")
    assert (width.kind, width.low, width.high) == ("linear", 1.0, 512.0)


def test_unbounded_and_structured_parameters_have_axes_from_what_was_seen():
    of = space.build(
        {"n": {"hp": "normal(0, 1)"}, "q": {"hp": "qloguniform(0, 5, 1)"}, "m": {"hp": "choice([[1, 2], {'a': 3}])"}}
    )
    axes = {axis.name: axis for axis in summary_of(made.sampled(40, of), of).axes}
    assert axes["n"].low < 0 < axes["n"].high
    assert axes["m"].categories == ("[1, 2]", '{"a": 3}')


def test_every_option_of_a_choice_has_its_place():
    of = space.build({"x": {"choice": [1, "1", None, True, {"value": {"a": 1}}, {"sgd": {"m": {"float": [0, 1]}}}]}})
    summary = summary_of(made.sampled(100, of), of)
    assert len(summary.axes[0].categories) == 6
    assert all(summary.axes[0].place(row.params["x"]) is not None for row in summary.rows)


def test_the_pair_is_the_most_important_one_that_is_active_together():
    trials = made.sampled(200)
    assert set(summary_of(trials).pair) < {"units", "lr", "optimizer"}  # momentum is active in half of the trials only
    apart = space.build({"c": {"choice": [{"a": {"x": {"float": [0, 1]}}}, {"b": {"y": {"float": [0, 1]}}}]}})
    assert set(summary_of(made.sampled(60, apart), apart).pair) != {"x", "y"}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("units", "momentun"), "no parameter is called 'momentun'; did you mean 'momentum'?"),
        (("units", "fixed"), "parameter 'fixed' has one value only, so it spans no axis; choose another"),
        (("lr", "lr"), "'lr' is named twice; name two different parameters"),
    ],
)
def test_wrong_axes_are_explained(names, message):
    with pytest.raises(UsageError) as caught:
        choose_pair(summary_of([]), names)
    assert str(caught.value).startswith(f"--axes: {message}")


def test_given_axes_are_taken():
    assert [axis.name for axis in choose_pair(summary_of([]), ("momentum", "units"))] == ["momentum", "units"]


@pytest.mark.parametrize("trials", made.ODD.values(), ids=made.ODD)
def test_any_trials_have_a_summary(trials):
    summary = summary_of(trials, elapsed_s=0.0)
    assert sum(summary.states.values()) == len(trials)
    assert summary.trials_per_hour is None


def test_a_pruned_trial_is_no_part_of_the_best_so_far():
    summary = summary_of([made.pruned(0, 0.1, start=0), made.done(1, 0.7, start=1), made.done(2, 0.5, start=2)])
    assert [step.best for step in summary.steps] == [None, 0.7, 0.5]
    assert summary.best.tid == 2


def with_goals(minimise, constraints=()):
    return made.EXPERIMENT.model_copy(update={"minimise": tuple(minimise), "constraints": tuple(constraints)})


SIZED = [
    made.done(0, 0.5, start=0, took=9.0, size=3.0),
    made.done(1, 0.4, start=1, took=8.0, size=4.0),
    made.done(2, 0.6, start=2, took=1.0, size=5.0),
    made.done(3, 0.1, start=3, took=5.0, size=99.0),
    made.done(4, 0.2, start=4, took=5.0),
]


def test_what_is_minimised_is_drawn_against_each_other():
    summary = summarise(with_goals(["loss", "size"], ["size < 9"]), made.SPACE, SIZED, elapsed_s=1.0)
    assert summary.tradeoff.title == "Loss against size"
    assert summary.tradeoff.front == (0, 1)
    assert summary.tradeoff.is_line
    assert summary.tradeoff.places == {0: (3.0, 0.5), 1: (4.0, 0.4), 2: (5.0, 0.6), 3: (99.0, 0.1)}
    assert [row.infeasible for row in summary.rows] == [False, False, False, True, True]


def test_time_lies_across_whichever_comes_first():
    summary = summarise(with_goals(["duration_s", "size"]), made.SPACE, SIZED, elapsed_s=1.0)
    assert summary.tradeoff.title == "Size against duration"
    assert summary.tradeoff.front == (2, 1, 0)
    assert summary.best.tid == 2


def test_of_three_numbers_the_first_two_are_drawn_and_no_line():
    summary = summarise(with_goals(["loss", "size", "duration_s"]), made.SPACE, SIZED, elapsed_s=1.0)
    assert not summary.tradeoff.is_line
    assert set(summary.tradeoff.front) == {0, 1, 2, 3}


def test_only_feasible_trials_are_the_best():
    summary = summarise(with_goals(["loss"], ["size < 9"]), made.SPACE, SIZED, elapsed_s=1.0)
    assert summary.best.tid == 1
    assert [step.best for step in summary.steps][-1] == 0.4
