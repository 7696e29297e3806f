"""Whatever the objective does to its process costs that trial only, with the right cause and words."""

import pytest
from worker_job import FAST

from hpcho.trial import Cause, TrialState

QUICK = {**FAST, "timeout_min": 0.4 / 60}


def fail_then_succeed(job, code, **settings):
    """The first trial runs ``code``, the second must be fine; the first."""
    first = f"    if params['x'] == 0: {code}\n"
    body = f"import os, sys, time, signal, ctypes\ndef objective(params):\n{first}    return 1.0\n"
    lab = job(body, retries={"timeout": 0, "oom": 0, "worker": 0}, **settings)
    lab.add(2)
    assert lab.serve() == 0
    first, second = lab.trials()
    assert first.state is TrialState.ERROR
    assert second.loss == 1.0
    return first


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("ctypes.string_at(0)", "was ended by SIGSEGV before it returned a result"),
        ("os._exit(3)", "ended with exit code 3 before it returned a result"),
        ("os._exit(0)", "ended with exit code 0 before it returned a result"),
        ("os.kill(os.getpid(), 9)", "was killed by SIGKILL before it returned a result, and not by hpcho"),
        ("os.kill(os.getppid(), 9); time.sleep(60)", "was killed by SIGKILL before it returned a result"),
        ("os.abort()", "was ended by SIGABRT"),
        ("sys.exit('enough')", "the objective called sys.exit('enough'): return a loss or raise an error instead"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("os.closerange(3, 100)", "Does the objective close file descriptors that it has not opened?"),
    ],
)
def test_an_ended_child_is_cause_worker(job, code, words):
    trial = fail_then_succeed(job, code)
    assert trial.cause is Cause.WORKER
    assert words in trial.error


def test_a_segfaults_stack_and_last_lines_are_in_the_error(job):
    error = fail_then_succeed(job, "print('careful', file=sys.stderr); ctypes.string_at(0)").error
    assert "careful" in error
    assert "Fatal Python error: Segmentation fault" in error
    assert "line 3 in objective" in error


def test_a_hang_is_cause_timeout(job):
    trial = fail_then_succeed(job, "print('epoch 7', file=sys.stderr); time.sleep(60)", trial=QUICK)
    assert trial.cause is Cause.TIMEOUT
    assert "raise trial.timeout_min" in trial.error
    assert trial.error.endswith("epoch 7")


def test_a_c_call_that_keeps_the_interpreters_lock_stops_neither_heartbeats_nor_the_timeout(job):
    trial = fail_then_succeed(job, "ctypes.PyDLL(None).sleep(60)", trial=QUICK)
    assert trial.cause is Cause.TIMEOUT
    assert trial.beat >= 2


def test_what_the_objective_started_goes_with_it(job):
    lab = job(
        """
        import multiprocessing, subprocess, sys, time
        def objective(params):
            subprocess.Popen(["sleep", "61"])
            subprocess.Popen(["sleep", "61"], start_new_session=True)
            multiprocessing.get_context("fork").Process(target=time.sleep, args=(61,)).start()
            time.sleep(60)
        """,
        trial=QUICK,
        retries={"timeout": 0},
    )
    assert lab.evaluate().cause is Cause.TIMEOUT  # and the fixture looks for what is left


def test_loading_does_not_count_against_the_timeout(job):
    lab = job("import time; time.sleep(1)\ndef objective(params): return 1.0", trial=QUICK)
    assert lab.evaluate().loss == 1.0


def test_a_leak_is_ended_at_the_limit_with_cause_oom(job):
    settings = {"launcher": {"local": {"mem_gb": 0.2}}}
    leak = "keep = []\n        while True: keep.append(b'x' * 10_000_000); time.sleep(0.02)"
    trial = fail_then_succeed(job, f"\n        {leak}", **settings)
    assert trial.cause is Cause.OOM
    assert "killed for memory at 0." in trial.error
    assert "of 0.2 GB: raise launcher.local.mem_gb" in trial.error


def test_memory_of_what_the_objective_started_counts(job):
    command = "import time; keep = b'x' * 300_000_000; time.sleep(60)"
    settings = {"launcher": {"local": {"mem_gb": 0.2}}}
    trial = fail_then_succeed(
        job, f"import subprocess; subprocess.run([sys.executable, '-c', {command!r}])", **settings
    )
    assert trial.cause is Cause.OOM


@pytest.mark.parametrize(
    "code",
    [
        "raise MemoryError('no 3 TiB')",
        "raise type('ResourceExhaustedError', (Exception,), {})('OOM when allocating tensor')",
        "raise RuntimeError('step 3') from MemoryError()",
    ],
)
def test_out_of_memory_errors_are_cause_oom(job, code):
    assert fail_then_succeed(job, code).cause is Cause.OOM


def test_retries_are_counted_by_cause(job):
    lab = job("import os\ndef objective(params): os._exit(1)", retries={"worker": 2})
    lab.add()
    lab.serve(3)
    trial = lab.trial()
    assert trial.state is TrialState.ERROR
    assert [attempt.cause for attempt in trial.attempts] == [Cause.WORKER] * 3


def test_a_stop_signal_to_the_child_itself_has_no_effect(job):
    lab = job(
        """
        import os, signal
        def objective(params):
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2, signal.SIGHUP): os.kill(os.getpid(), number)
            return 1.0
        """
    )
    assert lab.evaluate().loss == 1.0


def test_a_pool_of_the_objectives_can_be_terminated(job):
    lab = job(
        """
        import multiprocessing
        def objective(params):
            with multiprocessing.get_context("fork").Pool(2) as pool:
                return sum(pool.map(abs, [1, -2]))
        """
    )
    assert lab.evaluate().loss == 3


@pytest.mark.parametrize("number", ["MemoryError()", "ValueError('bad params')"])
def test_an_error_leaves_the_child_where_it_can(job, number):
    lab = job(
        f"""
        import os
        def objective(params):
            if params["x"] == 0.1: raise {number}
            return {{"loss": 0, "pid": os.getpid()}}
        """,
        retries={"oom": 0},
    )
    lab.add(3)
    lab.serve()
    same = lab.trial(0).result.data == lab.trial(2).result.data
    assert same is (number != "MemoryError()")
