"""A database with hyperopt's own user; hyperopt's own programs, in an environment without hpcho; hpcho's workers."""

import contextlib
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import mongo_server
import numpy as np
import pymongo

from hpcho.objective.domain_blob import FILENAME
from hpcho.store.mongo import connect
from hpcho.store.stock import Documents, entrance
from hpcho.store.stock import connect as connect_stock

ROOT = Path(__file__).parent.parent.parent
PASSWORD = "p%40 ss/w"
KEY = "an experiment"


class Database:
    """An empty database of one test, and the ways into it."""

    def __init__(self, folder):
        self._url = mongo_server.test_url(folder)
        self.client = pymongo.MongoClient(self._url)
        self.name = self.client.get_default_database().name
        self.jobs = self.client[self.name]["jobs"]
        self.host = ":".join(map(str, self.client.address))
        with contextlib.suppress(pymongo.errors.OperationFailure):  # it is there from an earlier test
            roles = [{"role": "root", "db": "admin"}]
            self.client.admin.command("createUser", "hyperopt", pwd=PASSWORD, roles=roles)
        self.opened = []
        self.home = folder / "home"
        self.home.mkdir()
        self.password_file = self.home / ".hyperopt"
        self.password_file.write_text(PASSWORD + "\n")
        self.password_file.chmod(0o600)
        # As hyperopt-mongo-worker has it, which adds /jobs; hyperopt looks its own user up in admin.
        self.worker_url = f"mongo://hyperopt@{self.host}/{self.name}"
        self.url = f"{self.worker_url}/jobs"
        self.plain_url = f"mongodb://hyperopt@{self.host}/{self.name}?authSource=admin"

    def store(self, exp_key=KEY):
        opened = connect(self._url, exp_key=exp_key)
        self.opened.append(opened)
        return opened

    def documents(self, exp_key=KEY):
        return Documents(connect_stock(entrance(self.url), self.password_file), exp_key)

    def publish(self, blob, exp_key=KEY):
        with contextlib.closing(self.documents(exp_key)) as documents, documents.asking() as files:
            files.put(FILENAME, blob)

    def find(self, **where):
        return list(self.jobs.find(where).sort("tid"))

    def wait(self, number, patience_s=90, **where):
        """The documents like ``where``, once there are so many."""
        deadline = time.monotonic() + patience_s
        while len(found := self.find(**where)) < number:
            assert time.monotonic() < deadline, f"{len(found)} of {number} with {where}: {self.find()}"
            time.sleep(0.05)
        return found


class Programs:
    """Processes of one test: none is left behind."""

    def __init__(self, database, folder):
        self._database = database
        self.folder = folder
        self._stock_venv = None
        self.started = []

    def use(self, stock_venv):
        self._stock_venv = stock_venv

    def start(self, *command, cwd=None, **environment):
        inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        process = subprocess.Popen(
            [*map(str, command)],
            cwd=cwd or self.folder,
            env={**inherited, "HOME": str(self._database.home), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def stock_worker(self, *options, exp_key=KEY):
        """hyperopt's own worker, by its own command."""
        return self.start(
            self._stock_venv / "bin" / "hyperopt-mongo-worker",
            f"--mongo={self._database.worker_url}",
            f"--exp-key={exp_key}",
            "--poll-interval=1",
            "--reserve-timeout=60",
            f"--workdir={self.folder / 'stock work'}",
            *options,
        )

    def stock_script(self, text):
        """A script in hyperopt's own environment."""
        script = self.folder / "driver.py"
        script.write_text(textwrap.dedent(text))
        return self.start(self._stock_venv / "bin" / "python", script)

    def worker(self, *options, exp_key=KEY, cwd=None):
        """``hpcho worker`` for somebody's fmin."""
        return self.start(
            *(sys.executable, "-m", "hpcho", "worker", "--mongo-url", self._database.worker_url),
            *("--exp-key", exp_key, "--password-file", self._database.password_file, "--trust-pickle", *options),
            cwd=cwd,
            PYTHONPATH=str(ROOT),
        )

    def end(self):
        for process in self.started:
            if process.poll() is None:
                process.terminate()
        for process in self.started:
            try:
                process.communicate(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()


def add(trials, n=1, **fields):
    """New trials as a sampler makes them; their tids."""
    tids = trials.new_trial_ids(n)
    miscs = [
        {
            "tid": tid,
            "cmd": ("domain_attachment", "FMinIter_Domain"),
            "workdir": None,
            "idxs": {"x": [tid], "y": []},
            "vals": {"x": [np.float64(tid)], "y": []},
        }
        for tid in tids
    ]
    documents = trials.new_trial_docs(tids, [None] * n, [{"status": "new"}] * n, miscs)
    for document in documents:
        document.update(fields)
    trials.insert_trial_docs(documents)
    trials.refresh()
    return tids


def done(loss, **more):
    return {"state": 2, "result": {"status": "ok", "loss": loss, **more}, "owner": ["h:1"]}
