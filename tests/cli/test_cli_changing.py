"""enqueue and requeue."""

from hpcho.trial import TrialState


def enqueue(bench, hpcho, text):
    (bench.folder / "params.yaml").write_text(text)
    return hpcho("enqueue", bench.yaml, "params.yaml")


def test_enqueue_adds_one_point_and_samples_what_it_leaves_out(run, hpcho):
    done = enqueue(run, hpcho, "{units: 64, optimizer: sgd}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("added trial 5;")
    trial = run.trials()[5]
    assert trial.state is TrialState.NEW
    assert trial.origin == "enqueued"
    assert all(trial.vals[label] for label in trial.vals)  # sgd: every parameter is active


def test_enqueue_adds_a_list(run, hpcho):
    done = enqueue(run, hpcho, "- {x: 1e-3}\n- {x: 2}\n")
    assert done.stdout.startswith("added trials 5, 6;")
    assert len(run.trials()) == 7


def test_enqueue_names_every_wrong_place_and_adds_nothing(run, hpcho):
    done = enqueue(run, hpcho, "- {x: 1}\n- {unis: 8}\n- 7\n- {x: 99}\n")
    assert done.returncode == 2
    first, second, third = done.stderr.removeprefix("hpcho: ").splitlines()
    assert first.startswith("params.yaml:2:")
    assert "unis" in first
    assert second == "params.yaml:3:3: 2: must be a mapping of params, not 7"
    assert third.startswith("params.yaml:4:")
    assert len(run.trials()) == 5


def test_enqueue_refuses_an_empty_or_missing_file(run, hpcho):
    assert "is empty" in enqueue(run, hpcho, "").stderr
    assert "list is empty" in enqueue(run, hpcho, "[]").stderr
    assert "params.yaml:1:1: must be a mapping" in enqueue(run, hpcho, "text").stderr
    done = hpcho("enqueue", run.yaml, "gone.yaml")
    assert done.returncode == 2
    assert "gone.yaml: cannot be read: No such file or directory" in done.stderr


def test_requeue_puts_a_failed_trial_back(run, hpcho):
    done = hpcho("requeue", run.yaml, 3)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("put back trial 3;")
    trial = run.trials()[3]
    assert trial.state is TrialState.NEW
    assert len(trial.attempts) == 1


def test_requeue_checks_all_before_it_moves_any(run, hpcho):
    done = hpcho("requeue", run.yaml, 3, 0, 17)
    assert done.returncode == 2
    assert "nothing was put back: there is no trial 17; trial 0 is done, not error" in done.stderr
    assert run.trials()[3].state is TrialState.ERROR


def test_a_running_trial_of_hyperopt_s_own_worker_may_be_taken_back(run, hpcho):
    from hpcho.trial import Cause, Owner, TrialState

    store = run.store()
    running = store.claim(Owner("elsewhere", 77))
    store.close()
    done = hpcho("requeue", run.yaml, running.tid)
    assert done.returncode == 0, done.stderr
    trial = run.trials()[running.tid]
    assert (trial.state, trial.cause, trial.version) == (TrialState.NEW, Cause.NODE, running.version + 2)


def test_a_running_trial_of_ours_may_not(run, hpcho):
    from hpcho.trial import Owner

    store = run.store()
    running = store.claim(Owner.here())
    store.close()
    done = hpcho("requeue", run.yaml, running.tid)
    assert done.returncode == 2
    assert f"trial {running.tid} is running, not error" in done.stderr
