"""The command line in a process of its own, and job directories to read that no run has made."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

EXPERIMENT = """
name: lab
objective: {python: "train.py:objective"}
space:
  x: {float: [-5, 5]}
  units: {int: [8, 64], step: 8}
  optimizer: {choice: [adam, {sgd: {momentum: {float: [0, 0.9]}}}]}
sampler: {name: random, seed: 3}
budget: {trials: 12}
launcher: {local: {workers: 2}}
"""

OBJECTIVE = """
def objective(params):
    print("training with", params["units"])
    return {"loss": params["x"] ** 2, "status": "ok"}
"""


@pytest.fixture
def hpcho(tmp_path):
    """Call with a command line; gives back the finished process."""

    def call(*arguments, cwd=tmp_path, env=None, **options):
        return subprocess.run(
            [sys.executable, "-m", "hpcho", *map(str, arguments)],
            cwd=cwd,
            env={**os.environ, **(env or {})},
            capture_output=True,
            encoding="utf-8",
            timeout=120,
            check=False,
            **options,
        )

    return call


class Bench:
    """A folder with an experiment, and what a run of it would have left, filled through the store's own calls."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.yaml = folder / "experiment.yaml"
        self.write(EXPERIMENT, OBJECTIVE)

    def write(self, experiment: str, objective: str = OBJECTIVE):
        self.yaml.write_text(textwrap.dedent(experiment), encoding="utf-8")
        (self.folder / "train.py").write_text(textwrap.dedent(objective), encoding="utf-8")

    @property
    def jobdir(self):
        from hpcho.jobdir import JobDir

        return JobDir(self.folder / "runs" / "lab")

    def make_job_dir(self):
        from hpcho import controller
        from hpcho.opening import open_experiment

        opened = open_experiment(self.yaml)
        controller.prepare(opened.experiment, opened.space, self.yaml, self.jobdir)

    def store(self):
        from hpcho.store import open_store

        if self.jobdir.read_record() is None:
            self.make_job_dir()
        return open_store(self.jobdir)

    def add(self, *points):
        """New trials at these params."""
        import random

        from hpcho.opening import open_experiment
        from hpcho.trial import Draft

        store = self.store()
        space = open_experiment(self.yaml).space
        added = store.add([Draft(space.encode(point, random.Random(0))) for point in points])
        store.close()
        return [trial.tid for trial in added]

    def finish(self, point, loss, files=None, **data):
        """A trial that is done, with its attachments; returns its tid."""
        from hpcho.trial import Owner, Result

        self.add(point)
        store = self.store()
        trial = store.claim(Owner.here())
        paths = {}
        for name, content in (files or {}).items():
            paths[name] = self.folder / f"draft-{name}"
            paths[name].write_bytes(content)
        status = data.pop("status", "ok")
        store.finish(trial, Result(loss, status, data, tuple(paths)), paths)
        store.close()
        return trial.tid

    def fail(self, point, error="Traceback ...\nValueError: no such optimizer"):
        """A trial that has failed; returns its tid."""
        from hpcho.trial import Cause, Failure, Owner

        self.add(point)
        store = self.store()
        trial = store.claim(Owner.here())
        store.fail(trial, Failure(Cause.OBJECTIVE, error), retry=False)
        store.close()
        return trial.tid

    def trials(self):
        store = self.store()
        trials = store.changes()[1]
        store.close()
        return trials


@pytest.fixture
def bench(tmp_path):
    """A bench whose experiment was not run yet."""
    return Bench(tmp_path)


ADAM = {"x": 1.0, "units": 16, "optimizer": "adam"}
SGD = {"x": 0.5, "units": 32, "optimizer": "sgd", "momentum": 0.25}


@pytest.fixture
def run(bench):
    """A bench with two trials done (the second is the best), one that says fail, one in error, one new."""
    bench.finish(ADAM, 1.0)
    bench.finish(SGD, 0.25, val_accuracy=0.9)
    bench.finish({**ADAM, "x": 4.0}, None, status="fail")
    bench.fail({**ADAM, "x": 3.0})
    bench.add({**ADAM, "x": 2.0})
    return bench
