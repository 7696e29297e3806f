"""The child: loaded once, recycled, forked for each trial with isolate; and one that cannot load the objective."""

import os

import pytest
from worker_job import FAST

from hpcho.trial import Cause, TrialState

COUNT = """
import os
seen = []
def objective(params):
    seen.append(1)
    return {"loss": len(seen), "pid": os.getpid(), "parent": os.getppid()}
"""


def pids(lab, key="pid"):
    return [trial.result.data[key] for trial in lab.trials()]


def test_one_warm_child_evaluates_one_trial_after_another(job):
    lab = job(COUNT)
    lab.add(3)
    lab.serve()
    assert [trial.loss for trial in lab.trials()] == [1, 2, 3]
    assert len(set(pids(lab))) == 1


def test_recycle_after_gives_a_fresh_child_without_losing_a_trial(job):
    lab = job("import atexit\natexit.register(print, 'said goodbye')\n" + COUNT, trial={"recycle_after": 2})
    lab.add(5)
    lab.serve()
    assert [trial.loss for trial in lab.trials()] == [1, 2, 1, 2, 1]
    assert lab.log().count("said goodbye") == 3


def test_children_are_started_without_a_stem_where_that_is_not_possible(job, monkeypatch):
    from hpcho.worker.stem import Fresh

    monkeypatch.setattr("hpcho.worker.warm.starter", Fresh)
    lab = job(
        "import os\ndef objective(p):\n    if p['x'] == 0: os._exit(3)\n    return os.getppid()",
        trial={"recycle_after": 2},
        retries={"worker": 0},
    )
    lab.add(4)
    lab.serve()
    assert "exit code 3" in lab.trial(0).error
    assert [trial.loss for trial in lab.trials()[1:]] == [os.getpid()] * 3


def test_a_child_that_has_grown_is_recycled(job, monkeypatch):
    monkeypatch.setattr("hpcho.worker.warm.LOOK_S", 0.0)
    code = COUNT.replace("seen.append(1)", "seen.append(bytearray(b'x' * 60_000_000))")
    lab = job(code, trial={"recycle_growth_gb": 0.05})
    lab.add(3)
    lab.serve()
    assert [trial.loss for trial in lab.trials()] == [1, 2, 1]
    assert "the child has grown by 0.1 GB in 2 trials" in lab.log()


def test_a_child_that_does_not_leave_is_ended(job, monkeypatch):
    monkeypatch.setattr("hpcho.worker.process.LEAVE_S", 0.2)
    lab = job(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()\ndef objective(p): return 1.0"
    )
    assert lab.evaluate().loss == 1.0


@pytest.mark.parametrize("isolate", [False, True])
def test_isolate_keeps_side_effects_from_the_next_trial(job, isolate):
    lab = job(COUNT, trial={"isolate": isolate})
    lab.add(3)
    lab.serve()
    assert [trial.loss for trial in lab.trials()] == ([1, 1, 1] if isolate else [1, 2, 3])
    assert len(set(pids(lab))) == (3 if isolate else 1)
    assert len(set(pids(lab, "parent"))) == 1


def test_isolate_loads_the_objective_once(job):
    lab = job("print('loading')\n" + COUNT, trial={"isolate": True})
    lab.add(3)
    lab.serve()
    assert lab.log().count("loading") == 1


@pytest.mark.parametrize(
    ("code", "cause", "words"),
    [
        ("import ctypes; ctypes.string_at(0)", Cause.WORKER, "SIGSEGV"),
        ("import os; os._exit(3)", Cause.WORKER, "exit code 3"),
        ("import sys; sys.exit(3)", Cause.WORKER, "sys.exit(3)"),
        ("raise MemoryError", Cause.OOM, "MemoryError"),
        ("raise ValueError('no')", Cause.OBJECTIVE, "ValueError: no"),
        ("import ctypes; ctypes.PyDLL(None).sleep(60)", Cause.TIMEOUT, "raise trial.timeout_min"),
    ],
)
def test_isolate_tells_the_causes_apart_and_goes_on_with_the_same_server(job, code, cause, words):
    lab = job(
        f"print('loading')\ndef objective(params):\n    if params['x'] == 0: {code}\n    return 1.0",
        trial={**FAST, "isolate": True, "timeout_min": 0.4 / 60},
        retries={"timeout": 0, "worker": 0, "oom": 0},
    )
    lab.add(2)
    lab.serve()
    assert lab.trial(0).cause is cause
    assert words in lab.trial(0).error
    assert lab.trial(1).loss == 1.0
    assert lab.log().count("loading") == 1


def test_isolate_ends_what_a_trial_left_running(job):
    lab = job(
        "import subprocess\ndef objective(params): subprocess.Popen(['sleep', '61']); return 1.0",
        trial={"isolate": True},
    )
    assert lab.evaluate().loss == 1.0


