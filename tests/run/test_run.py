"""``hpcho run`` from its beginning to its end."""

import json
import re

import pytest
from run_lab import SQUARE, SQUARE_SETTINGS

pytestmark = pytest.mark.slow


def test_a_run_ends_with_its_budget_and_says_what_to_type_next(square):
    done = square.run()
    rows = square.trials()
    assert [row["state"] for row in rows] == ["done"] * 12
    assert [row["attempts"] for row in rows] == [1] * 12
    best = min(rows, key=lambda row: row["loss"])
    assert square.json("best")["tid"] == best["tid"]
    assert "12 trials" in done.stdout
    assert "hpcho report" in done.stdout
    assert square.json("status")["state"] == "finished"
    assert square.processes() == []


def test_run_again_after_the_end_says_so_and_adds_nothing(square):
    square.run()
    again = square.run()
    assert "12 trials are done" in again.stdout
    assert len(square.trials()) == 12


def test_a_larger_budget_goes_on(square):
    square.run()
    square.run("--set", "budget.trials=20")
    assert square.states()["done"] == 20


def test_points_run_first_and_once_and_what_they_leave_out_is_sampled(lab):
    lab.write(
        "def objective(params):\n    return params['x'] + params['y']\n",
        """
        objective: {python: "objective.py:objective"}
        space: {x: {float: [-5, 5]}, y: {int: [0, 9]}}
        sampler: random
        points: [{x: 1.5, y: 3}, {x: -2.5}]
        budget: {trials: 4}
        """,
    )
    lab.run()
    lab.run("--set", "budget.trials=6")
    rows = lab.trials()
    assert rows[0]["params"] == {"x": 1.5, "y": 3}
    assert rows[1]["params"]["x"] == -2.5
    assert 0 <= rows[1]["params"]["y"] <= 9
    assert [row["params"]["x"] for row in rows].count(1.5) == 1


def test_points_that_were_added_to_the_yaml_run_and_earlier_ones_do_not_run_again(square):
    settings = square.yaml.read_text()
    square.yaml.write_text(settings + "points: [{x: 1.5}, {x: 2.5}]\n")
    square.run("--set", "budget.trials=3")
    square.yaml.write_text(settings + "points: [{x: 3.5}, {x: 2.5}, {x: 1.5}]\n")
    square.run("--set", "budget.trials=5")
    values = [row["params"]["x"] for row in square.trials()]
    assert [value for value in values if value in (1.5, 2.5, 3.5)] == [1.5, 2.5, 3.5]


def test_the_sampler_and_its_seed_may_change_on_a_resume(square):
    square.run("--set", "budget.trials=3")
    square.run("--set", "budget.trials=5", "--set", "sampler={name: anneal, seed: 9}")
    assert square.states()["done"] == 5
    assert json.loads((square.job_dir / "experiment.json").read_text())["seed"] == 9


def test_an_earlier_run_s_failures_are_not_told_again(lab):
    lab.write("def objective(params, trial):\n    return 1 / trial.tid\n", SQUARE_SETTINGS)
    assert "trial 0 failed (objective): ZeroDivisionError" in lab.run("--set", "budget.trials=3").stdout
    assert "failed (objective)" not in lab.run("--set", "budget.trials=5").stdout


def test_a_seeded_run_with_one_worker_repeats_resumes_included(lab):
    settings = """
        objective: {python: "objective.py:objective"}
        space: {x: {float: [-5, 5]}, o: {choice: [a, {b: {y: {int: [0, 9]}}}]}}
        sampler: {name: tpe, seed: 7, n_startup_jobs: 4}
        budget: {trials: 10}
    """
    code = "def objective(params):\n    return (params['x'] - 1) ** 2 + params.get('y', 3)\n"
    lab.write(code, settings)
    lab.run()
    whole = [(row["params"], row["loss"]) for row in lab.trials()]
    lab.run("--fresh", "--set", "budget.trials=3")
    lab.run("--set", "budget.trials=6")
    lab.run()
    assert [(row["params"], row["loss"]) for row in lab.trials()] == whole
    assert len(list((lab.folder / "runs").iterdir())) == 2, "the earlier run is archived, not deleted"


