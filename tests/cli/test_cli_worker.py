"""A worker by hand."""

from hpcho.trial import TrialState


def test_a_worker_evaluates_so_many_trials_and_leaves(bench, hpcho):
    bench.add({"x": 2.0}, {"x": 1.0}, {"x": 0.0})
    done = hpcho("worker", bench.yaml, "--max-trials", "2")
    assert done.returncode == 0, done.stderr
    trials = bench.trials()
    assert [trial.state for trial in trials] == [TrialState.DONE, TrialState.DONE, TrialState.NEW]
    assert [trial.loss for trial in trials] == [4.0, 1.0, None]


def test_an_idle_worker_leaves_when_told_so(bench, hpcho):
    bench.make_job_dir()
    assert hpcho("worker", bench.jobdir.path, "--idle-exit", "0.1").returncode == 0


def test_numbers_of_trials_below_one_are_refused(bench, hpcho):
    done = hpcho("worker", bench.yaml, "--max-trials", "0")
    assert done.returncode == 2
    assert "--max-trials" in done.stderr