def test_isolate_reports_and_large_results_arrive(job):
    lab = job(
        """
        def objective(params, trial):
            trial.report(1, 0.5)
            return {"loss": 0, "text": "x" * 900_000}
        """,
        trial={"isolate": True},
    )
    trial = lab.evaluate()
    assert len(trial.reports) == 1
    assert len(trial.result.data["text"]) == 900_000


@pytest.mark.slow
@pytest.mark.keras
def test_isolate_takes_a_cold_child_where_tensorflow_is_up_and_says_so_once(job):
    lab = job("import tensorflow as tf\ntf.constant(1)\n" + COUNT, trial={"isolate": True})
    lab.add(2)
    lab.serve()
    assert [trial.loss for trial in lab.trials()] == [1, 1]
    assert len(set(pids(lab))) == 2
    assert lab.log().count("isolate: TensorFlow is up") == 1


def test_isolate_takes_a_cold_child_where_a_runtime_is_up(job):
    stand_in = """
import sys, types
context = types.ModuleType("tensorflow.python.eager.context")
context._context = types.SimpleNamespace(_initialized=True)
sys.modules[context.__name__] = context
"""
    lab = job(stand_in + COUNT, trial={"isolate": True})
    lab.add(2)
    lab.serve()
    assert [trial.loss for trial in lab.trials()] == [1, 1]
    assert len(set(pids(lab))) == 2
    assert lab.log().count("isolate: TensorFlow is up") == 1


@pytest.mark.parametrize(
    ("code", "cause", "words"),
    [
        ("import no_such_module", Cause.OBJECTIVE, "No module named 'no_such_module'"),
        ("1 +", Cause.OBJECTIVE, "SyntaxError"),
        ("x = 1", Cause.OBJECTIVE, "train.py has no 'objective'"),
        ("import os; os._exit(7)", Cause.WORKER, "ended with exit code 7 while it loaded the objective"),
        ("import sys; sys.exit(7)", Cause.WORKER, "sys.exit(7)"),
        ("raise MemoryError", Cause.OOM, "MemoryError"),
    ],
)
def test_an_objective_that_cannot_be_loaded_fails_the_trial_with_its_traceback(job, code, cause, words):
    trial = job(code, retries={"worker": 0, "oom": 0}).evaluate()
    assert (trial.state, trial.cause) == (TrialState.ERROR, cause)
    assert trial.error.startswith("the objective could not be loaded:\n")
    assert words in trial.error


def test_data_that_raises_fails_the_trial_and_the_next_one_gets_a_fresh_child(job):
    lab = job(
        """
        import pathlib
        def data():
            flag = pathlib.Path("../flag")
            if not flag.exists():
                flag.touch()
                raise OSError("the share is not mounted")
        def objective(params, data): return 1.0
        """,
        objective={"python": "train.py:objective", "data": "train.py:data"},
    )
    lab.add(2)
    lab.serve()
    assert lab.trial(0).cause is Cause.OBJECTIVE
    assert "in data" in lab.trial(0).error
    assert lab.trial(0).error.endswith("OSError: the share is not mounted")
    assert lab.trial(1).loss == 1.0


def test_nothing_is_claimed_before_the_child_is_ready(job):
    lab = job("import time; time.sleep(1)\ndef objective(params): return 1.0")
    lab.add()
    process = lab.start("--max-trials", "1")
    seen = set()
    while process.poll() is None:
        seen.add((lab.trial().state, "ready" if lab.trial().owner else ""))
    process.communicate()
    assert lab.trial().attempts[0].ended_at - lab.trial().attempts[0].started_at < 0.9


def test_modules_of_the_users_come_before_ours_once_we_are_up(job):
    lab = job("import colorsys\ndef objective(params): return colorsys.MINE")
    (lab.dir.source / "colorsys.py").write_text("MINE = 4.0")
    (lab.dir.source / "struct.py").write_text("raise RuntimeError('not the standard one')")
    assert lab.evaluate().loss == 4.0


def test_no_file_descriptor_leaks_over_many_children(job):
    lab = job(
        """
        import os, psutil
        def objective(params):
            family = [psutil.Process(), *psutil.Process().parents()[:2]]
            return sum(process.num_fds() for process in family)
        """,
        trial={"recycle_after": 1},
    )
    lab.add(6)
    lab.serve()
    assert len({trial.loss for trial in lab.trials()}) == 1


def test_when_no_process_can_be_started_the_worker_waits_and_says_so(job, monkeypatch):
    lab = job("def objective(params): return 1.0")
    monkeypatch.setattr("hpcho.worker.warm.TROUBLE_S", 0.05)
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    from hpcho.worker import warm

    real, calls = warm.Child, []

    def scarce(plan, fd):
        calls.append(1)
        limit = len(__import__("os").listdir("/proc/self/fd")) + 1 if len(calls) < 3 else soft
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
        try:
            return real(plan, fd)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    monkeypatch.setattr(warm, "Child", scarce)
    assert lab.evaluate().loss == 1.0
    assert lab.log().count("no process can be started for now") == 2
