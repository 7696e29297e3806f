"""Whole runs on a cluster, by an ordinary user, and what may happen to one."""

import json
import random
import subprocess
import textwrap
import time
from contextlib import contextmanager, suppress

import psutil
import pytest
from testbed import until

from hpcho.store.server import lease

PAUSE_S = 2.0
BACK_S = 12.0
"""How long a node stays down."""


class SlurmLab:
    """A folder of the user's with an experiment, and the command line on it."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.folder = cluster.folder
        self.job_dir = cluster.folder / "runs" / "lab"
        self.started = []

    def write(self, code, settings, name="objective.py"):
        self.cluster.write(name, textwrap.dedent(code))
        self.cluster.write("experiment.yaml", "name: lab\n" + textwrap.dedent(settings))

    def start(self, *arguments, output="run.log"):
        """A command that goes on, with its output in a file."""
        with (self.folder / output).open("a") as file:
            command = [*self.cluster.python, "-m", "hpcho", arguments[0], "experiment.yaml", *arguments[1:]]
            process = self.cluster.popen(command, stdout=file, stderr=subprocess.STDOUT)
        self.started.append(process)
        return process

    def hpcho(self, *arguments, timeout=120):
        command = [*self.cluster.python, "-m", "hpcho", arguments[0], "experiment.yaml", *arguments[1:]]
        return self.cluster.run(command, check=False, timeout=timeout)

    def run(self, *arguments, code=0, timeout=120):
        done = self.hpcho("run", *arguments, timeout=timeout)
        assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}{done.stderr}{self.logs()}"
        return done

    def until_ended(self, process, code=0, timeout=120):
        """Wait for a started ``run``; returns what it has said."""
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout)
        said = (self.folder / "run.log").read_text()
        assert process.returncode == code, f"exit {process.returncode}\n{said}{self.logs()}"
        return said

    def json(self, command):
        done = self.hpcho(command, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def trials(self):
        return self.json("trials")

    def until(self, condition, timeout=60):
        try:
            return until(condition, timeout)
        except AssertionError as error:
            log = self.folder / "run.log"
            pytest.fail(f"{error}\n{log.read_text() if log.exists() else ''}\n{self.logs()}")

    def notes(self, name="notes"):
        """What objectives have written with ``note``, by line."""
        path = self.job_dir / name
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def until_begun(self, count=1, timeout=60):
        self.until(lambda: sum(note["what"] == "begun" for note in self.notes()) >= count, timeout)

    def attempts(self):
        """Failed attempts as ``trials`` shows none: all of them, with their trials' tids."""
        done = self.cluster.run([*self.cluster.python, "-c", ATTEMPTS, str(self.job_dir)])
        return json.loads(done.stdout)

    def workers(self):
        """The workers' own processes: neither their children nor srun."""
        return [process for process in self.processes() if _is_task(process)]

    def processes(self):
        """Everything alive that was started for this folder's runs."""
        place = str(self.folder)
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                mine = place in " ".join(process.cmdline()) or process.environ().get("HPCHO_JOB_DIR", "").startswith(
                    place
                )
                if mine and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def server(self):
        """Who keeps the run's database server, and the server: two pids, None for what there is none of."""
        holder = lease.read(self.job_dir / "mongo")
        if holder is None or not holder.may_live:
            return None, None
        return holder.owner.pid, holder.server.pid if holder.server else None

    def logs(self):
        paths = [*sorted(self.job_dir.glob("logs/*.log"))[:6], *sorted(self.job_dir.glob("jobs/*_log.out"))[-3:]]
        return "\n".join(f"--- {path}\n{path.read_text(errors='replace')[-3000:]}" for path in paths)

    def close(self):
        for process in self.started:
            process.kill()
            process.wait()


@contextmanager
def opened(cluster):
    """A lab that leaves nothing behind."""
    lab = SlurmLab(cluster)
    try:
        yield lab
    finally:
        lab.close()
        cluster.close()
        for process in lab.processes():
            with suppress(psutil.Error):
                process.kill()


def _is_task(process):
    with suppress(psutil.Error):
        parent = process.parent()
        started = "submitit.core._submit" in process.cmdline() and "srun" not in process.name()
        return started and parent is not None and parent.name().startswith("slurmstepd")
    return False


NOTE = '''
import json, os, time
def note(what, **more):
    """One line, whole even where many processes write."""
    line = json.dumps({"what": what, "at": time.time(), "pid": os.getpid(), **more}) + "\\n"
    file = os.open("../notes", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(file, line.encode())
    os.close(file)
'''
"""For objectives, whose folder is the job directory's source/."""

ATTEMPTS = """
import json, sys
from pathlib import Path
from hpcho.opening import open_run
with open_run(Path(sys.argv[1])) as run:
    trials = run.store.changes()[1]
rows = [{"tid": trial.tid, **attempt.to_json()} for trial in trials for attempt in trial.attempts]
print(json.dumps(rows))
"""


class Chaos:
    """Does something bad every few seconds, at random but in the same order with the same seed."""

    def __init__(self, lab, nodes, seed, pause_s=(PAUSE_S, 2 * PAUSE_S)):
        self.lab, self.nodes, self.pause_s = lab, nodes, pause_s
        self.done = []
        self._random = random.Random(seed)
        self._deeds = ("cancel", "node", "preempt", "worker", "controller", "server", "keeper", "both")
        self._left = []
        self._down = {}
        self._due = 0.0
        self.process = lab.start("run")

    def turn(self):
        """Something, if it is time."""
        now = time.monotonic()
        for node in [node for node, at in self._down.items() if now >= at]:
            self.lab.cluster.nodeup(node)
            del self._down[node]
        if now < self._due:
            return
        if not self._left:
            self._left = self._random.sample(self._deeds, len(self._deeds))
        deed = self._left.pop()
        if (what := getattr(self, f"_{deed}")()) is not None:
            self.done.append((deed, what))
        self._due = time.monotonic() + self._random.uniform(*self.pause_s)

    def end(self):
        """All nodes are back."""
        for node in self._down:
            self.lab.cluster.nodeup(node)
        self._down = {}

    def _cancel(self):
        running = [job.id for job in self.lab.cluster.squeue() if job.state == "RUNNING" and job.name == "hpcho-lab"]
        if not running:
            return None
        job = self._random.choice(running)
        self.lab.cluster.run(["scancel", job])
        return job

    def _node(self):
        node = self._random.choice(self.nodes)
        if self._down:
            return None
        self.lab.cluster.nodedown(node)
        self._down[node] = time.monotonic() + BACK_S
        return node

    def _preempt(self):
        node = self._random.choice(self.nodes)
        options = ["--partition=urgent", f"--nodelist={node}", "--exclusive", "--time=1", "--job-name=urgent"]
        return self.lab.cluster.submit(*options, "--output=/dev/null", "--wrap=sleep 3")

    def _worker(self):
        workers = self.lab.workers()
        return self._kill(self._random.choice(workers).pid) if workers else None

    def _controller(self):
        pid = self._kill(self.process.pid)
        self.process.wait()
        time.sleep(self._random.uniform(0, 3))
        self.process = self.lab.start("run")
        return pid

    def _server(self):
        return self._kill(self.lab.server()[1])

    def _keeper(self):
        return self._kill(self.lab.server()[0])

    def _both(self):
        keeper, server = self.lab.server()
        return self._kill(keeper), self._kill(server)

    @staticmethod
    def _kill(pid):
        with suppress(psutil.Error):
            psutil.Process(pid).kill() if pid else None
        return pid