def test_the_budget_of_loss_ends_the_run_and_cancels_what_is_queued(lab):
    lab.write(SQUARE, SQUARE_SETTINGS.replace("{trials: 12}", "{trials: 500, loss: 2.0}"))
    done = lab.run()
    assert "budget.loss" in done.stdout
    states = lab.states()
    assert states["new"] == states["running"] == 0
    assert states["done"] < 500
    assert lab.json("best")["loss"] <= 2.0


def test_the_budget_of_hours_counts_the_time_of_all_runs(lab):
    lab.write(
        "import time\ndef objective(params):\n    time.sleep(0.1)\n    return 1.0\n",
        SQUARE_SETTINGS.replace("{trials: 12}", "{hours: 0.002}"),
    )
    done = lab.run()
    assert "hours are over" in done.stdout
    finished = lab.states()["done"]
    assert finished >= 1
    again = lab.run()
    assert "hours are over" in again.stdout
    assert lab.states()["done"] == finished


def test_an_objective_that_is_broken_ends_the_run_and_shows_its_traceback_once(lab):
    lab.write("def objective(params):\n    return params['nope']\n", SQUARE_SETTINGS)
    done = lab.run(code=1)
    assert "the first 5 trials all failed in the objective" in done.stderr
    assert done.stderr.count("KeyError: 'nope'") == 1
    assert "objective.py" in done.stderr
    assert lab.states()["error"] < 12
    assert lab.json("status")["state"] == "failed"


def test_so_does_one_that_cannot_even_be_imported(lab):
    lab.write("import no_such_module\n\ndef objective(params):\n    return 1\n", SQUARE_SETTINGS)
    done = lab.run(code=1)
    assert done.stderr.count("No module named 'no_such_module'") == 1


def test_the_budget_of_failures_ends_the_run_with_its_last_traceback(lab):
    code = """
    def objective(params):
        if params["x"] > -4:
            raise ValueError("too large")
        return 1.0
    """
    lab.write(code, SQUARE_SETTINGS.replace("{trials: 12}", "{trials: 300, failures: 4}"))
    lab.yaml.write_text(lab.yaml.read_text() + "points: [{x: -4.5}]\n")
    done = lab.run(code=1)
    assert "budget.failures: 4" in done.stderr
    assert done.stderr.count("ValueError: too large") == 1


def test_failures_are_told_apart_by_cause_and_retried_apart(lab):
    code = """
    import os, time
    def objective(params, trial):
        if trial.tid % 4 == 1:
            os._exit(3)
        if trial.tid % 4 == 2:
            time.sleep(60)
        if trial.tid % 4 == 3:
            raise ValueError("bad")
        return 1.0
    """
    lab.write(
        code,
        SQUARE_SETTINGS.replace("{trials: 12}", "{trials: 3, failures: 50}")
        + "retries: {worker: 1, timeout: 0}\ntrial: {timeout_min: 0.01}\n",
    )
    lab.run()
    rows = {row["tid"] % 4: row for row in lab.trials() if row["state"] == "error"}
    assert (rows[1]["cause"], rows[1]["attempts"]) == ("worker", 2)
    assert (rows[2]["cause"], rows[2]["attempts"]) == ("timeout", 1)
    assert (rows[3]["cause"], rows[3]["attempts"]) == ("objective", 1)
    assert "ValueError: bad" in rows[3]["error"]
    assert lab.json("status")["trials"]["done"] == 3


