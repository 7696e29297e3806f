"""A job directory with a real record, store and objective, and real workers on it."""

import json
import os
import subprocess
import sys
import textwrap
import time
import uuid

import psutil
import pytest

from hpcho.experiment.schema import Experiment
from hpcho.jobdir import JobDir
from hpcho.store import open_store
from hpcho.trial import Draft
from hpcho.worker import serve

FAST = {"heartbeat_s": 0.1}


class Job:
    """One experiment; its space is one float, x."""

    def __init__(self, folder, code, **settings):
        self.dir = JobDir(folder)
        self.dir.source.mkdir(parents=True)
        (self.dir.source / "train.py").write_text(textwrap.dedent(code), encoding="utf-8")
        data = {
            "name": "t",
            "objective": {"python": "train.py:objective"},
            "space": {"x": {"float": [0, 1]}},
            **settings,
        }
        experiment = Experiment.model_validate_json(json.dumps(data))
        record = {"uuid": str(uuid.uuid4()), "name": "t", "experiment": json.loads(experiment.model_dump_json())}
        self.dir.write_record(record)
        self.store = open_store(self.dir)

    def add(self, n=1):
        """New trials; x is 0.0, 0.1, ... by tid."""
        return [self.store.add([Draft({"x": [i / 10]})])[0] for i in range(n)]

    def trials(self):
        return self.store.changes()[1]

    def trial(self, tid=0):
        return next(trial for trial in self.trials() if trial.tid == tid)

    def file(self, name, tid=0):
        return (self.dir.trial(tid) / name).read_text(encoding="utf-8")

    def log(self):
        return "".join(path.read_text(encoding="utf-8") for path in sorted(self.dir.logs.glob("worker-*.log")))

    def serve(self, n=None, idle_exit_s=None):
        """A worker in this process, for ``n`` trials (default: all there are)."""
        return serve(self.dir, max_trials=n if n is not None else len(self.trials()), idle_exit_s=idle_exit_s)

    def evaluate(self):
        """Add one trial, have it evaluated once, and return it."""
        tid = self.add()[0].tid
        assert self.serve(1) == 0
        return self.trial(tid)

    def start(self, *options, **environment):
        """A worker in a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "hpcho.worker", str(self.dir.path), *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            start_new_session=True,
            text=True,
        )


def wait_for(what, timeout_s=30.0):
    """Until ``what()`` is true; its value."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if value := what():
            return value
        time.sleep(0.01)
    pytest.fail("what was waited for did not come")


def is_gone(pid):
    """Whether no such process runs (a zombie does not)."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
