"""The controller's steps on a real store, with a launcher that only takes note."""

import json
from contextlib import closing

import pytest

from hpcho import samplers, space
from hpcho.controller import Controller, controller
from hpcho.experiment.schema import Experiment
from hpcho.jobdir import JobDir
from hpcho.launchers.base import Crew
from hpcho.launchers.none import NoLauncher
from hpcho.store.sqlite import SqliteStore
from hpcho.trial import Cause, Failure, Owner, Report, Result, TrialState

OWNER = Owner("node", 1, 1, "12_0")


class Workers(NoLauncher):
    """So many workers, of whom the test is each."""

    def __init__(self, capacity):
        self.capacity = capacity
        self.owners = []

    def top_up(self, wanted, owners):
        self.owners.append(set(owners))


@pytest.fixture
def begin(tmp_path):
    """Begins a run: its controller, its store and its launcher."""
    with closing(SqliteStore(tmp_path / "trials.db", JobDir(tmp_path))) as store:

        def begin(budget, workers, **more):
            settings = {
                "name": "lab",
                "objective": {"python": "objective.py:objective"},
                "space": {"x": {"float": [-5, 5]}},
                "sampler": {"name": "random"},
                "budget": budget,
                "launcher": {"none": {}},
                **more,
            }
            experiment = Experiment.model_validate_json(json.dumps(settings))
            points = space.build(experiment.space)
            sampler = samplers.build(experiment.sampler, points)
            launcher = Workers(workers)
            run = Controller(experiment, JobDir(tmp_path), store, points, sampler, launcher, seed=1)
            return run, store, launcher

        yield begin


def test_workers_are_counted_for_whoever_looks_on(begin, monkeypatch):
    run, store, launcher = begin({"trials": 9}, 4)
    launcher.crew = Crew(idle=1, queued=2)
    run.step()
    store.claim(OWNER)
    run.step()
    staff = {"busy": 1, "idle": 1, "starting": 0, "queued": 2, "lost": 0}
    assert run.staff == staff
    launcher.death_of = lambda owner, silent_s: Failure(Cause.NODE, "gone")
    monkeypatch.setattr(controller, "CLOCK_S", 0.0)
    run.step()
    run.step()
    assert store.get("workers") == {**staff, "busy": 0, "lost": 1}


@pytest.mark.parametrize(("workers", "ahead"), [(2, 16), (200, 1000), (1500, 1500)])
def test_many_workers_have_one_trial_each_ahead(begin, workers, ahead):
    run, store, _ = begin({"trials": 9000}, workers)
    run.step()
    store.finish(store.claim(OWNER), Result(1.0))  # of one nobody can tell a rate
    while (claimed := store.claim(OWNER)) is not None:
        store.fail(claimed, Failure(Cause.NODE, "gone"), retry=False)
    run.step()
    assert len(run.ledger.waiting) == ahead


@pytest.mark.parametrize(("workers", "ahead"), [(1, 5), (2, 5), (200, 200)])
def test_before_the_first_success_no_more_is_queued_than_a_broken_objective_may_cost(begin, workers, ahead):
    run, store, _ = begin({"trials": 5000}, workers)
    run.step()
    assert len(store.changes()[1]) == ahead


def test_whoever_has_ended_a_trial_between_two_steps_is_known_to_have_had_it(begin):
    run, store, launcher = begin({"trials": 10}, 1)
    run.step()
    store.fail(store.claim(OWNER), Failure(Cause.OOM, "too much"), retry=True)
    run.step()
    run.step()
    assert launcher.owners == [set(), {OWNER}, set()]


def test_cancelling_what_is_queued_takes_several_steps_where_it_takes_long(begin, monkeypatch):
    monkeypatch.setattr(controller, "STEP_S", 0.0)
    run, store, _ = begin({"trials": 100, "loss": 0}, 1)
    run.step()
    queued = len(store.changes()[1]) - 1
    store.finish(store.claim(OWNER), Result(-1.0))
    steps = 1
    while (end := run.step()) is None:
        steps += 1
    assert (end.reason, steps) == ("loss", queued + 1)
    assert {trial.state for trial in store.changes()[1]} == {TrialState.DONE, TrialState.CANCEL}


@pytest.fixture
def pruned_run(begin):
    """A run with asha whose first four trials have come to step 1, the last of them pruned there."""
    run, store, _ = begin({"trials": 50}, 4, pruner={"name": "asha", "grace": 1, "factor": 2})
    run.step()
    claimed = [store.claim(OWNER) for _ in range(4)]
    for trial in claimed:
        store.heartbeat(trial, [Report(1, float(trial.tid))])
    store.finish(claimed[3], Result(3.0, pruned=True))
    run.step()
    return run, store


