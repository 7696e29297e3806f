"""fmin drives, by hyperopt's own MongoTrials or by hpcho's; workers are of either kind."""

import textwrap

import numpy as np
import pytest
from hyperopt import fmin, hp, rand, tpe
from stock_lab import KEY

from hpcho.compat import MongoTrials

pytestmark = pytest.mark.slow

DRIVER = """
    import numpy as np
    from hyperopt import fmin, hp, tpe
    from hyperopt.mongoexp import MongoTrials
    import theirs

    trials = MongoTrials({url!r}, exp_key={key!r})
    best = fmin(
        theirs.objective,
        {{"x": hp.uniform("x", -5, 5), "c": hp.choice("c", ["a", {{"q": hp.quniform("q", 1, 9, 1)}}])}},
        algo=tpe.suggest, max_evals={n}, trials=trials, max_queue_len=6, rstate=np.random.default_rng(1),
        show_progressbar=False,
    )
    print("best", sorted(best), "done", len(trials))
"""
THEIRS = """
    import os
    from datetime import datetime
    from hyperopt import STATUS_OK

    def objective(point):
        print("at", point)
        if point["x"] > 4:
            raise ValueError(f"too far: {point['x']:.1f}\\nby far")
        return {
            "loss": point["x"] ** 2, "status": STATUS_OK, "when": datetime(2020, 1, 2), "blob": b"\\0",
            "pid": os.getpid(), "nan": float("nan"), "point": repr(point),
            "attachments": {"text": "a text", "odd/name": b"bytes"},
        }
"""


@pytest.fixture
def theirs(tmp_path):
    """The module of the script's objective, which lies where the worker is started."""
    (tmp_path / "theirs.py").write_text(textwrap.dedent(THEIRS))


def test_hyperopts_driver_is_served_in_hyperopts_format(database, stock, theirs):
    workers = [stock.worker(), stock.worker()]
    driver = stock.stock_script(DRIVER.format(url=database.url, key=KEY, n=24))
    said, _ = driver.communicate(timeout=120)
    assert driver.returncode == 0, said
    documents = database.find(exp_key=KEY)
    assert [document["state"] for document in documents].count(2) + [d["state"] for d in documents].count(3) == 24
    assert "best ['c'" in said
    for document in documents:
        x = document["misc"]["vals"]["x"][0]
        assert document["owner"] == [f"{document['owner'][0]}"]
        if x > 4:
            kind, message = document["error"]
            assert (document["state"], kind) == (3, "<class 'ValueError'>")
            assert message == f"too far: {x:.1f}\nby far"
            assert "in objective" in document["hpcho"]["traceback"]
            continue
        result = document["result"]
        assert (document["state"], result["status"], result["loss"]) == (2, "ok", x**2)
        assert (result["when"].year, result["blob"]) == (2020, b"\0")
        assert result["nan"] != result["nan"]
        assert "attachments" not in result
        assert [name for name, _ in document["_attachments"]] == ["text", "odd/name"]
    assert len({document["result"]["pid"] for document in documents if document["state"] == 2}) == 2
    trials = MongoTrials(database.url, exp_key=KEY)
    assert trials.trial_attachments(trials.trials[0])["odd/name"] == b"bytes"
    assert workers[0].poll() is None


def test_a_restarted_driver_brings_a_new_objective(database, programs, theirs):
    programs.worker()

    def first(x):
        return x + 100

    def second(x):
        return x + 200

    for number, objective in enumerate((first, second), start=1):
        trials = MongoTrials(database.url, exp_key=KEY)
        fmin(objective, hp.uniform("x", 0, 1), rand.suggest, 3 * number, trials=trials, show_progressbar=False)
    losses = trials.losses()
    assert [int(loss) // 100 for loss in losses] == [1, 1, 1, 2, 2, 2]


def test_our_driver_with_our_worker(database, programs, theirs):
    programs.worker()
    trials = MongoTrials(database.url, exp_key=KEY)
    space = {"x": hp.uniform("x", -5, 5), "n": hp.randint("n", 4)}
    found = fmin(
        lambda point: (point["x"] - 1) ** 2 + point["n"],
        space,
        algo=tpe.suggest,
        max_evals=20,
        trials=trials,
        max_queue_len=8,
        show_progressbar=False,
    )
    assert len(trials) == 20
    assert found == trials.argmin
    assert trials.best_trial["result"]["loss"] == min(trials.losses())
    assert trials.average_best_error() == min(trials.losses())


def test_our_driver_with_both_kinds_of_workers(database, stock, theirs):
    stock.worker()
    stock.stock_worker("--no-subprocesses")

    def objective(x):
        import os
        import time

        time.sleep(0.4)
        return {"loss": x, "status": "ok", "by": "hpcho" if "HPCHO_WORKER" in os.environ else "hyperopt"}

    trials = MongoTrials(database.url, exp_key=KEY)
    fmin(objective, hp.uniform("x", 0, 1), rand.suggest, 24, trials=trials, max_queue_len=8, show_progressbar=False)
    assert len(trials) == 24
    assert {result["by"] for result in trials.results} == {"hpcho", "hyperopt"}


def test_an_objective_that_ends_its_process_is_an_error_and_the_worker_goes_on(database, programs, theirs):
    programs.worker()

    def objective(x):
        import os

        if x < 0.5:
            os._exit(3)
        return x

    trials = MongoTrials(database.url, exp_key=KEY)
    fmin(
        objective,
        hp.uniform("x", 0, 1),
        rand.suggest,
        8,
        trials=trials,
        max_queue_len=8,
        show_progressbar=False,
        rstate=np.random.default_rng(1),  # points on either side of the middle: not all are to fail
    )
    failed = database.find(state=3)
    assert len(failed) + len(trials) == 8
    assert failed
    assert failed[0]["error"][0] == "hpcho: worker"
    assert "ended with exit code 3" in failed[0]["error"][1]


def test_an_objective_whose_module_is_missing_says_where_to_start(database, stock, theirs, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    stock.worker(cwd=elsewhere)
    stock.stock_script(DRIVER.format(url=database.url, key=KEY, n=1))
    (failed,) = database.wait(1, state=3)
    assert "needs the module theirs, which is not found here" in failed["error"][1]
    assert "start the worker in the folder that it lies in" in failed["error"][1]
