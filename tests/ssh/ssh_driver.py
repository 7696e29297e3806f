"""A controller's hands, for tests: an SshLauncher and a store in a process of the ordinary user's.

Each line of its standard input is [name, arguments]; it answers with {"value": ...} or {"error": ..., "message": ...}.
"""

import json
import logging
import sys
import textwrap
import uuid
from pathlib import Path

from hpcho.experiment.launchers import SshLauncher as SshSpec
from hpcho.experiment.schema import Experiment
from hpcho.jobdir import JobDir
from hpcho.launchers.ssh import SshLauncher
from hpcho.store import open_store
from hpcho.trial import Draft, Owner, TrialState


class Driver:
    def __init__(self, folder):
        self.folder = folder
        self.jobdir = JobDir(folder / "runs" / "lab")
        self.launcher = self.store = None

    def prepare(self, url, password_file, code, trials):
        """A job directory with its record, a store and trials; x is 0, 1, 2, ... by tid."""
        self.jobdir.source.mkdir(parents=True)
        (self.jobdir.source / "train.py").write_text(textwrap.dedent(code))
        data = {
            "name": "lab",
            "objective": {"python": "train.py:objective"},
            "space": {"x": {"float": [0, 1000]}},
            "trial": {"heartbeat_s": 0.2},
            "launcher": {"ssh": {"hosts": "hosts.txt"}},
            "store": {"mongo": {"url": url, "password_file": password_file}},
        }
        experiment = Experiment.model_validate_json(json.dumps(data))
        record = {"uuid": str(uuid.uuid4()), "name": "lab", "yaml": str(self.folder / "experiment.yaml")}
        record["experiment"] = json.loads(experiment.model_dump_json())
        self.jobdir.write_record({**record, "database": {"kind": "mongo", "host": "here", "path": None}})
        self.open()
        self.store.add([Draft({"x": [float(i)]}) for i in range(trials)])

    def open(self):
        self.store = open_store(self.jobdir)

    def launch(self, spec, options):
        record = self.jobdir.read_record() or {"uuid": "none"}
        given = {"folder": self.folder, "uuid": record["uuid"], "heartbeat_s": 0.2, **options}
        self.launcher = SshLauncher(SshSpec.model_validate_json(json.dumps(spec)), self.jobdir, **given)

    def trials(self):
        return [
            {
                "tid": trial.tid,
                "state": TrialState(trial.state).label,
                "owner": trial.owner and trial.owner.to_json(),
                "loss": trial.result and trial.result.loss,
                "attempts": len(trial.attempts),
            }
            for trial in self.store.changes()[1]
        ]

    def top_up(self, wanted):
        running = [trial.owner for trial in self.store.changes()[1] if trial.state is TrialState.RUNNING]
        self.launcher.top_up(wanted, running)
        return {"capacity": self.launcher.capacity, "notice": self.launcher.notice}

    def death_of(self, owner, silent_s):
        failure = self.launcher.death_of(Owner.from_json(owner), silent_s)
        return failure and [str(failure.cause), failure.error]

    def is_watching(self, owner):
        return self.launcher.is_watching(Owner.from_json(owner))

    def release(self):
        self.launcher.release()

    def close(self):
        self.launcher.close()
        return self.launcher.notice

    def put(self, key, value):
        self.store.put(key, value)


def main():
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(message)s")
    logging.getLogger("hpcho").setLevel(logging.INFO)
    driver = Driver(Path(sys.argv[1]))
    for line in sys.stdin:
        name, arguments = json.loads(line)
        try:
            answer = {"value": getattr(driver, name)(*arguments)}
        except Exception as error:  # noqa: BLE001 - the test decides what it is worth
            answer = {"error": type(error).__name__, "message": str(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
