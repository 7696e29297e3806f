"""What an objective returns, reports, prints and raises, as it arrives in the store and the trial's folder."""

import json

import pytest
from worker_job import FAST

from hpcho.trial import Cause, Report, TrialState


def test_a_loss_arrives_with_its_attempt(job):
    trial = job("def objective(params): return params['x'] + 1").evaluate()
    assert (trial.state, trial.loss, trial.cause, trial.error) == (TrialState.DONE, 1.0, None, None)
    assert len(trial.attempts) == 1


def test_the_objective_gets_params_trial_and_data_which_is_made_once(job):
    lab = job(
        """
        import pathlib
        def data():
            with open("../made", "a") as file: file.write("x")
            return 10
        def objective(params, data, trial):
            (trial.dir / "mine").write_text("kept")
            return {"loss": params["x"] + data, "tid": trial.tid, "dir": trial.dir, "cwd": str(pathlib.Path.cwd())}
        """,
        objective={"python": "train.py:objective", "data": "train.py:data"},
    )
    lab.add(3)
    lab.serve()
    assert [trial.loss for trial in lab.trials()] == [10.0, 10.1, 10.2]
    assert (lab.dir.path / "made").read_text() == "x"
    data = lab.trial(2).result.data
    assert data == {"tid": 2, "dir": str(lab.dir.trial(2)), "cwd": str(lab.dir.source)}
    assert lab.file("mine", 2) == "kept"


def test_odd_values_are_kept_as_plain_data_and_files(job):
    trial = (
        lab := job(
            """
            import numpy as np, pathlib
            def objective(params):
                return {"loss": np.float32(0.5), "flag": np.bool_(True), "names": {"a"}, 7: 8,
                        "path": pathlib.Path("/x"), "bad": float("nan"), "big": np.zeros(50_000_000, "u1"),
                        "attachments": {"m.bin": b"abc"}}
            """
        )
    ).evaluate()
    assert trial.loss == 0.5
    data = trial.result.data
    assert (data["flag"], data["names"], data["path"], data["7"]) == (True, ["a"], "/x", 8)
    assert set(trial.result.attachments) == {"m.bin", data["big"]["attachment"]}
    assert lab.store.attachment(trial.tid, "m.bin").read_bytes() == b"abc"
    assert lab.store.attachment(trial.tid, data["big"]["attachment"]).stat().st_size > 50_000_000
    assert not list(lab.dir.trial(trial.tid).glob(".result-*"))


@pytest.mark.parametrize("value", ["float('nan')", "float('inf')", "None", "'good'", "True", "{'accuracy': 1}"])
def test_no_usable_loss_is_the_objectives_error_and_what_was_returned_is_kept(job, value):
    lab = job(f"def objective(params): return {value}")
    trial = lab.evaluate()
    assert (trial.state, trial.cause) == (TrialState.ERROR, Cause.OBJECTIVE)
    assert "Traceback" not in trial.error
    assert f"kept in {lab.dir.trial(0) / 'result.json'}" in trial.error
    assert json.loads(lab.file("result.json"))["loss"] is None


def test_files_of_a_bad_result_are_kept(job):
    lab = job("def objective(params): return {'loss': None, 'attachments': {'weights': b'w'}}")
    lab.evaluate()
    assert lab.file("result/weights") == "w"


def test_status_fail_is_a_result(job):
    trial = job("def objective(params): return {'status': 'fail', 'why': 'too deep'}").evaluate()
    assert (trial.state, trial.result.status, trial.result.data) == (TrialState.DONE, "fail", {"why": "too deep"})


def test_a_whole_chained_traceback_arrives_without_our_own_frames(job):
    lab = job(
        """
        def objective(params):
            try:
                inner(params["y"])
            except KeyError as error:
                raise RuntimeError("no y \\udc80") from error
        def inner(y): pass
        """
    )
    error = lab.evaluate().error
    assert error.startswith('Traceback (most recent call last):\n  File "')
    assert "KeyError: 'y'" in error
    assert "The above exception was the direct cause" in error
    assert error.endswith("RuntimeError: no y \\udc80")
    assert f'{lab.dir.source / "train.py"}", line 4, in objective' in error
    assert "hpcho/worker" not in error
    assert error in lab.file("stderr.log")


def test_a_very_long_message_is_cut_in_the_middle(job):
    error = job("def objective(params): raise ValueError('a' * 10**6 + 'end')").evaluate().error
    assert len(error) < 110_000
    assert "characters left out" in error
    assert error.endswith("aend")


