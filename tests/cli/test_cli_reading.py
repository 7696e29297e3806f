"""status, trials, best, report."""

import csv
import io
import json

import pytest


@pytest.mark.parametrize("command", ["status", "trials", "best", "report", "worker"])
def test_before_the_first_run_it_says_what_starts_one(bench, hpcho, command):
    done = hpcho(command, bench.yaml)
    assert done.returncode == 2
    assert "no run yet" in done.stderr
    assert f"`hpcho run {bench.yaml}` starts one" in done.stderr


def test_a_damaged_record_is_named(run, hpcho):
    run.jobdir.record_file.write_text("{")
    done = hpcho("status", run.yaml)
    assert done.returncode == 2
    assert f"{run.jobdir.record_file} is damaged" in done.stderr


def test_status_json(run, hpcho):
    document = json.loads(hpcho("status", run.yaml, "--json").stdout)
    assert document["name"] == "lab"
    assert document["state"] == "idle"
    assert document["trials"] == {"new": 1, "running": 0, "done": 3, "error": 1, "cancel": 0}
    assert document["best"] == {
        "tid": 1,
        "loss": 0.25,
        "params": {"x": 0.5, "units": 32, "optimizer": "sgd", "momentum": 0.25},
    }
    assert document["workers"] == []
    assert document["failures"] == {"objective": 1}
    assert {"elapsed_s", "trials_per_hour"} <= set(document)


def test_status_for_people(run, hpcho):
    lines = hpcho("status", run.yaml).stdout.splitlines()
    assert lines[0] == "lab"
    assert "  trials    new 1  done 3  error 1  of 12 wanted" in lines
    assert "  best      loss 0.25  trial 1" in lines
    assert "            x=0.5  units=32  optimizer=sgd  momentum=0.25" in lines
    assert "  failures  objective 1" in lines


def test_status_shows_who_works_on_what(bench, hpcho):
    from hpcho.trial import Owner

    bench.add({"x": 1.0})
    store = bench.store()
    store.claim(Owner("node7", 4711))
    store.close()
    document = json.loads(hpcho("status", bench.yaml, "--json").stdout)
    assert [(worker["owner"], worker["tid"]) for worker in document["workers"]] == [("node7:4711", 0)]
    assert "node7:4711  trial 0" in hpcho("status", bench.yaml).stdout


def test_interruptions_are_shown_apart_and_whether_work_was_saved(bench, hpcho):
    from hpcho.trial import Cause, Failure, Owner, TrialState

    bench.add({"x": 1.0})
    store = bench.store()
    for saved in (True, False):
        trial = store.claim(Owner("gpu1", 4711))
        lost = Failure(Cause.PREEMPTED, "its job 7_0 was preempted on gpu1", saved=saved)
        store.move(trial, TrialState.NEW, failure=lost)
    store.close()
    document = json.loads(hpcho("status", bench.yaml, "--json").stdout)
    assert (document["interrupted"], document["saved"], document["failures"]) == ({"preempted": 2}, 1, {})
    said = hpcho("status", bench.yaml).stdout
    assert "  interrupted  preempted 2  (tried again; 1 had saved work, and went on from there)" in said
    assert "preempted 2 (1 saved)" in hpcho("trials", bench.yaml).stdout


def test_watch_ends_with_the_run(run, hpcho):
    store = run.store()
    store.put("end", {"reason": "trials", "message": "3 successful trials", "usable": True})
    store.close()
    done = hpcho("status", run.yaml, "--watch")
    assert done.returncode == 0
    assert "3 successful trials" in done.stdout


def test_trials_json(run, hpcho):
    rows = json.loads(hpcho("trials", run.yaml, "--json").stdout)
    assert [row["state"] for row in rows] == ["done", "done", "done", "error", "new"]
    assert [row["status"] for row in rows] == ["ok", "ok", "fail", None, None]
    assert [row["loss"] for row in rows] == [1.0, 0.25, None, None, None]
    assert rows[1]["params"] == {"x": 0.5, "units": 32, "optimizer": "sgd", "momentum": 0.25}
    assert "momentum" not in rows[0]["params"]
    assert rows[3]["cause"] == "objective"
    assert rows[3]["error"].endswith("ValueError: no such optimizer")
    assert rows[4]["attempts"] == 0
    keys = {"tid", "state", "status", "loss", "params", "duration_s", "owner", "attempts", "cause", "error"}
    keys |= {"interruptions", "pruned", "parent", "infeasible"}
    assert all(set(row) == keys for row in rows)


def test_trials_csv_has_a_column_a_param(run, hpcho):
    rows = list(csv.DictReader(io.StringIO(hpcho("trials", run.yaml, "--csv").stdout)))
    assert len(rows) == 5
    assert rows[1]["params.momentum"] == "0.25"
    assert rows[0]["params.momentum"] == ""
    assert rows[0]["loss"] == "1.0"


