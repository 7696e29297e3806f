"""`hpcho run` with `launcher: ssh`, as an ordinary user: three hosts that work, one that is down, one that refuses."""

import contextlib
import json
import os
import signal
import subprocess
import textwrap

import psutil
import pytest
import testbed

HOSTS = """\
# of the lab
node1
node2
node3   # three names of one machine

down
badkey
"""
SETTINGS = """\
name: lab
objective: {{python: "train.py:objective"}}
space: {{x: {{float: [-5, 5]}}}}
sampler: {{name: random, seed: 1}}
budget: {{trials: {trials}}}
trial: {{heartbeat_s: 1}}
launcher: {{ssh: {{hosts: hosts.txt, workers_per_host: 2, ssh_config: {config}}}}}
"""
NAP = """
import os, subprocess, time
def objective(params, trial):
    (trial.dir / os.environ["HPCHO_SSH_HOST"]).touch()
    with subprocess.Popen(["sleep", "{seconds}"]) as child:  # one more to be left behind
        child.wait()
    return params["x"] ** 2
"""


class Lab:
    """The user's folder with an experiment in it."""

    def __init__(self, network):
        self.network, self.folder = network, network.folder
        self.runs = network.folder / "runs" / "lab"
        self._started = []

    def write(self, trials, seconds, hosts=HOSTS):
        self.network.write("train.py", textwrap.dedent(NAP).replace("{seconds}", str(seconds)))
        self.network.write("hosts.txt", hosts)
        self.network.write("x.yaml", SETTINGS.format(trials=trials, config=self.network.ssh_config))

    def argv(self, *arguments):
        return [*self.network.python, "-m", "hpcho", arguments[0], "x.yaml", *arguments[1:]]

    def hpcho(self, *arguments):
        return self.network.run(self.argv(*arguments), check=False)

    def start(self, *arguments):
        with (self.folder / "output").open("w") as output:
            process = self.network.popen(self.argv(*arguments), stdout=output, stderr=subprocess.STDOUT)
        self._started.append(process)
        return process

    def output(self):
        """What the last command that was started has said so far."""
        return (self.folder / "output").read_text()

    def said(self, process, code):
        """All that it has said, once it has ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(testbed.PATIENCE_S)
        assert process.returncode == code, self.output() + self.logs()
        return self.output()

    def trials(self):
        done = self.hpcho("trials", "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def hosts(self):
        """Where trials were begun."""
        return {path.name for path in self.runs.glob("trials/*/*") if path.name in self.network.hosts}

    def processes(self):
        """All that was started for this folder, wherever."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                place = [*process.cmdline(), process.environ().get("HPCHO_JOB_DIR", "")]
                if any(str(self.folder) in word for word in place) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def workers(self):
        """The pids of workers."""
        found = set()
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                is_worker = "hpcho.worker" in process.cmdline() and os.getsid(process.pid) == process.pid
                found |= {process.pid} if is_worker else set()
        return found

    def until(self, condition):
        try:
            return testbed.until(condition)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.logs()}") from None

    def until_busy(self):
        """Six trials run on three hosts."""
        self.until(lambda: len(self.workers()) == 6 and self.hosts() == set(self.network.hosts))

    def nothing_is_left(self):
        self.until(lambda: not self.processes())

    def logs(self):
        return "".join(f"--- {log}\n{log.read_text()[-2000:]}" for log in sorted(self.runs.glob("logs/*.log")))

    def close(self):
        for process in self._started:
            process.kill()
            process.wait()
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                process.kill()


@pytest.fixture
def lab(network):
    with contextlib.closing(Lab(network)) as lab:
        yield lab


