"""The ssh server answers by three names, and the hosts that must fail do so each in its own way."""

import pytest


def test_three_hosts_answer_as_the_ordinary_user(network):
    for host in network.hosts:
        assert network.ssh(host, "id -un; exit 3").stdout == "hpcho-test\n"
    assert network.ssh("node1", "exit 3").returncode == 3


def test_the_users_python_runs_there(network):
    done = network.ssh("node2", f"cd /; {network.python[0]} -c 'import hpcho'")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("down", "Connection refused"),
        ("badkey", "Permission denied (publickey)"),
        ("stranger", "Host key verification failed"),
        ("nowhere", "Could not resolve hostname"),
    ],
)
def test_a_host_that_cannot_be_reached_says_why(network, host, reason):
    done = network.ssh(host, "true")
    assert done.returncode == 255
    assert reason in done.stderr
