"""A store that was lost for good is rebuilt from the job directory."""

import shutil

import pytest
from run_lab import SQUARE_SETTINGS

pytestmark = pytest.mark.slow

KEEPS = """
def objective(params):
    x = params["x"]
    return {"loss": (x - 1) ** 2, "x": x, "attachments": {"model/a": str(x).encode()}}
"""
MONGO = SQUARE_SETTINGS + "store: mongo\n"


def facts(rows):
    return {row["tid"]: (row["loss"], row["params"], row["attempts"], round(row["duration_s"])) for row in rows}


@pytest.mark.parametrize("what", ["mongo", "mongo/db"])
def test_finished_trials_come_back_with_their_results_and_files(lab, what):
    lab.write(KEEPS, MONGO)
    lab.run()
    before, best = facts(lab.trials()), lab.json("best")
    lab.until(lambda: lab.processes() == [])  # the server of the last command, too
    shutil.rmtree(lab.job_dir / what)
    again = lab.run("--set", "budget.trials=15")
    assert "bringing back what they have finished" in again.stderr
    assert "12 finished trials are back" in again.stderr
    after = facts(lab.trials())
    assert {tid: after[tid] for tid in before} == before
    assert len(after) == 15
    assert lab.json("best")["loss"] <= best["loss"]
    out = lab.folder / "model"
    assert lab.hpcho("best", "--export", str(out)).returncode == 0
    assert float(out.read_text()) == lab.json("best")["result"]["x"]
    # All of it is there by now: nothing is brought back twice.
    assert "bringing back" not in lab.run("--set", "budget.trials=16").stderr


def test_without_results_nothing_is_taken_for_a_lost_store(lab):
    lab.write("def objective(params):\n    raise ValueError\n", MONGO)
    lab.run(code=1)
    shutil.rmtree(lab.job_dir / "mongo")
    done = lab.run(code=3)
    assert "which holds no finished trial's result" in done.stderr
