"""Hundreds of workers with a pruner, on a real store with the real controller; their work takes simulated time."""

import heapq
import json
import random
from collections import Counter, defaultdict
from contextlib import closing
from dataclasses import dataclass, field

import pytest

from hpcho import checkpoints, samplers, space
from hpcho.controller import Controller
from hpcho.experiment.schema import Experiment
from hpcho.jobdir import JobDir
from hpcho.launchers.none import NoLauncher
from hpcho.pruners import rule_of
from hpcho.store.sqlite import SqliteStore
from hpcho.trial import Cause, Failure, Owner, Report, Result, Trial, TrialState
from hpcho.worker.pruning import Pruning

WORKERS, TRIALS, STEPS = 300, 600, 8
GRACE, FACTOR = 1, 2
RUNGS = [1, 2, 4]
SETTINGS = {
    "name": "lab",
    "objective": {"python": "objective.py:objective"},
    "space": {"x": {"float": [0, 1]}, "y": {"float": [0, 1]}},
    "sampler": {"name": "random"},
    "pruner": {"name": "asha", "grace": GRACE, "factor": FACTOR, "max_steps": STEPS},
    "budget": {"trials": TRIALS},
    "launcher": {"none": {}},
}


def curve(vals, step):
    """Losses cross: what is good early need not be in the end."""
    return vals["x"][0] + (1 + vals["y"][0]) / step


class Workers(NoLauncher):
    capacity = WORKERS

    def top_up(self, wanted, owners):
        pass


@dataclass(order=True)
class Job:
    """What one of the workers is at."""

    at: float
    worker: int
    trial: Trial | None = field(default=None, compare=False)
    step: int = field(default=0, compare=False)
    pruning: Pruning | None = field(default=None, compare=False)


class Lab:
    """Workers take turns by a clock; every so often the controller makes a step, or is killed and another begins."""

    def __init__(self, folder, store, seed):
        self.jobdir, self.store, self.random = JobDir(folder), store, random.Random(seed)
        self.experiment = Experiment.model_validate_json(json.dumps(SETTINGS))
        self.rule = rule_of(self.experiment.pruner)
        self.trained = Counter()
        self.checked = 0
        self.begin()

    def begin(self):
        points = space.build(self.experiment.space)
        sampler = samplers.build(self.experiment.sampler, points)
        self.controller = Controller(self.experiment, self.jobdir, self.store, points, sampler, Workers(), seed=1)

    def run(self):
        jobs = [Job(self.random.random(), worker) for worker in range(WORKERS)]
        heapq.heapify(jobs)
        next_step = 0.0
        while True:
            job = heapq.heappop(jobs)
            if job.at >= next_step:
                next_step = job.at + 0.2
                if self.random.random() < 0.05:
                    self.begin()
                before = len(self.controller.ledger.trials)
                if (end := self.controller.step()) is not None:
                    return end
                if any(trial.origin == "sampler" for trial in self.controller.ledger.trials[before:]):
                    self.check()
            self.work(job)
            heapq.heappush(jobs, job)

    def work(self, job):
        """Train a step, or begin a trial."""
        job.at += self.random.lognormvariate(0, 0.5)
        if job.trial is None:
            job.trial = self.store.claim(Owner("node", 1 + job.worker, 1))
            if job.trial is not None:
                self.resume(job, job.trial)
            return
        if self.random.random() < 0.01:
            self.store.fail(job.trial, Failure(Cause.NODE, "gone"), retry=True)
            job.trial = None
            return
        self.train(job, job.trial, self.jobdir.trial(job.trial.tid) / "step")

    def resume(self, job, trial):
        folder = self.jobdir.trial(trial.tid)
        folder.mkdir(parents=True, exist_ok=True)
        if trial.parent is not None:
            checkpoints.take_over(self.jobdir.trial(trial.parent), folder, list)
        saved = folder / "step"
        job.step = int(saved.read_text()) if saved.exists() else 0
        job.pruning = Pruning(self.rule, trial, self.store, 0.0)

    def train(self, job, trial, saved):
        job.step += 1
        self.trained[json.dumps(trial.vals)] += 1
        report = Report(job.step, curve(trial.vals, job.step))
        job.pruning.hear(report)
        self.store.heartbeat(trial, [report])
        saved.write_text(str(job.step))
        is_pruned = job.step < STEPS and job.pruning.gives_up()
        if is_pruned or job.step == STEPS:
            self.store.finish(trial, Result(report.loss, pruned=is_pruned))
            job.trial = None

    def check(self):
        """New points were drawn: so nothing may be left that is to be promoted; and the cutoffs are the published ones.

        Reckoned anew from the store, with nothing of hpcho's own bookkeeping.
        """
        self.checked += 1
        trials = {trial.tid: trial for trial in self.controller.ledger.trials}
        promoted = {trial.parent for trial in trials.values()}
        chains = defaultdict(dict)
        for trial in trials.values():
            for report in trial.reports:
                chains[json.dumps(trial.vals)].setdefault(report.step, report.loss)
        cutoffs = {}
        for rung in RUNGS:
            losses = sorted(losses[rung] for losses in chains.values() if rung in losses)
            best = losses[: len(losses) // FACTOR]
            if best:
                cutoffs[str(rung)] = best[-1]
            waiting = [
                t for t in trials.values() if t.is_pruned and t.reports[-1].step == rung and t.tid not in promoted
            ]
            assert [t.tid for t in waiting if best and t.loss <= best[-1]] == []
        assert self.store.get("cutoffs")["cutoffs"].get("0", {}) == cutoffs


@pytest.fixture
def lab(tmp_path):
    with closing(SqliteStore(tmp_path / "trials.db", JobDir(tmp_path))) as store:
        yield Lab(tmp_path, store, seed=0)


def test_hundreds_of_workers_prune_and_promote_each_trial_once_and_keep_to_the_budget(lab):
    end = lab.run()
    _, trials = lab.store.changes()
    assert (end.reason, sum(trial.is_ok for trial in trials)) == ("trials", TRIALS)
    assert {trial.state for trial in trials} == {TrialState.DONE}
    by_tid = {trial.tid: trial for trial in trials}
    promoted = [trial for trial in trials if trial.parent is not None]
    assert len(promoted) > 10
    assert max(Counter(trial.parent for trial in promoted).values()) == 1
    for trial in promoted:
        parent = by_tid[trial.parent]
        assert parent.is_pruned
        assert parent.vals == trial.vals
        assert trial.reports[: len(parent.reports)] == parent.reports
    for trial in trials:
        steps = [report.step for report in trial.reports]
        assert steps == list(range(1, steps[-1] + 1))  # none is left out, and none trained again
        assert trial.is_pruned == (steps[-1] < STEPS)
    furthest = {json.dumps(trial.vals): trial.reports[-1].step for trial in trials}
    assert lab.trained == furthest
    assert sum(lab.trained.values()) < 0.5 * STEPS * len(furthest)
    assert lab.checked > 3
