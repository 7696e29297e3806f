"""Whole runs with Optuna's samplers."""

import pytest
from run_lab import SQUARE

pytestmark = pytest.mark.slow

SETTINGS = """
objective: {{python: "objective.py:objective"}}
space: {{x: {{float: [-5, 5]}}, kind: {{choice: [a, {{b: {{m: {{float: [0, 1]}}}}}}]}}}}
sampler: {{name: "optuna:{name}", seed: 3}}
budget: {{trials: {trials}}}
launcher: {{local: {{workers: 1}}}}
"""


@pytest.mark.parametrize("name", ["TPESampler", "CmaEsSampler"])
def test_a_seeded_run_repeats_resumes_included(lab, name):
    lab.write(SQUARE, SETTINGS.format(name=name, trials=18))
    lab.run()
    whole = [row["params"] for row in lab.trials()]
    lab.write(SQUARE, SETTINGS.format(name=name, trials=11))
    lab.run("--fresh")
    lab.run("--set", "budget.trials=18")
    assert [row["params"] for row in lab.trials()] == whole


def test_a_wrong_option_is_told_before_a_job_directory_is_made(lab):
    lab.write(SQUARE, SETTINGS.format(name="TPESampler", trials=3).replace("seed: 3", "multivariat: true"))
    refused = lab.run(code=2)
    assert "sampler optuna:TPESampler: " in refused.stderr
    assert "unexpected keyword argument 'multivariat'" in refused.stderr
    assert not lab.job_dir.exists()
