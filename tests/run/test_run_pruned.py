"""Whole runs with a pruner: trials are pruned, counted, and promoted, on both stores."""

import os
import shutil
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

HAS_SERVER = bool(
    shutil.which("secantusd-py", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
)
CURVE = """
import json
def objective(params, trial):
    saved = trial.dir / "state.json"
    first = json.loads(saved.read_text()) if saved.exists() else 1
    for step in range(first, 3):
        print("step", step, flush=True)
        trial.report(step, params["x"] + 1 / step)
        if trial.should_prune():
            saved.write_text(json.dumps(step + 1))
            return None
    return params["x"] + 0.5
"""
POINTS = ", ".join(f"{{x: {x}}}" for x in range(12))
SETTINGS = f"""
objective: {{python: "objective.py:objective"}}
space: {{x: {{float: [0, 20]}}}}
sampler: {{name: auto, seed: 1}}
pruner: {{name: asha, grace: 1, factor: 3}}
points: [{POINTS}]
budget: {{trials: 13}}
launcher: {{local: {{workers: 1}}}}
"""


@pytest.mark.parametrize(
    "store",
    ["sqlite", pytest.param("mongo", marks=pytest.mark.skipif(not HAS_SERVER, reason="needs hpcho[embedded-mongo]"))],
)
def test_a_paused_trial_is_promoted_once_it_is_among_the_best(lab, store):
    lab.write(CURVE, SETTINGS + f"store: {store}\n")
    lab.run()
    rows = lab.trials()
    assert len(rows) == 13
    assert {(row["state"], row["status"]) for row in rows} == {("done", "ok")}
    # the fourth point comes to the rung when three better ones are known, and is the fourth best of twelve in the end
    first, again = (row for row in rows if row["params"]["x"] == 3)
    assert (first["pruned"], first["loss"], first["parent"]) == (True, 4.0, None)
    assert (again["pruned"], again["loss"], again["parent"]) == (False, 3.5, first["tid"])
    log = lab.job_dir / "trials" / str(again["tid"]) / "stdout.log"
    assert log.read_text().splitlines() == ["step 2"]
    standing = lab.json("status")
    assert standing["pruned"] == sum(row["pruned"] for row in rows) >= 9
    assert standing["best"]["tid"] == lab.json("best")["tid"] == 0


def test_another_pruner_may_be_chosen_on_a_resume(lab):
    lab.write(CURVE, SETTINGS)
    lab.run("--set", "budget.trials=3", "--set", "pruner=none")
    lab.run("--set", "budget.trials=8")
    rows = lab.trials()
    assert [row["pruned"] for row in rows] == [False] * 3 + [True] * 5


def test_check_says_when_trials_are_pruned(lab):
    lab.write(CURVE, SETTINGS)
    done = lab.hpcho("check")
    assert "pruner     asha, the best in 3 goes on at steps 1, 3, 9, ..." in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("pruner", "said"),
    [
        ("hyperband", "hyperband needs max_steps: the step that a whole trial ends with (its epochs, say)"),
        ("{name: median, factor: 4}", "factor: is an option of asha and hyperband: median has none such"),
        ("{name: asha, grace: 9, max_steps: 9}", "max_steps: must be more than grace (9), not 9: no trial could be"),
        ("{name: asha, factor: 1}", "factor: must be at least 2, not 1"),
        ("asah", "must be none, asha, hyperband or median, not \"asah\"; did you mean 'asha'?"),
    ],
)
def test_bad_settings_are_refused_with_what_would_be_right(lab, pruner, said):
    lab.write(CURVE, SETTINGS.replace("pruner: {name: asha, grace: 1, factor: 3}", f"pruner: {pruner}"))
    done = lab.hpcho("check")
    assert done.returncode == 2
    assert said in done.stderr


KILLED_CURVE = """
import json, pathlib, time
def objective(params, trial):
    saved = trial.dir / "state.json"
    first = json.loads(saved.read_text()) if saved.exists() else 1
    for step in range(first, 3):
        with open("../trained.txt", "a") as file:
            file.write(f"{params['x']:g} {step}\\n")
        while params["x"] == 8 and not pathlib.Path("../go").exists():
            time.sleep(0.02)
        trial.report(step, params["x"] + 1 / step)
        if trial.should_prune():
            saved.write_text(json.dumps(step + 1))
            return None
    return params["x"] + 0.5
"""


def test_a_run_whose_controller_was_killed_keeps_to_its_budget_and_promotes_what_was_paused(lab):
    lab.write(KILLED_CURVE, SETTINGS)
    trained = lab.job_dir / "trained.txt"
    process = lab.start("run")
    lab.until(lambda: trained.exists() and "8 1" in trained.read_text().splitlines())
    process.kill()
    process.communicate()
    (lab.job_dir / "go").touch()
    lab.until(lambda: not lab.processes())
    before = lab.trials()
    assert [row["parent"] for row in before] == [None] * len(before)
    assert [row["pruned"] for row in before if row["params"]["x"] == 3] == [True]
    lab.run()
    rows = lab.trials()
    assert [row["state"] for row in rows] == ["done"] * 13
    first, again = (row for row in rows if row["params"]["x"] == 3)
    assert (again["pruned"], again["loss"], again["parent"]) == (False, 3.5, first["tid"])
    assert sum(row["parent"] is not None for row in rows) == 1
    steps = trained.read_text().splitlines()
    assert len(steps) == len(set(steps))  # nothing was trained twice
