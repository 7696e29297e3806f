"""The ssh launcher, on a real ssh server: three names of one machine, and hosts that cannot be used."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from urllib.parse import urlsplit

import mongo_server
import psutil
import pytest
import testbed

from hpcho.trial import Owner

DRIVER = Path(__file__).with_name("ssh_driver.py")

SQUARE = """
def objective(params):
    return params["x"] ** 2
"""
NAP = """
import time
def objective(params):
    time.sleep(0.3)
    return params["x"]
"""
HANG = """
import subprocess, time
def objective(params):
    subprocess.Popen(["sleep", "321"])
    time.sleep(300)
"""


class Refused(Exception):
    """What the driver's call raised."""


class Hands:
    """A driver process; calls go to it."""

    def __init__(self, lab):
        self._lab = lab
        self.log = lab.folder / f"driver-{len(list(lab.folder.glob('driver-*')))}.log"
        with self.log.open("wb") as log:
            self.process = lab.network.popen(
                [lab.network.python[0], DRIVER, lab.folder],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=lab.environment,
            )

    def __getattr__(self, name):
        def call(*arguments):
            self.process.stdin.write(json.dumps([name, arguments]) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
            assert line, self.log.read_text()
            answer = json.loads(line)
            if "error" in answer:
                raise Refused(f"{answer['error']}: {answer['message']}")
            return answer["value"]

        return call

    def said(self):
        return self.log.read_text()

    def kill(self):
        self.process.kill()
        self.process.communicate()


class Lab:
    """The user's folder with an experiment in it, in a MongoDB."""

    def __init__(self, network):
        self.network = network
        self.folder = network.folder
        self.job_dir = self.folder / "runs" / "lab"
        self.environment = {}
        self.url = mongo_server.test_url(self.folder)
        self._hands = []

    def hands(self):
        self._hands.append(Hands(self))
        return self._hands[-1]

    def prepared(self, code, trials):
        """Hands with an experiment."""
        parts = urlsplit(self.url)
        password = self.network.write("password", parts.password or "")
        password.chmod(0o600)
        url = self.url.replace(f":{parts.password}@", "@") if parts.password else self.url
        hands = self.hands()
        hands.prepare(url, str(password) if parts.password else None, code, trials)
        return hands

    def spec(self, *hosts, per_host=1, **more):
        self.network.write("hosts.txt", "\n".join(hosts) + "\n")
        return {"hosts": "hosts.txt", "workers_per_host": per_host, "ssh_config": str(self.network.ssh_config), **more}

    def processes(self):
        """All that was started on the hosts: agents, workers, and what these have started."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                there = process.environ().get("HPCHO_JOB_DIR") == str(self.job_dir)
                if (there or str(self.job_dir) in process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def agents(self):
        """What answers the launchers there."""
        found = []
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                if "hpcho.launchers.remote" in process.cmdline():
                    found.append(process)
        return found

    def named(self, name):
        """The pids of those of that name."""
        return [process.pid for process in self.processes() if process.name() == name]

    def workers(self):
        """{alias: [pid, ...]} of the worker processes."""
        found = {}
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                environment = process.environ()
                if (
                    "HPCHO_SSH_HOST" in environment
                    and "HPCHO_WORKER" not in environment
                    and os.getsid(process.pid) == process.pid
                ):
                    found.setdefault(environment["HPCHO_SSH_HOST"], []).append(process.pid)
        return found

    def counts(self):
        return {host: len(pids) for host, pids in sorted(self.workers().items())}

    def topped_up(self, hands, wanted, condition, timeout=60):
        """Ask for workers, as a controller does with every step, until ``condition()``."""

        def met():
            hands.top_up(wanted)
            return condition()

        try:
            testbed.until(met, timeout)
        except AssertionError as error:
            logs = "".join(f"--- {log}\n{log.read_text()[-3000:]}" for log in self.job_dir.glob("logs/*.log"))
            raise AssertionError(f"{error}\n{hands.said()}\n{logs}") from error

    def close(self):
        for hands in self._hands:
            hands.kill()
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                process.send_signal(signal.SIGKILL)
        mongo_server.drop(self.folder)


@pytest.fixture
def lab(network, mongo_url):
    with contextlib.closing(Lab(network)) as lab:
        yield lab


def by_state(hands):
    counts = {}
    for trial in hands.trials():
        counts[trial["state"]] = counts.get(trial["state"], 0) + 1
    return counts


def owner_of(pid):
    here = Owner.here()
    ticks = int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19])
    return Owner(here.host, pid, ticks).to_json()


def test_workers_on_three_hosts_evaluate_an_experiment_and_leave(lab):
    hands = lab.prepared(NAP, 24)
    hands.launch(lab.spec(*lab.network.hosts, per_host=2), {})
    lab.topped_up(hands, 6, lambda: lab.counts() == {"node1": 2, "node2": 2, "node3": 2})
    lab.topped_up(hands, 6, lambda: by_state(hands) == {"done": 24})
    trials = hands.trials()
    assert [trial["loss"] for trial in trials] == [float(i) for i in range(24)]
    assert {trial["attempts"] for trial in trials} == {1}
    assert len({trial["owner"]["pid"] for trial in trials}) > 1
    assert hands.close() is None
    assert lab.processes() == []
    assert sorted(path.name for path in lab.job_dir.glob("logs/workers-*")) == [
        f"workers-{host}.log" for host in lab.network.hosts
    ]


def test_what_is_wanted_is_spread_over_hosts(lab):
    hands = lab.prepared(SQUARE, 0)
    hands.launch(lab.spec(*lab.network.hosts, per_host=4), {})
    lab.topped_up(hands, 3, lambda: lab.counts() == {"node1": 1, "node2": 1, "node3": 1})
    lab.topped_up(hands, 5, lambda: sum(lab.counts().values()) == 5)
    assert max(lab.counts().values()) == 2
    hands.close()


def test_hosts_that_cannot_be_used_are_told_of_once_and_the_others_work(lab):
    hands = lab.prepared(SQUARE, 12)
    hands.launch(lab.spec("node1", "down", "badkey", "stranger", "nowhere", "node2"), {})
    lab.topped_up(hands, 6, lambda: by_state(hands) == {"done": 12} and "nowhere has" in hands.said())
    now = hands.top_up(6)
    assert now["capacity"] == 2
    assert re.match(
        r"4 of 6 hosts are not in use and will be tried again: down cannot be reached at 127", now["notice"]
    )
    time.sleep(5)  # tried again meanwhile, and nothing new to say
    said = hands.said()
    for words in (
        r"down cannot be reached at 127.0.0.1 port \d+ \(.*refused.*\)",
        r"badkey refuses the key of hpcho-test: see that `ssh -F \S+ssh_config badkey true` works without a password",
        r"stranger is not known: its key \(ssh-ed25519 SHA256:\S+\) is not in /dev/null\. Log in once with `ssh -F \S+",
        r"ssh_config stranger`, compare the key, and say yes",
        r"nowhere has no address: nowhere.invalid is not found",
    ):
        assert len(re.findall(words, said, re.IGNORECASE)) == 1, said
    hands.close()
    assert lab.processes() == []


def test_a_host_that_comes_back_gets_workers(lab):
    config = lab.network.ssh_config.read_text()
    away = lab.network.write("ssh_config", config.replace("Host *\n", "Host node2\n  Port 1\nHost *\n"))
    hands = lab.prepared(SQUARE, 0)
    hands.launch(lab.spec("node1", "node2", ssh_config=str(away)), {})
    lab.topped_up(hands, 2, lambda: lab.counts() == {"node1": 1} and "1 of 2" in (hands.top_up(2)["notice"] or ""))
    away.write_text(config)
    lab.topped_up(hands, 2, lambda: lab.counts() == {"node1": 1, "node2": 1})
    assert hands.top_up(2) == {"capacity": 2, "notice": None}
    hands.close()


def test_workers_outlive_a_killed_controller_and_the_next_one_finds_them(lab):
    hands = lab.prepared(NAP, 400)
    spec = lab.spec("node1", "node2", per_host=2)
    hands.launch(spec, {})
    lab.topped_up(hands, 4, lambda: lab.counts() == {"node1": 2, "node2": 2})
    before = {host: sorted(pids) for host, pids in lab.workers().items()}
    hands.kill()
    testbed.until(lambda: not lab.agents())
    other = lab.hands()
    other.open()
    done = by_state(other).get("done", 0)
    testbed.until(lambda: by_state(other).get("done", 0) > done + 4)
    other.launch(spec, {})
    lab.topped_up(other, 4, lambda: "node1 is in use" in other.said() and "node2 is in use" in other.said())
    for _ in range(20):
        other.top_up(4)
        time.sleep(0.1)
    assert {host: sorted(pids) for host, pids in lab.workers().items()} == before
    assert "starting" not in other.said()
    assert other.is_watching(owner_of(before["node2"][0]))
    other.close()
    assert lab.processes() == []


def test_a_killed_worker_is_told_of_and_replaced_and_its_children_go(lab):
    hands = lab.prepared(HANG, 1)
    hands.launch(lab.spec("node1"), {"heartbeat_s": 60})
    lab.topped_up(hands, 1, lambda: lab.named("sleep"))
    owner = hands.trials()[0]["owner"]
    assert hands.death_of(owner, 0.0) is None
    assert hands.is_watching(owner)
    os.kill(owner["pid"], signal.SIGKILL)
    cause, words = testbed.until(lambda: hands.death_of(owner, 0.0))
    assert cause == "node"
    assert words == f"the worker process {owner['host']}:{owner['pid']} is gone, killed by SIGKILL"
    assert not hands.is_watching(owner)
    testbed.until(lambda: not lab.named("sleep"))
    hands.top_up(1)
    hands.close()
    assert lab.processes() == []


def test_a_pid_that_another_process_has_by_now_is_a_death(lab):
    hands = lab.prepared(SQUARE, 0)
    hands.launch(lab.spec("node1"), {})
    lab.topped_up(hands, 1, lambda: lab.counts() == {"node1": 1})
    owner = owner_of(os.getpid())
    assert hands.death_of(owner, 1.0) is None
    time.sleep(3)
    assert hands.death_of(owner, 1.0) is None, "it runs"
    assert not hands.is_watching(owner), "and is no worker of ours"
    other = {**owner, "started": owner["started"] - 1}
    assert testbed.until(lambda: hands.death_of(other, 1.0))[0] == "node"
    elsewhere = {**owner, "host": "elsewhere"}
    assert hands.death_of(elsewhere, 1e6) is None
    assert not hands.is_watching(elsewhere)
    hands.close()


def test_a_worker_that_runs_and_gives_no_sign_of_life_is_ended(lab):
    hands = lab.prepared(HANG, 1)
    hands.launch(lab.spec("node1"), {})
    lab.topped_up(hands, 1, lambda: hands.trials()[0]["owner"])
    owner = hands.trials()[0]["owner"]
    os.kill(owner["pid"], signal.SIGSTOP)
    cause, words = testbed.until(lambda: hands.death_of(owner, 2.5))
    assert (cause, words) == (
        "node",
        f"the worker process {owner['host']}:{owner['pid']} ran, but gave no sign of life, and was ended",
    )
    hands.close()
    assert lab.processes() == []


def test_a_host_that_vanished_is_the_networks_doing_once_the_worker_is_silent_too(lab):
    config = lab.network.write("ssh_config", lab.network.ssh_config.read_text())
    hands = lab.prepared(HANG, 1)
    hands.launch(lab.spec("node1", ssh_config=str(config)), {})
    lab.topped_up(hands, 1, lambda: hands.trials()[0]["owner"])
    owner = hands.trials()[0]["owner"]
    config.write_text("Host node1\n  Port 1\n" + config.read_text())
    for agent in lab.agents():
        agent.kill()
    testbed.until(lambda: not hands.is_watching(owner))
    assert hands.death_of(owner, 1.9) is None
    cause, words = hands.death_of(owner, 2.1)
    assert cause == "network"
    assert words.startswith(
        f"no sign of life from the worker {owner['host']}:{owner['pid']} for 2 s, and its host is away"
    )
    assert hands.top_up(1)["capacity"] in (0, 1)
    notice = hands.close()
    assert notice.startswith("not all workers were seen to leave (node1): those still there leave by themselves")
    assert lab.counts() == {"node1": 1}
    hands.put("control", {"stop": "now"})
    testbed.until(lambda: lab.processes() == [])


def test_release_gives_trials_back_and_a_later_wish_starts_others(lab):
    hands = lab.prepared(HANG, 2)
    hands.launch(lab.spec("node1", per_host=2), {"grace_s": 1.0})
    lab.topped_up(hands, 2, lambda: by_state(hands) == {"running": 2})
    before = lab.workers()["node1"]
    hands.release()
    testbed.until(lambda: lab.counts() == {})
    assert by_state(hands) == {"new": 2}
    assert [trial["attempts"] for trial in hands.trials()] == [0, 0]
    time.sleep(3)
    assert lab.counts() == {}
    lab.topped_up(hands, 1, lambda: lab.counts() == {"node1": 1})
    assert not set(lab.workers()["node1"]) & set(before)
    hands.close()
    assert lab.processes() == []


def test_close_kills_a_worker_that_does_not_leave(lab):
    hands = lab.prepared(HANG, 1)
    hands.launch(lab.spec("node1"), {"grace_s": 0.5})
    lab.topped_up(hands, 1, lambda: by_state(hands) == {"running": 1})
    os.kill(lab.workers()["node1"][0], signal.SIGSTOP)
    assert hands.close() is None
    assert lab.processes() == []
    assert "killing 1 worker that did not leave" in hands.said()


def test_close_before_anything_was_reached_returns(lab):
    hands = lab.prepared(SQUARE, 0)
    hands.launch(lab.spec("node1", "down"), {})
    assert hands.close() is None
    assert lab.processes() == []


def test_nobody_asks_any_more_and_no_worker_is_started(lab):
    hands = lab.prepared(SQUARE, 0)
    hands.launch(lab.spec("node1"), {})
    lab.topped_up(hands, 1, lambda: lab.counts() == {"node1": 1})
    time.sleep(3.5)
    os.kill(lab.workers()["node1"][0], signal.SIGTERM)
    testbed.until(lambda: lab.counts() == {})
    time.sleep(5)
    assert lab.counts() == {}
    hands.close()


def test_workers_of_an_archived_run_are_sent_away(lab):
    hands = lab.prepared(SQUARE, 0)
    hands.launch(lab.spec("node1"), {})
    lab.topped_up(hands, 1, lambda: lab.counts() == {"node1": 1})
    old = lab.workers()["node1"]
    hands.kill()
    record = json.loads((lab.job_dir / "experiment.json").read_text())
    (lab.job_dir / "experiment.json").write_text(json.dumps({**record, "uuid": "another"}))
    other = lab.hands()
    other.launch(lab.spec("node1"), {})
    testbed.until(lambda: "node1" not in lab.workers() or lab.workers()["node1"] != old)
    other.close()


def refusal(lab, hands, spec, **options):
    """What the launcher raises when it is asked for workers."""
    hands.launch(spec, options)
    try:
        testbed.until(lambda: hands.top_up(1)["capacity"] < 0, timeout=40)
    except Refused as error:
        hands.close()
        return str(error)
    raise AssertionError(hands.said())


def test_a_wrong_python_is_told_of(lab):
    hands = lab.prepared(SQUARE, 1)
    words = refusal(lab, hands, lab.spec("node1", python="/opt/no/python"))
    assert words.startswith(
        f"LauncherError: none of the hosts in {lab.folder}/hosts.txt can be used:\n  node1 has no Python at "
    )
    assert "/opt/no/python" in words
    assert words.endswith("launcher.ssh.python names the Python of the hosts")


def test_a_python_without_hpcho_is_told_of(lab):
    hands = lab.prepared(SQUARE, 1)
    words = refusal(lab, hands, lab.spec("node1", "node2", python="/usr/bin/python3"))
    assert "\n  node1 has no hpcho 0" in words
    assert "\n  node2 has no hpcho 0" in words


def test_another_version_is_told_of(lab):
    folder = lab.folder / "other"
    shutil.copytree(testbed.ROOT / "hpcho", folder / "hpcho", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "hpcho" / "__init__.py").write_text('__version__ = "9.9"\n')
    python = lab.network.write("python", f'#!/bin/sh\nPYTHONPATH={folder} exec {lab.network.python[0]} "$@"\n')
    python.chmod(0o755)
    hands = lab.prepared(SQUARE, 1)
    words = refusal(lab, hands, lab.spec("node1", python=str(python)))
    assert f"node1 has hpcho 9.9 in {python}: install 0" in words


def test_a_job_directory_that_is_not_there_is_told_of(lab):
    hands = lab.prepared(SQUARE, 1)
    lab.job_dir.rename(lab.job_dir.with_name("hidden"))
    words = refusal(lab, hands, lab.spec("node1"))
    assert f"node1 does not see the job directory {lab.job_dir}; all hosts must see it under this path" in words


def test_another_job_directory_at_the_same_path_is_told_of(lab):
    hands = lab.prepared(SQUARE, 1)
    words = refusal(lab, hands, lab.spec("node1"), uuid="one")
    assert f"node1 has another experiment's job directory at {lab.job_dir}" in words


def test_workers_that_cannot_start_are_told_of_with_their_last_words(lab):
    hands = lab.prepared(SQUARE, 1)
    words = refusal(lab, hands, lab.spec("node1"), entry=["-c", "raise SystemExit('no GPU here')"])
    assert "node1 has workers that end as soon as they start (exit code 1): the last lines of " in words
    assert words.endswith("workers-node1.log:\nno GPU here")


def test_one_host_with_a_greeting_and_settings_of_its_own(lab):
    """What the hosts file says goes before ssh_config; python may be below ~; a shell's noise does no harm."""
    home = testbed.TESTBED / "home"
    given = lab.network.ssh_config.read_text()
    port = re.findall(r"Port (\d+)", given)[-1]
    config = lab.network.write("ssh_config", f"Host alias\n  HostName 127.0.0.1\n  Port 1\n  User nobody\n{given}")
    link = home / "python-for-hpcho"
    link.unlink(missing_ok=True)
    script = lab.network.write("python", f'#!/bin/sh\necho "Welcome to node1"\nexec {lab.network.python[0]} "$@"\n')
    script.chmod(0o755)
    link.symlink_to(script)
    try:
        hands = lab.prepared(SQUARE, 3)
        host = f"hpcho-test@alias:{port}"
        hands.launch(lab.spec(f"{host}  # the one", ssh_config=str(config), python="~/python-for-hpcho", mem_gb=3), {})
        lab.topped_up(hands, 1, lambda: by_state(hands) == {"done": 3})
        environment = psutil.Process(lab.workers()[host][0]).environ()
        assert (environment["HPCHO_MEM_GB"], environment["HPCHO_GRACE_S"]) == ("3", "5")
        hands.close()
        assert lab.processes() == []
    finally:
        link.unlink()
