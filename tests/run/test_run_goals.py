"""Whole runs with several numbers to minimise, and with constraints."""

import csv
import io

import pytest
from run_lab import Lab

import hpcho

OBJECTIVE = """
def objective(params):
    x = params["x"]
    return {"loss": (x - 3) ** 2, "size": x + 5, "model": {"mb": abs(x)}}
"""
SETTINGS = """
objective: {python: "objective.py:objective"}
space: {x: {float: [-5, 5]}}
sampler: {name: auto, seed: 3}
budget: {trials: 14}
launcher: {local: {workers: 1}}
"""


@pytest.fixture
def lab(tmp_path):
    return Lab(tmp_path)


def beats(one, other):
    return all(a <= b for a, b in zip(one, other, strict=True)) and one != other


@pytest.mark.slow
def test_a_run_with_two_numbers_to_minimise_ends_with_their_pareto_set(lab):
    lab.write(OBJECTIVE, SETTINGS + "minimise: [loss, size]\nconstraints: [model.mb <= 4]\nkeep: {best: 1}\n")
    said = lab.run().stdout
    rows = lab.trials()
    feasible = {row["tid"]: tuple(row["values"].values()) for row in rows if not row["infeasible"]}
    assert all(row["infeasible"] is (abs(row["params"]["x"]) > 4) for row in rows)
    expected = {tid for tid, one in feasible.items() if not any(beats(other, one) for other in feasible.values())}

    best = lab.json("best")
    assert {one["tid"] for one in best["pareto"]} == expected
    assert best["tid"] == min(feasible, key=feasible.get) == best["pareto"][0]["tid"]
    assert best["values"] == {"loss": best["loss"], "size": best["result"]["size"]}
    standing = lab.json("status")
    assert (standing["pareto"], standing["infeasible"]) == (len(expected), len(rows) - len(feasible))
    assert f"{len(expected)} in the Pareto set" in said
    lines = lab.hpcho("best").stdout.splitlines()
    assert lines[0].split() == ["trial", "loss", "size", "x"]
    assert len([line for line in lines[1:] if "trials" not in line]) == len(expected)

    results = hpcho.load(lab.yaml)
    assert results.best == best
    assert results.pareto == best["pareto"]
    results.report(lab.folder / "out")
    page = (lab.folder / "out" / "report.html").read_text()
    assert "Loss against size" in page
    table = list(csv.DictReader(io.StringIO((lab.folder / "out" / "trials.csv").read_text())))
    assert [row["infeasible"] for row in table] == [str(row["infeasible"]) for row in rows]
    numbers = {"size", "model.mb"}
    assert all(set(row["numbers"]) == numbers for row in rows)
    assert rows[0]["numbers"]["size"] == pytest.approx(rows[0]["params"]["x"] + 5)
    for name in numbers:
        assert [float(row[f"numbers.{name}"]) for row in table] == [row["numbers"][name] for row in rows]
    frame = results.trials()
    assert frame["numbers.size"].tolist() == [row["numbers"]["size"] for row in rows]
    assert frame["infeasible"].tolist() == [row["infeasible"] for row in rows]


@pytest.mark.slow
def test_goals_may_change_on_a_resume(lab):
    lab.write(OBJECTIVE, SETTINGS)
    lab.run()
    losses = {row["tid"]: row["loss"] for row in lab.trials()}
    assert lab.json("best")["loss"] == min(losses.values())

    lab.run("--set", "constraints=['size < 3']")
    allowed = [row["loss"] for row in lab.trials() if not row["infeasible"]]
    best = lab.json("best")
    assert best["result"]["size"] < 3
    assert best["loss"] == min(allowed) > min(losses.values())

    lab.run("--set", "constraints=['size < -1']")
    none = lab.hpcho("best")
    assert none.returncode == 1
    assert "no trial is feasible yet: size < -1 is not kept: 14 of 14 trials" in none.stderr


@pytest.mark.slow
def test_only_feasible_trials_meet_the_budget_s_loss(lab):
    limited = SETTINGS.replace("{trials: 14}", "{trials: 12, loss: 100}")
    lab.write(OBJECTIVE, limited + "constraints: [size > 99]\n")
    assert "12 trials are done" in lab.run().stdout
