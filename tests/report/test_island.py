import json
from dataclasses import replace

import pytest
import report_trials as made

from hpcho import space
from hpcho.report import island as islands
from hpcho.report import summarise
from hpcho.trial import Attempt, Cause, Failure, Report, TrialState


def island(trials, of=made.SPACE, **options):
    summary = summarise(made.EXPERIMENT, of, trials, elapsed_s=60.0)
    return json.loads(islands.island(summary, trials, None, None, **options))


def column(data, name):
    (found,) = [one for one in data["params"] if one["name"] == name]
    return found


@pytest.mark.parametrize("trials", made.ODD.values(), ids=made.ODD)
def test_any_trials_make_a_document_of_columns(trials):
    trials = sorted(trials, key=lambda trial: trial.tid)
    data = island(trials)
    assert data["trials"]["tid"] == [trial.tid for trial in trials]
    assert {len(one["values"]) for one in data["params"]} <= {len(trials)}


def test_an_inactive_param_is_null_and_no_number():
    data = island([made.done(0, 0.5), made.done(1, 0.4, {"optimizer": "sgd", "momentum": 0.0})])
    assert column(data, "momentum") == {"name": "momentum", "values": [None, 0.0]}


def test_an_option_of_none_is_not_taken_for_an_inactive_one():
    of = space.build({"x": {"choice": [None, "a", 1, "1"]}})
    data = island([made.done(i, 0.5, {"x": x}, of=of) for i, x in enumerate(("1", None, 1))], of)
    assert column(data, "x") == {"name": "x", "values": [3, 0, 2], "texts": ["null", "a", "1", '"1"']}


def test_nothing_in_it_ends_the_element_that_holds_it():
    error = "</script><!-- <script> \u2028 &amp; \udcff"
    summary = summarise(made.EXPERIMENT, made.SPACE, [made.failed(0, Failure(Cause.OBJECTIVE, error))], elapsed_s=1.0)
    text = islands.island(summary, [made.failed(0, Failure(Cause.OBJECTIVE, error))], None, None)
    assert not {"<", ">", "\u2028"} & set(text)
    written = text.encode("utf-8", errors="backslashreplace").decode()
    assert json.loads(written)["trials"]["errors"] == [error]


def test_alike_errors_are_kept_once_and_of_too_many_their_ends(monkeypatch):
    same = [made.failed(tid, Failure(Cause.OBJECTIVE, "ValueError: no")) for tid in range(3)]
    assert island(same)["trials"]["error"] == [0, 0, 0]
    monkeypatch.setattr(islands, "ERRORS", 1000)
    apart = [made.failed(tid, Failure(Cause.OBJECTIVE, f"{tid}{'x' * 600}{tid}")) for tid in range(3)]
    assert [len(text) for text in island(apart)["trials"]["errors"]] == [602, 201, 201]


def test_steps_tell_what_was_spent_until_then():
    trials = [made.failed(0, start=0, took=10), made.done(1, 0.5, start=2, took=3), made.done(2, 0.4, start=20, took=5)]
    assert island(trials)["steps"] == {"trial": [1, 0, 2], "seconds": [5.0, 10.0, 25.0], "work": [3.0, 13.0, 18.0]}


def test_learning_curves_are_thinned_and_keep_their_last_step():
    told = (*(Report(step, 1.0) for step in range(1000)), Report(999, 0.25))
    (curve,) = island([replace(made.done(0, 0.25), reports=told), made.done(1, 0.5)])["curves"]
    assert curve["trial"] == 0
    assert len(curve["points"]) <= islands.CURVE_POINTS
    assert curve["points"][-1] == [999, 0.25]


def test_of_many_learning_curves_the_best_are_there(monkeypatch):
    monkeypatch.setattr(islands, "CURVES", 4)
    trials = [replace(made.done(tid, float(20 - tid)), reports=(Report(0, 1.0),)) for tid in range(20)]
    drawn = [curve["trial"] for curve in island(trials)["curves"]]
    assert drawn[:2] == [19, 18]
    assert len(drawn) == 4


def test_many_numbers_are_rounded(monkeypatch):
    monkeypatch.setattr(islands, "VALUES", 1)
    assert column(island([made.done(0, 0.5, {"lr": 0.00123456789})]), "lr")["values"] == [0.00123457]


def test_causes_tell_what_they_cost():
    attempt = Attempt(made.OWNER, 0.0, 9.0, Cause.PREEMPTED, "gone")
    data = island([made.trial(0, TrialState.NEW, attempts=(attempt,))])
    assert data["causes"] == [["preempted", 9.0, 1, 0, True]]
    assert data["timeline"]["outcome"] == ["preempted"]


def test_pruned_trials_are_marked_and_promoted_ones_lead_to_them():
    data = island([made.pruned(3, 0.5), made.done(4, 0.7), made.promoted(8, 3, 0.4)])
    assert data["trials"]["state"] == ["pruned", "done", "done"]
    assert data["timeline"]["outcome"] == ["pruned", "ok", "ok"]
    assert (data["pruned"], data["parents"]) == ([0], {"2": 0})
    assert data["best"] == 2