def test_enqueued_points_run_even_beyond_a_met_budget(square):
    square.run()
    points = square.folder / "points.yaml"
    points.write_text("{x: 0.125}\n")
    assert square.hpcho("enqueue", str(points)).returncode == 0
    square.run()
    rows = square.trials()
    assert len(rows) == 13
    assert (rows[-1]["state"], rows[-1]["params"]) == ("done", {"x": 0.125})


def test_a_run_whose_only_result_came_after_its_hours_has_a_usable_trial(square):
    over = ("--set", "budget.hours=1e-9")
    assert "no trial was successful" in square.run(*over, code=1).stderr
    points = square.folder / "points.yaml"
    points.write_text("{x: 0.125}\n")
    assert square.hpcho("enqueue", str(points)).returncode == 0
    assert "hours are over" in square.run(*over).stdout
    assert square.json("status")["state"] == "finished"


def test_requeued_trials_run_again_even_beyond_a_met_budget(lab):
    code = """
    import pathlib
    def objective(params, trial):
        marker = trial.dir / "tried"
        if trial.tid == 2 and not marker.exists():
            marker.touch()
            raise ValueError("first time")
        return 1.0
    """
    lab.write(code, SQUARE_SETTINGS)
    lab.run()
    failed = [row["tid"] for row in lab.trials() if row["state"] == "error"]
    assert len(failed) == 1
    assert lab.hpcho("requeue", str(failed[0])).returncode == 0
    lab.run()
    assert lab.states() == {"new": 0, "running": 0, "done": 13, "error": 0, "cancel": 0}


def test_another_space_on_resume_is_explained(square):
    square.run()
    square.yaml.write_text(square.yaml.read_text().replace("[-5, 5]", "[-6, 5]"))
    done = square.run(code=2)
    assert "the search space in the YAML is not what" in done.stderr
    assert "--fresh" in done.stderr
    square.run("--fresh")
    assert square.states()["done"] == 12


def test_edited_source_is_noticed_and_the_first_run_s_copy_goes_on(square):
    square.run()
    (square.folder / "objective.py").write_text("def objective(params):\n    return -1e9\n")
    done = square.run("--set", "budget.trials=20")
    assert "objective.py" in done.stderr
    assert "--fresh" in done.stderr
    assert square.json("best")["loss"] >= 0


def test_the_record_says_what_was_run(square):
    square.run()
    record = json.loads((square.job_dir / "experiment.json").read_text())
    assert record["seed"] == 3
    assert re.fullmatch(r"[0-9a-f-]{36}", record["uuid"])
    assert record["packages"]["hyperopt"].startswith("0.3")
    assert (square.job_dir / "source" / "objective.py").read_text().strip() == SQUARE.strip()
    assert (square.job_dir / "experiment.yaml").read_bytes() == square.yaml.read_bytes()


def test_fewer_than_ten_files_a_trial(square):
    square.run()
    for folder in (square.job_dir / "trials").iterdir():
        assert len(list(folder.rglob("*"))) < 10


def test_keep_leaves_the_best_folders_whole_and_of_others_the_logs(lab):
    code = """
    def objective(params, trial):
        (trial.dir / "model.bin").write_bytes(b"m" * 100)
        print("hello")
        return params["x"]
    """
    lab.write(code, SQUARE_SETTINGS + "keep: {best: 2}\n")
    lab.run()
    rows = sorted(lab.trials(), key=lambda row: row["loss"])
    kept = {int(path.parent.name) for path in lab.job_dir.glob("trials/*/model.bin")}
    assert kept == {row["tid"] for row in rows[:2]}
    assert len(list(lab.job_dir.glob("trials/*/stdout.log"))) == 12


def test_a_point_outside_the_space_is_refused_with_its_place(lab):
    lab.write(SQUARE, SQUARE_SETTINGS + "points:\n  - {x: 0.5}\n  - {x: 77}\n")
    done = lab.run(code=2)
    assert re.search(r"experiment\.yaml:\d+:\d+: points\.1\.x: .*77", done.stderr), done.stderr
    assert not lab.job_dir.exists()
