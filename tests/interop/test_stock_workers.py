"""hyperopt's own worker evaluates hpcho's trials, where hpcho is not installed."""

import os
import random
import shutil
import signal
import sys
import textwrap

import pytest
from stock_lab import KEY, ROOT

from hpcho import space
from hpcho.errors import UsageError
from hpcho.experiment.schema import Experiment, ObjectiveSpec
from hpcho.jobdir import JobDir
from hpcho.objective.domain_blob import domain
from hpcho.trial import Cause, Draft, Failure, Owner, TrialState

pytestmark = pytest.mark.slow

SPACE = {
    "x": {"float": [-5, 5]},
    "units": {"int": [12, 64], "step": 4},
    "optimizer": {"choice": ["adam", {"sgd": {"momentum": {"float": [0, 0.9]}}}]},
}
OBJECTIVE = """
    import numpy as np
    from helper import squared

    def data():
        return 10

    def objective(params, data, trial):
        try:
            import hpcho
        except ImportError:
            hpcho = None
        trial.report(1, 0.5)
        return {
            "loss": np.float32(squared(params["x"]) + data),
            "params": {k: [v] for k, v in params.items()},
            "odd": {np.bool_(True), 3},
            "is_alone": hpcho is None,
            "attachments": {"model": b"weights of " + str(params["units"]).encode()},
        }
"""


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "train.py").write_text(textwrap.dedent(OBJECTIVE))
    (folder / "helper.py").write_text("def squared(x):\n    return x ** 2\n")
    return folder


def blob(source):
    spec = ObjectiveSpec(python="train.py:objective", data="train.py:data")
    return domain(space.build(SPACE), spec, source)


def add(database, n, exp_key=KEY):
    rng = random.Random(3)
    store = database.store(exp_key)
    return store, store.add([Draft(space.build(SPACE).sample(rng)) for _ in range(n)])


def test_twenty_trials_are_evaluated_as_hpcho_would(database, stock, source):
    store, _ = add(database, 20)
    database.publish(blob(source))
    stock.stock_worker("--no-subprocesses")
    stock.stock_worker()
    database.wait(20, state=2)
    built = space.build(SPACE)
    for trial in store.changes()[1]:
        params = built.decode(trial.vals)
        assert trial.state is TrialState.DONE
        assert trial.loss == pytest.approx(params["x"] ** 2 + 10, rel=1e-6)
        assert trial.result.data["params"] == {name: [value] for name, value in params.items()}
        assert trial.result.data["is_alone"]
        assert sorted(trial.result.data["odd"]) == [True, 3]
        assert store.attachment(trial.tid, "model").read_bytes() == f"weights of {params['units']}".encode()


def test_an_objective_without_a_usable_loss_is_an_error_there_too(database, stock, source):
    (source / "train.py").write_text("def data(): pass\ndef objective(params): return float('nan')\n")
    store, _ = add(database, 1)
    database.publish(domain(space.build(SPACE), ObjectiveSpec(python="train.py:objective"), source))
    stock.stock_worker("--max-jobs=1")
    database.wait(1, state=3)
    (trial,) = store.changes()[1]
    assert trial.cause is Cause.OBJECTIVE
    assert "the objective returned the loss nan: a finite number is needed" in trial.error


def test_a_command_cannot_travel(source):
    with pytest.raises(UsageError, match="hyperopt's own workers evaluate python objectives alone"):
        domain(space.build(SPACE), ObjectiveSpec(command=("true",)), source)


def test_the_trial_of_a_killed_worker_is_requeued_and_done_by_another(database, stock, source):
    (source / "train.py").write_text(
        "import os, time\n"
        "def objective(params):\n    time.sleep(600 if os.path.exists('slow') else 0)\n    return 1.0\n"
    )
    (source / "slow").touch()
    built, spec = space.build(SPACE), ObjectiveSpec(python="train.py:objective")
    store, _ = add(database, 1)
    database.publish(domain(built, spec, source))
    killed = stock.stock_worker("--max-jobs=1")
    database.wait(1, state=1)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    (trial,) = store.changes()[1]
    assert trial.state is TrialState.RUNNING
    moved = store.move(trial, TrialState.NEW, failure=Failure(Cause.WORKER, "killed"))
    assert moved.version == trial.version + 2
    (source / "slow").unlink()
    database.publish(domain(built, spec, source))
    stock.stock_worker("--max-jobs=1")
    database.wait(1, state=2)
    (done,) = store.changes()[1]
    assert done.loss == 1.0
    assert [attempt.cause for attempt in done.attempts] == [Cause.WORKER, None]


def test_what_a_zombie_writes_later_is_refused(database, stock, source):
    (source / "train.py").write_text("import time\ndef objective(params):\n    time.sleep(3)\n    return 13.0\n")
    store, _ = add(database, 1)
    database.publish(domain(space.build(SPACE), ObjectiveSpec(python="train.py:objective"), source))
    zombie = stock.stock_worker("--max-jobs=1")
    database.wait(1, state=1)
    os.killpg(zombie.pid, signal.SIGSTOP)
    (trial,) = store.changes()[1]
    store.move(trial, TrialState.NEW, failure=Failure(Cause.WORKER, "silent"))
    mine = store.claim(Owner.here())
    os.killpg(zombie.pid, signal.SIGCONT)
    said, _ = zombie.communicate(timeout=60)
    assert zombie.returncode != 0
    assert "OperationFailure" in said
    (now,) = store.changes()[1]
    assert (now.state, now.owner, now.version) == (TrialState.RUNNING, Owner.here(), mine.version)
    store.release(mine)


def test_workers_of_the_job_directory_and_hyperopts_share_the_experiment(database, stock, source, tmp_path):
    (source / "train.py").write_text(
        "import os, time\ndef objective(params):\n    time.sleep(0.3)\n"
        "    return {'loss': params['x'] ** 2, 'by': 'hpcho' if 'HPCHO_WORKER' in os.environ else 'hyperopt'}\n"
    )
    jobdir = JobDir(tmp_path / "runs" / "lab")
    shutil.copytree(source, jobdir.source)
    experiment = Experiment.model_validate(
        {
            "name": "lab",
            "objective": {"python": "train.py:objective"},
            "space": SPACE,
            "store": {"mongo": {"url": database.plain_url, "password_file": str(database.password_file)}},
        }
    )
    jobdir.write_record(
        {
            "uuid": "0",
            "name": "lab",
            "yaml": str(tmp_path / "lab.yaml"),
            "experiment": experiment.model_dump(mode="json"),
        }
    )
    store, _ = add(database, 16, exp_key="lab")
    database.publish(domain(space.build(SPACE), experiment.objective, jobdir.source), exp_key="lab")
    stock.stock_worker("--no-subprocesses", exp_key="lab")
    database.wait(1, state=2)
    stock.start(sys.executable, "-m", "hpcho.worker", jobdir.path, PYTHONPATH=str(ROOT))
    database.wait(16, state=2)
    trials = store.changes()[1]
    assert {trial.result.data["by"] for trial in trials} == {"hpcho", "hyperopt"}
    assert len({trial.tid for trial in trials}) == 16