def test_hosts_that_work_bring_a_run_to_its_end_and_the_others_are_told_of(lab):
    lab.write(trials=30, seconds=0.5)
    checked = lab.hpcho("check").stdout
    assert "  workers    10 workers by ssh, 2 on each of 5 hosts (hosts.txt)" in checked
    said = lab.said(lab.start("run"), 0)
    assert "Finished: 30 trials are done" in said
    assert "2 of 5 hosts are not in use and will be tried again: " in said
    assert "down cannot be reached at 127.0.0.1 port" in said
    assert "badkey refuses the key of hpcho-test: see that `ssh -F" in said
    assert [trial["state"] for trial in lab.trials()] == ["done"] * 30
    assert {trial["attempts"] for trial in lab.trials()} == {1}
    assert lab.hosts() == set(lab.network.hosts)
    lab.nothing_is_left()


def test_ctrl_c_twice_gives_trials_back_and_leaves_nobody_on_the_hosts(lab):
    lab.write(trials=12, seconds=60)
    run = lab.start("run")
    lab.until_busy()
    lab.until(lambda: " 6 busy" in lab.output())
    run.send_signal(signal.SIGINT)
    lab.until(lambda: "finishing 6 running trials; Ctrl-C again gives them back" in lab.output())
    run.send_signal(signal.SIGINT)
    said = lab.said(run, 130)
    assert "Interrupted; nothing is lost" in said
    lab.nothing_is_left()
    assert {(trial["state"], trial["attempts"]) for trial in lab.trials()} == {("new", 0)}
    lab.nothing_is_left()


def test_the_run_after_a_killed_controller_finds_its_workers(lab):
    lab.write(trials=24, seconds=3)
    first = lab.start("run")
    lab.until_busy()
    workers = lab.workers()
    first.kill()
    first.wait()
    second = lab.start("run")
    said = lab.said(second, 0)
    assert "Finished: 24 trials are done" in said
    assert {trial["attempts"] for trial in lab.trials()} == {1}
    owners = {int(trial["owner"].partition(":")[2]) for trial in lab.trials()}
    assert owners == workers
    lab.nothing_is_left()


def test_stop_from_another_terminal_ends_all_hosts_workers(lab):
    lab.write(trials=12, seconds=60)
    run = lab.start("run")
    lab.until_busy()
    busy = {"busy": 6, "idle": 0, "starting": 0, "queued": 0, "lost": 0}
    lab.until(lambda: json.loads(lab.hpcho("status", "--json").stdout)["staff"] == busy)
    assert "stopped. `hpcho run x.yaml` goes on." in lab.hpcho("stop", "--now").stdout
    assert "Stopped. `hpcho run x.yaml` goes on." in lab.said(run, 0)
    lab.nothing_is_left()


def test_without_a_host_that_works_the_run_ends_and_tells_all_reasons(lab):
    lab.write(trials=3, seconds=0, hosts="badkey\nstranger\n")
    said = lab.said(lab.start("run"), 4)
    assert "none of the hosts in" in said
    assert "badkey refuses the key of hpcho-test" in said
    assert "stranger is not known: its key" in said
    lab.nothing_is_left()


def test_check_names_what_is_wrong_in_the_files_by_line(lab):
    lab.write(trials=3, seconds=0, hosts="node1\nnode 2\n\nnode3:99999\nnode1\n")
    done = lab.hpcho("check")
    assert done.returncode == 2
    file = lab.folder / "hosts.txt"
    assert f"{file}:2:1: 'node 2' is more than one word: a line is [user@]host[:port]" in done.stderr
    assert f"{file}:4:1: 'node3:99999' has a port that is none" in done.stderr
    assert f"{file}:5:1: 'node1' stands in line 1 already" in done.stderr
    done = lab.hpcho("check", "--set", "launcher.ssh.ssh_config=nowhere")
    assert f"{lab.folder / 'nowhere'}: there is no such file: launcher.ssh.ssh_config names" in done.stderr
    done = lab.hpcho("check", "--set", "launcher.ssh.hosts=nowhere")
    assert "the hosts cannot be read (No such file or directory)" in done.stderr