def test_trials_for_people_show_the_last_line_of_an_error(run, hpcho):
    lines = hpcho("trials", run.yaml).stdout.splitlines()
    assert lines[0].split() == [
        "tid",
        "state",
        "loss",
        "x",
        "units",
        "optimizer",
        "momentum",
        "time",
        "tries",
        "cause",
        "error",
    ]
    assert lines[3].split()[:3] == ["2", "done", "(fail)"]
    assert lines[4].endswith("objective  ValueError: no such optimizer")
    assert len(lines) == 6


def test_a_run_without_trials_is_no_error(bench, hpcho):
    bench.make_job_dir()
    assert hpcho("trials", bench.yaml).stdout == "no trials yet\n"
    assert json.loads(hpcho("trials", bench.yaml, "--json").stdout) == []
    assert json.loads(hpcho("status", bench.yaml, "--json").stdout)["best"] is None


def test_best_json(run, hpcho):
    document = json.loads(hpcho("best", run.yaml, "--json").stdout)
    assert document.pop("duration_s") >= 0
    assert document == {
        "tid": 1,
        "loss": 0.25,
        "params": {"x": 0.5, "units": 32, "optimizer": "sgd", "momentum": 0.25},
        "result": {"loss": 0.25, "status": "ok", "val_accuracy": 0.9, "attachments": []},
    }


def test_best_for_people(run, hpcho):
    text = hpcho("best", run.yaml).stdout
    assert "trial        1\n" in text or text.startswith("trial")
    assert "momentum" in text
    assert "0.25" in text


def test_best_without_a_usable_trial_is_exit_1(bench, hpcho):
    bench.fail({"x": 1.0})
    done = hpcho("best", bench.yaml, "--json")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "no trial has a loss yet" in done.stderr


def test_the_job_directory_and_its_own_yaml_name_the_run_too(run, hpcho):
    expected = hpcho("trials", run.yaml, "--json").stdout
    for path in (run.jobdir.path, run.jobdir.path / "experiment.yaml"):
        assert hpcho("trials", path, "--json").stdout == expected


def test_a_folder_that_is_no_job_directory_is_said(run, hpcho):
    done = hpcho("status", run.folder)
    assert done.returncode == 2
    assert "not a job directory" in done.stderr


def test_an_edited_space_does_not_change_what_was_tried(run, hpcho):
    expected = hpcho("trials", run.yaml, "--json").stdout
    run.write('name: lab\nobjective: {python: "gone.py:objective"}\nspace: {y: {float: [0, 1]}}\nbudgets: 7\n')
    assert hpcho("trials", run.yaml, "--json").stdout == expected


def test_the_report_lands_in_the_job_directory_or_where_asked(run, hpcho):
    done = hpcho("report", run.yaml)
    assert done.returncode == 0, done.stderr
    assert (run.jobdir.report / "report.html").exists()
    assert done.stdout == f"wrote {run.jobdir.report / 'report.html'}\n"
    hpcho("report", run.yaml, "--out", "elsewhere", "--axes", "x", "units")
    assert (run.folder / "elsewhere" / "report.html").exists()
    assert (run.folder / "elsewhere" / "trials.csv").exists()


def test_axes_that_are_no_params_are_refused(run, hpcho):
    done = hpcho("report", run.yaml, "--axes", "x", "unis")
    assert done.returncode == 2
    assert "unis" in done.stderr


def test_the_report_s_figures_come_in_the_formats_asked_for(run, hpcho):
    assert hpcho("report", run.yaml, "--figures", "pdf").returncode == 0
    assert {path.suffix for path in (run.jobdir.report / "figures").iterdir()} == {".pdf"}
    done = hpcho("report", run.yaml, "--figures", "pdf,gif")
    assert done.returncode == 2
    assert "figures cannot be written as gif; choose from svg, png, pdf" in done.stderr


def test_a_report_that_is_watched_is_written_until_the_run_ends(run, monkeypatch, capsys):
    from hpcho.cli import reporting

    page = run.jobdir.report / "report.html"
    seen = []

    def look(_):
        # Between two looks at the store a trial fails; then the run ends.
        seen.append(page.read_text(encoding="utf-8"))
        if len(seen) == 1:
            run.fail({"x": 2.0, "units": 8, "optimizer": "adam"}, "ValueError: a late one")
        else:
            store = run.store()
            store.put("end", {"reason": "trials", "message": "enough", "usable": True})
            store.close()

    monkeypatch.setattr(reporting.time, "sleep", look)
    reporting.report(str(run.yaml), watch=True)
    first, second = seen
    assert 'data-reload="5"' in first
    assert "finished: enough" in page.read_text(encoding="utf-8")
    assert "a late one" in second
    assert 'data-reload=""' in page.read_text(encoding="utf-8")
    assert (run.jobdir.report / "figures" / "progress.svg").exists()
    assert capsys.readouterr().out.endswith("the run has ended\n")


def test_a_watched_page_opens_itself_no_more_once_nobody_writes_it(run, monkeypatch):
    from hpcho.cli import reporting

    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(reporting.time, "sleep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        reporting.report(str(run.yaml), watch=True)
    assert 'data-reload=""' in (run.jobdir.report / "report.html").read_text(encoding="utf-8")