def test_the_cutoffs_are_in_the_store_after_a_step(pruned_run):
    _, store = pruned_run
    assert store.get("cutoffs")["cutoffs"] == {"0": {"1": 1.0}}


def test_work_that_keras_has_saved_of_paused_trials_goes_when_the_run_has_met_its_budget(begin, tmp_path):
    run, store, _ = begin({"trials": 4}, 4, pruner={"name": "asha", "grace": 1, "factor": 2})
    run.step()
    own, keras = (JobDir(tmp_path).trial(3) / name for name in ("state", "training-1.checkpoint"))
    own.parent.mkdir(parents=True)
    own.touch()
    keras.touch()
    for trial in [store.claim(OWNER) for _ in range(4)]:
        assert run.step() is None
        assert keras.exists()
        store.heartbeat(trial, [Report(1, float(trial.tid))])
        store.finish(trial, Result(float(trial.tid), pruned=trial.tid == 3))
    assert run.step().reason == "trials"
    assert (own.exists(), keras.exists()) == (True, False)


def test_a_run_that_was_stopped_keeps_it(pruned_run, tmp_path):
    run, store = pruned_run
    keras = JobDir(tmp_path).trial(3) / "training-1.checkpoint"
    keras.parent.mkdir(parents=True)
    keras.touch()
    run.stop("drain", "stopped", "stopped by the test")
    for trial in run.ledger.running.copy().values():
        store.finish(trial, Result(0.0))
    assert run.step().reason == "stopped"
    assert keras.exists()


def test_keep_spares_what_a_promoted_trial_is_to_go_on_from(begin, tmp_path):
    pruner = {"name": "asha", "grace": 1, "factor": 2}
    run, store, _ = begin({"trials": 50}, 4, pruner=pruner, keep={"best": 1})
    run.step()
    saved = JobDir(tmp_path).trial(0) / "state"
    saved.parent.mkdir(parents=True)
    saved.touch()
    first, *others = [store.claim(OWNER) for _ in range(4)]
    for trial in (first, *others[:2]):
        store.heartbeat(trial, [Report(1, float(trial.tid))])
    store.finish(first, Result(0.0, pruned=True))
    run.step()
    (promoted,) = [trial for trial in store.changes()[1] if trial.parent == 0]
    store.finish(others[0], Result(1.0))  # a whole trial: the pruned one is not the best any more
    run.step()
    assert saved.exists()
    while (claimed := store.claim(OWNER)).tid != promoted.tid:
        pass
    store.finish(claimed, Result(0.5))
    run.step()
    assert not saved.exists()


@pytest.mark.parametrize("has_saved", [True, False])
def test_a_paused_trial_is_promoted_before_anything_new_if_it_has_saved_its_work(pruned_run, tmp_path, has_saved):
    run, store = pruned_run
    if has_saved:
        JobDir(tmp_path).trial(3).mkdir(parents=True)
        (JobDir(tmp_path).trial(3) / "state").touch()
    while (claimed := store.claim(OWNER)) is not None:
        store.heartbeat(claimed, [Report(1, 9.0)])
        store.finish(claimed, Result(9.0, pruned=True))
        run.step()
        if store.get("cutoffs")["cutoffs"]["0"]["1"] >= 3.0:
            break
    for trial in [*run.ledger.running.values(), store.claim(OWNER)]:
        store.finish(trial, Result(0.0))  # four of them: so there is room for another, however short the queue is to be
    run.step()
    promoted = [trial for trial in store.changes()[1] if trial.parent is not None]
    assert [(trial.parent, trial.origin, trial.reports) for trial in promoted] == (
        [(3, "promoted", (Report(1, 3.0),))] if has_saved else []
    )


def test_keep_leaves_the_pareto_set_whole(begin, tmp_path):
    goals = {"minimise": ["loss", "size"], "constraints": ["ram < 9"], "keep": {"best": 1}}
    run, store, _ = begin({"trials": 9}, 1, **goals)
    folders = []
    for loss, size, ram in [(5, 1, 1), (4, 4, 1), (1, 9, 1), (3, 3, 1), (0, 0, 99), (3, 3, 1)]:
        run.step()
        trial = store.claim(OWNER)
        folder = JobDir(tmp_path).trial(trial.tid)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.keras").write_bytes(b"")
        folders.append(folder)
        store.finish(trial, Result(float(loss), data={"size": size, "ram": ram}))
    run.step()
    # 1 is beaten by 3, and 4 is not feasible; 5 is as good as 3.
    assert [tid for tid, folder in enumerate(folders) if (folder / "model.keras").exists()] == [0, 2, 3, 5]
