import csv
import io
import json

import pytest
import report_trials as made

from hpcho import space
from hpcho.report import best, rows, trial_rows, write_csv
from hpcho.trial import Attempt, Cause, Failure, TrialState


def written(trials, of=made.SPACE):
    file = io.StringIO(newline="")
    write_csv(of, rows(of, trials), file)
    return list(csv.DictReader(io.StringIO(file.getvalue(), newline="")))


def test_a_row_has_the_keys_of_the_json_document():
    assert trial_rows(made.SPACE, [made.done(3, 0.5, took=2.0)]) == [
        {
            "tid": 3,
            "state": "done",
            "status": "ok",
            "loss": 0.5,
            "params": {"units": 64, "lr": 1e-3, "optimizer": "rmsprop", "fixed": "only"},
            "duration_s": 2.0,
            "owner": "node01:4242",
            "attempts": 1,
            "cause": None,
            "error": None,
            "interruptions": [],
            "pruned": False,
            "parent": None,
            "infeasible": False,
        }
    ]


def test_a_trial_of_which_nobody_knows_when_has_no_times():
    (cells,) = written([made.untimed(made.done(0, 0.5))])
    assert (cells["loss"], cells["duration_s"], cells["started"], cells["finished"]) == ("0.5", "", "", "")


def test_what_the_infrastructure_has_ended_is_told_apart():
    attempts = (
        Attempt(made.OWNER, 0.0, 1.0, Cause.PREEMPTED, "its job 7_0 was preempted on gpu1", saved=True),
        Attempt(made.OWNER, 1.0, 2.0, Cause.NODE, "node gpu1 failed"),
        Attempt(None, 2.0, 3.0, Cause.OBJECTIVE, "ValueError"),
        Attempt(made.OWNER, 3.0, 4.0),
    )
    trial = made.trial(0, TrialState.DONE, attempts=attempts, result=made.done(0, 1.0).result)
    (row,) = rows(made.SPACE, [trial])
    assert row.interrupted == "preempted 1, node 1 (1 saved)"
    assert row.to_json()["interruptions"] == [
        {"cause": "preempted", "saved": True, "owner": "node01:4242", "error": "its job 7_0 was preempted on gpu1"},
        {"cause": "node", "saved": False, "owner": "node01:4242", "error": "node gpu1 failed"},
    ]
    assert written([trial])[0]["interrupted"] == row.interrupted


def test_a_failed_trial_shows_its_last_attempt():
    (row,) = trial_rows(made.SPACE, [made.failed(0, Failure(Cause.OOM, "more than 8 GB"), took=3.0, times=2)])
    assert (row["state"], row["status"], row["loss"], row["cause"], row["error"]) == (
        "error",
        None,
        None,
        "oom",
        "more than 8 GB",
    )
    assert (row["attempts"], row["duration_s"], row["owner"]) == (2, 3.0, "node01:4242")


def test_a_trial_that_waits_or_runs_has_no_result_yet():
    waiting, at_work = rows(made.SPACE, [made.new(0), made.running(1)])
    assert (waiting.state, waiting.owner, waiting.attempts, waiting.duration_s, waiting.started) == (
        "new",
        None,
        0,
        None,
        None,
    )
    assert (at_work.state, at_work.owner, at_work.attempts) == ("running", "node01:4242", 1)
    assert (at_work.started, at_work.finished) == ("1970-01-01T00:25:00Z", None)


def test_a_loss_that_is_not_finite_is_null():
    losses = [row["loss"] for row in trial_rows(made.SPACE, [made.done(0, float("nan")), made.done(1, float("inf"))])]
    assert losses == [None, None]


def test_a_clock_set_back_makes_no_negative_duration():
    (row,) = rows(made.SPACE, [made.done(0, 0.5, took=-50.0)])
    assert row.duration_s == 0.0


@pytest.mark.parametrize("trials", made.ODD.values(), ids=made.ODD)
def test_rows_are_json_whatever_the_trials(trials):
    json.dumps(trial_rows(made.SPACE, trials), allow_nan=False)
    json.dumps(best(made.SPACE, trials), allow_nan=False)


def test_inactive_params_are_absent():
    sgd = made.done(0, 1.0, {"optimizer": "sgd", "momentum": 0.9})
    with_momentum, without = trial_rows(made.SPACE, [sgd, made.done(1, 1.0)])
    assert with_momentum["params"]["momentum"] == 0.9
    assert "momentum" not in without["params"]


def test_best_is_the_least_loss_and_of_equal_ones_the_first():
    trials = [made.done(5, 0.2), made.failed(1), made.done(2, 0.2, took=4.0, accuracy=0.9), made.done(0, 0.7)]
    assert best(made.SPACE, trials) == {
        "tid": 2,
        "loss": 0.2,
        "params": {"units": 64, "lr": 1e-3, "optimizer": "rmsprop", "fixed": "only"},
        "result": {"loss": 0.2, "status": "ok", "accuracy": 0.9, "attachments": []},
        "duration_s": 4.0,
    }


def test_there_is_no_best_without_a_usable_loss():
    assert (
        best(made.SPACE, [made.failed(0), made.new(1), made.done(2, float("inf")), made.done(3, None, status="fail")])
        is None
    )


def test_csv_keeps_params_apart_from_columns_and_inactive_ones_empty():
    of = space.build({"loss": {"choice": [None, "a"]}, "state": {"float": [-1, 1]}})
    first, second = written(
        [made.done(0, 0.5, {"loss": None, "state": -0.5}, of=of), made.failed(1, None, {"loss": "a"}, of=of)], of
    )
    assert (first["loss"], first["params.loss"], first["params.state"]) == ("0.5", "null", "-0.5")
    assert (second["loss"], second["params.loss"], second["state"]) == ("", "a", "error")
    assert written([made.done(0, 0.5)])[0]["params.momentum"] == ""


@pytest.mark.parametrize("text", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1"])
def test_csv_cells_are_no_formulas(text):
    of = space.build({"x": {"choice": [text, "b"]}})
    (row,) = written([made.failed(0, Failure(Cause.OBJECTIVE, text), {"x": text}, of=of)], of)
    assert row["error"] == row["params.x"] == f"'{text}"


def test_csv_numbers_stay_numbers():
    of = space.build({"x": {"choice": ["-1e5", "b"]}, "y": {"int": [-9, -3]}})
    (row,) = written([made.done(0, -0.25, {"x": "-1e5", "y": -4}, of=of)], of)
    assert (row["loss"], row["params.x"], row["params.y"]) == ("-0.25", "-1e5", "-4")


def test_csv_keeps_the_lines_of_an_error():
    error = 'Traceback:\n  File "a, b"\r\nValueError: "no"'
    assert written([made.failed(0, Failure(Cause.OBJECTIVE, error))])[0]["error"] == error


def test_times_are_those_of_the_last_attempt():
    attempts = (Attempt(made.OWNER, 0.0, 10.0, Cause.TIMEOUT, "slow"), Attempt(made.OWNER, 60.0, 61.5))
    done = made.trial(0, TrialState.DONE, attempts=attempts, result=made.done(0, 1.0).result)
    (row,) = rows(made.SPACE, [done])
    assert (row.started, row.finished, row.duration_s) == ("1970-01-01T00:01:00Z", "1970-01-01T00:01:01Z", 1.5)
