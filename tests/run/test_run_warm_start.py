"""A whole run that begins with what another one has found."""

import json
import shutil

import pytest
from run_lab import Lab

pytestmark = pytest.mark.slow

OBJECTIVE = """
def objective(params):
    return {factor} * ((params["x"] - 2) ** 2 + (params["y"] + 3) ** 2)
"""
SETTINGS = """
objective: {{python: "objective.py:objective"}}
space: {{x: {{float: [-5, 5]}}, y: {{float: [-{reach}, {reach}]}}}}
sampler: {{name: auto, seed: 3}}
budget: {{trials: {trials}}}
launcher: {{local: {{workers: 1}}}}
"""


def test_a_run_begins_with_what_another_has_found_and_goes_on_with_it_when_that_is_gone(tmp_path):
    (tmp_path / "old").mkdir()
    old, new = Lab(tmp_path / "old"), Lab(tmp_path)
    old.write(OBJECTIVE.format(factor=1000), SETTINGS.format(reach=8, trials=30))
    old.run()
    new.write(OBJECTIVE.format(factor=1), SETTINGS.format(reach=5, trials=3) + "warm_start: [old/experiment.yaml]\n")
    said = new.run().stdout
    used = json.loads((new.job_dir / "knowledge.json").read_text())[0]
    outside = 30 - len(used["trials"])
    assert f"warm_start: {30 - outside} of 30 trials of old/experiment.yaml are used" in said

    # They are no trials of this run: neither of its budget nor its best.
    assert [row["tid"] for row in new.trials()] == [0, 1, 2]
    assert new.json("best")["tid"] in (0, 1, 2)
    # Three trials without knowledge are spread over the space: their best is 3 or so.
    assert new.json("best")["loss"] < 0.5

    shutil.rmtree(old.folder)
    again = new.run("--set", "budget.trials=6")
    assert "trials of old/experiment.yaml are used" in again.stdout
    assert json.loads((new.job_dir / "knowledge.json").read_text())[0] == used
    other = new.run("--set", "budget.trials=7", "--set", "warm_start=[]")
    assert "warm_start: has changed since the first run" in other.stderr
    assert "are used" in other.stdout
    refused = new.run("--fresh", code=2)
    assert "there is no experiment old/experiment.yaml" in refused.stderr
    assert len(new.trials()) == 7  # and the earlier run still stands
