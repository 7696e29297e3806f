"""A job directory whose trials are in a MongoDB, and the server of its own."""

import json
import os
import shutil
import sys
import time
import uuid
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from hpcho.experiment.schema import Experiment
from hpcho.jobdir import JobDir
from hpcho.store.server import attend, lease, mongo_of, way_in

EMBEDDED = shutil.which("secantusd-py", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))


class Bench:
    """A job directory; its server is the embedded one."""

    def __init__(self, folder):
        self.jobdir = JobDir(folder)
        folder.mkdir(mode=0o700)
        self.write()

    def write(self, store="mongo", **settings):
        """A record, as ``hpcho run`` makes it."""
        objective = {"python": "train.py:objective"}
        data = {"name": "t", "objective": objective, "space": {"x": {"float": [0, 1]}}, "store": store, **settings}
        experiment = Experiment.model_validate_json(json.dumps(data))
        record = {"uuid": str(uuid.uuid4()), "name": "t", "yaml": str(self.jobdir.path.parent / "experiment.yaml")}
        self.jobdir.write_record({**record, "experiment": json.loads(experiment.model_dump_json())})
        return experiment

    @property
    def folder(self):
        return self.jobdir.path / "mongo"

    @property
    def password(self):
        return (self.folder / "password").read_text().strip()

    @property
    def log(self):
        return (self.jobdir.logs / "server.log").read_text()

    def whereabouts(self):
        return json.loads((self.folder / "address.json").read_text())

    def way(self):
        record = self.jobdir.read_record()
        return way_in(self.jobdir, record, mongo_of(record))

    def holder(self):
        place = self.jobdir.read_record().get("database", {"path": "mongo"})["path"]
        return lease.read(self.jobdir.path / place)

    def attend(self, *arguments, **options):
        """Sees to the end of the server, so that no test leaves one."""
        return attend(self.jobdir, *arguments, **{"await_end": True, **options})

    def processes(self):
        """Everything alive that was started for this job directory."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                words = process.cmdline()
                if any(str(self.jobdir.path) in word for word in words) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return [process for process in found if process.pid != os.getpid()]

    def until(self, condition, timeout=30.0):
        deadline = time.monotonic() + timeout
        while not (value := condition()):
            assert time.monotonic() < deadline, f"not within {timeout} s\n{self.log}"
            time.sleep(0.05)
        return value


@pytest.fixture
def bench(tmp_path):
    if EMBEDDED is None:
        pytest.skip("needs secantusd-py: pip install 'hpcho[embedded-mongo]'")
    bench = Bench(tmp_path / "job")
    yield bench
    for process in bench.processes():
        with suppress(psutil.Error):
            process.kill()
