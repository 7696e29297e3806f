"""doctor, on hosts that ssh reaches."""

import json

EXPERIMENT = """\
name: lab
objective: {python: "train.py:objective"}
space: {x: {float: [0, 1]}}
launcher: {ssh: {hosts: hosts.txt, ssh_config: CONFIG}}
"""


def findings(network, hosts, objective="def objective(params): ...\n", *settings):
    network.write("hosts.txt", "".join(f"{host}\n" for host in hosts))
    network.write("train.py", objective)
    network.write("x.yaml", EXPERIMENT.replace("CONFIG", str(network.ssh_config)))
    options = [word for text in settings for word in ("--set", text)]
    argv = [*network.python, "-m", "hpcho", "doctor", "x.yaml", "--json", *options]
    done = network.run(argv, check=False)
    return done.returncode, {found["name"]: found for found in json.loads(done.stdout)["findings"]}


def test_each_host_is_looked_at_from_there(network):
    _, found = findings(network, ["node1", "node2"])
    for host in ("node1", "node2"):
        levels = {found[f"{host}: {name}"]["level"] for name in ("Python", "job directory", "store", "objective")}
        assert levels == {"ok"}


def test_a_host_that_cannot_be_used_is_told_beside_those_that_can(network):
    code, found = findings(network, ["node1", "badkey"])
    assert code == 1
    assert found["node1: objective"]["level"] == "ok"
    assert found["badkey: login"]["level"] == "failed"
    assert "ssh -F" in found["badkey: login"]["words"]


def test_a_host_without_this_python_is_told(network):
    code, found = findings(network, ["node1"], "def objective(params): ...\n", "launcher.ssh.python=/nowhere/python")
    assert code == 1
    assert "/nowhere/python" in found["node1: Python"]["words"]
    assert "launcher.ssh.python" in found["node1: Python"]["mend"]