def test_reports_are_stored_before_the_result(job):
    lab = job(
        """
        def objective(params, trial):
            for step in range(5000): trial.report(step, 1 / (step + 1))
            assert not trial.should_prune() and not trial.should_stop()
            return 0.0
        """
    )
    trial = lab.evaluate()
    assert len(trial.reports) == 5000
    assert trial.reports[-1] == Report(4999, 1 / 5000)


def test_reports_arrive_while_the_trial_runs(job):
    lab = job(
        """
        import sqlite3, time
        def objective(params, trial):
            trial.report(1, 0.5)
            for _ in range(500):
                if sqlite3.connect("../trials.db").execute("select count(*) from report").fetchone() == (1,): return 1.0
                time.sleep(0.01)
        """,
        trial=FAST,
    )
    assert lab.evaluate().loss == 1.0


def test_a_diverged_epoch_can_be_reported(job):
    code = "def objective(params, trial):\n    trial.report(1, float('nan')); trial.report(2, 0.5); return 1.0"
    trial = job(code).evaluate()
    assert trial.loss == 1.0
    assert [report.step for report in trial.reports] == [1, 2]


def test_a_report_that_is_no_number_says_so(job):
    error = job("def objective(params, trial): trial.report(1, 'low')").evaluate().error
    assert "trial.report(step, loss): loss must be a number, not 'low'" in error


def test_a_step_that_no_store_can_keep_costs_the_trial_only(job):
    error = job("def objective(params, trial): trial.report(2**70, 0.5)").evaluate().error
    assert "trial.report(step, loss): step must fit into 64 bits" in error


def test_output_goes_to_the_trials_files_whoever_writes_it(job):
    lab = job(
        """
        import ctypes, os, sys
        print("while importing")
        def objective(params):
            print("from Python", params["x"])
            os.system("echo from a command; echo complaint >&2")
            ctypes.CDLL(None).puts(b"from C")
            assert sys.stdin.read() == ""
            sys.stdout.write("no line end")
            return 0.0
        """
    )
    lab.add(2)
    lab.serve()
    for tid, x in ((0, 0.0), (1, 0.1)):
        out = lab.file("stdout.log", tid)
        assert f"from Python {x}" in out
        assert "from a command" in out
        assert "from C" in out
        assert "no line end" in out
        assert lab.file("stderr.log", tid) == "complaint\n"
    assert "while importing" in lab.log()
    assert "from C" not in lab.log()


def test_output_is_in_the_file_while_the_trial_runs(job):
    lab = job(
        """
        import pathlib, time
        def objective(params):
            print("epoch 1")
            log = pathlib.Path("../trials/0/stdout.log")
            while not log.exists() or log.read_text() != "epoch 1\\n": time.sleep(0.01)
            return 1.0
        """
    )
    assert lab.evaluate().loss == 1.0


def test_a_flood_of_output_arrives_whole(job):
    lab = job("def objective(params):\n    for i in range(100_000): print(i)\n    return 1.0")
    assert lab.evaluate().loss == 1.0
    assert lab.file("stdout.log") == "".join(f"{i}\n" for i in range(100_000))


def test_a_silent_trial_leaves_no_file(job):
    lab = job("def objective(params): return 1.0")
    lab.evaluate()
    assert not lab.dir.trial(0).exists()


def test_a_full_disk_cuts_the_log_and_not_the_training(job):
    lab = job("def objective(params): print('lost'); return 1.0")
    lab.dir.trial(0).mkdir(parents=True)
    (lab.dir.trial(0) / "stdout.log").symlink_to("/dev/full")
    assert lab.evaluate().loss == 1.0


def test_a_second_attempts_output_comes_after_a_header(job):
    lab = job("def objective(params): print('hello'); raise ValueError", retries={"objective": 1})
    lab.add()
    lab.serve(2)
    lines = lab.file("stdout.log").splitlines()
    assert lines[0] == lines[2] == "hello"
    assert lines[1].startswith("--- next attempt, ")


def test_the_child_starts_light(job):
    lab = job(
        "import sys\nLOADED = set(sys.modules)\ndef objective(params): return {'loss': 0, 'loaded': sorted(LOADED)}"
    )
    loaded = {name.partition(".")[0] for name in lab.evaluate().result.data["loaded"]}
    assert not loaded & {"numpy", "pydantic", "yaml", "psutil", "hyperopt", "logging"}
