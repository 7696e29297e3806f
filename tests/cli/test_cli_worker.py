"""A worker by hand."""

from hpcho.trial import TrialState


def test_a_worker_evaluates_so_many_trials_and_leaves(bench, hpcho):
    bench.add({"x": 2.0}, {"x": 1.0}, {"x": 0.0})
    done = hpcho("worker", bench.yaml, "--max-trials", "2")
    assert done.returncode == 0, done.stderr
    trials = bench.trials()
    assert [trial.state for trial in trials] == [TrialState.DONE, TrialState.DONE, TrialState.NEW]
    assert [trial.loss for trial in trials] == [4.0, 1.0, None]
    assert done.stderr == "hpcho: the worker leaves: it has had its number of trials\n"


def test_an_idle_worker_leaves_when_told_so(bench, hpcho):
    bench.make_job_dir()
    done = hpcho("worker", bench.jobdir.path, "--idle-exit", "0.1")
    assert done.returncode == 0
    assert "the worker leaves: there was nothing to do for 0.1 s" in done.stderr


def test_a_worker_that_finds_the_run_stopped_says_so(bench, hpcho):
    bench.add({"x": 2.0})
    assert hpcho("stop", bench.yaml).returncode == 0
    done = hpcho("worker", bench.yaml)
    assert done.returncode == 0
    assert done.stderr == "hpcho: the worker leaves: the run was stopped; `hpcho run` goes on\n"


def test_numbers_of_trials_below_one_are_refused(bench, hpcho):
    done = hpcho("worker", bench.yaml, "--max-trials", "0")
    assert done.returncode == 2
    assert "--max-trials" in done.stderr
