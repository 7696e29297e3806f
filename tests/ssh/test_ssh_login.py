"""Logging in as OpenSSH would: ssh_config, keys, agents and known hosts mean what they mean to ``ssh``."""

import asyncio
import contextlib
import os
import re
import socket
import subprocess
import sys

import pytest

from hpcho.errors import LauncherError
from hpcho.launchers.hosts import Host
from hpcho.launchers.login import Door, Trouble


@pytest.fixture
def ssh(network, tmp_path, monkeypatch):
    """Log in to a host with lines put before the testbed's ssh_config, and say who one is there."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ssh").mkdir()
    given = network.ssh_config.read_text()

    def ssh(host, *lines, drop="nothing"):
        kept = "\n".join(line for line in given.splitlines() if drop not in line)
        config = tmp_path / "ssh_config"
        config.write_text("\n".join([*lines, kept]))

        async def visit():
            connection = await Door(config).login(host if isinstance(host, Host) else Host(host, host))
            try:
                return (await connection.run("id -un")).stdout.strip()
            finally:
                connection.close()
                await connection.wait_closed()

        return asyncio.run(visit())

    return ssh


@pytest.fixture
def folder(network):
    """The testbed's own."""
    return network.ssh_config.parent


def trouble(ssh, *arguments, **options):
    with pytest.raises(Trouble) as caught:
        ssh(*arguments, **options)
    return str(caught.value)


def test_a_host_behind_another_is_reached_through_it(ssh):
    assert ssh("behind", "Host behind", "  ProxyJump node2") == "hpcho-test"
    assert ssh("behind", "Host behind", "  ProxyJump hpcho-test@node1,node2") == "hpcho-test"
    # a pattern that holds for the jump host too does not lead in circles, and that host has settings of its own
    lines = ["Host outer", "  ProxyJump none", "Host inner", "  ProxyJump outer", "Host *", "  ProxyJump inner"]
    assert ssh("node3", *lines) == "hpcho-test"
    assert ssh("node3", "Host node*", "  ProxyJump node1") == "hpcho-test"


def test_what_is_wrong_with_the_way_is_told(ssh):
    assert trouble(ssh, "behind", "Host behind", "  ProxyJump badkey").startswith(
        "is behind badkey, which refuses the key"
    )
    words = trouble(ssh, "behind", "Host behind", "  ProxyJump node1", "  Port 1")
    assert re.fullmatch(r"cannot be reached at 127\.0\.0\.1 port 1 \(.*\)", words)
    circle = trouble(ssh, "a", "Host a", "  ProxyJump b", "Host b", "  ProxyJump a")
    assert circle == "is behind b, which has ProxyJump a in its ssh_config, which leads nowhere"
    assert "which leads nowhere" in trouble(ssh, "a", "Host a", "  ProxyJump @:")


def test_a_proxy_command_is_for_the_shell(ssh, network):
    command = f"ssh -F {network.ssh_config} -W %h:%p node1 2>/dev/null"
    assert ssh("behind", "Host behind", f"  ProxyCommand {command}") == "hpcho-test"


def test_no_known_hosts_does_not_mean_no_check(ssh):
    words = trouble(ssh, "node1", "UserKnownHostsFile none", "StrictHostKeyChecking no")
    assert words.startswith("is not known: its key (ssh-ed25519 SHA256:")


def test_the_systems_known_hosts_count(ssh, folder):
    lines = ["UserKnownHostsFile none", f"GlobalKnownHostsFile {folder}/known_hosts"]
    assert ssh("node1", *lines) == "hpcho-test"


def test_a_damaged_known_hosts_line_is_passed_over(ssh, folder, tmp_path):
    known = (folder / "known_hosts").read_text()
    (tmp_path / "known-node1").write_text(f"|1|nonsense ssh-rsa\n@what is this\n\n{known}")
    assert ssh("node1", "UserKnownHostsFile ~/known-%n") == "hpcho-test"


def test_another_key_than_the_known_one_is_no_unknown_one(ssh, folder, tmp_path):
    other = (folder / "unknown_id.pub").read_text().split()
    entry = (folder / "known_hosts").read_text().split()[0]
    (tmp_path / "known").write_text(f"{entry} {other[0]} {other[1]}\n")
    words = trouble(ssh, "node1", "UserKnownHostsFile ~/known")
    assert words.startswith("shows another key (ssh-ed25519 SHA256:")
    assert f"`ssh-keygen -R '{entry}'`" in words
    assert "else somebody may be in between" in words


def test_keys_that_are_missing_or_encrypted_are_passed_over(ssh, folder, tmp_path):
    locked = tmp_path / "locked"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", locked], check=True)
    lines = ["IdentityFile ~/missing", f"IdentityFile {locked}", f"IdentityFile {folder}/id"]
    assert ssh("node1", *lines, drop="IdentityFile") == "hpcho-test"


def test_a_key_in_the_agent_is_used(ssh, folder, monkeypatch):
    with agent(folder / "id") as path:
        monkeypatch.setenv("SSH_AUTH_SOCK", path)
        assert ssh("node1", drop="Identit") == "hpcho-test"


def test_of_the_agents_keys_those_count_that_the_configuration_names(ssh, folder, tmp_path, monkeypatch):
    (tmp_path / "id.pub").write_text((folder / "id.pub").read_text())  # the private half is in the agent alone
    with agent(folder / "id") as path:
        monkeypatch.setenv("SSH_AUTH_SOCK", path)
        for name in ("id", "id.pub"):
            lines = [f"IdentityFile ~/{name}", "IdentitiesOnly yes"]
            assert ssh("node1", *lines, drop="Identit") == "hpcho-test"
        lines = [f"IdentityFile {folder}/unknown_id", "IdentitiesOnly yes"]
        assert "refuses the key" in trouble(ssh, "node1", *lines, drop="Identit")


def test_an_agent_that_is_gone_does_no_harm(ssh, tmp_path, monkeypatch):
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "gone"))
    assert ssh("node1", drop="IdentityAgent") == "hpcho-test"


def test_the_hosts_file_goes_before_the_configuration(ssh, network):
    port = int(re.findall(r"Port (\d+)", network.ssh_config.read_text())[-1])
    lines = ["Host node1", "  User nobody", "  Port 1"]
    assert ssh(Host("x", "node1", "hpcho-test", port), *lines) == "hpcho-test"
    assert "port 1 " in trouble(ssh, Host("x", "node1", "hpcho-test"), *lines)


def test_without_asyncssh_it_is_said_how_to_have_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "asyncssh", None)
    with pytest.raises(
        LauncherError, match=r"needs asyncssh, which is not installed here .*: pip install 'hpcho\[ssh\]'"
    ):
        Door(None)


def test_a_mistake_in_the_configuration_is_told(ssh):
    assert re.search(r"has a mistake in its ssh_config: .*ssh_config line 1: ", trouble(ssh, "node1", "Port many"))


def test_a_host_that_says_nothing_is_given_up(ssh):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        words = trouble(ssh, "node1", f"Port {port}", "ConnectTimeout 1")
    assert words == f"does not answer at 127.0.0.1 port {port}"


@contextlib.contextmanager
def agent(key):
    """An ssh-agent that holds ``key``; its socket."""
    started = subprocess.run(["ssh-agent", "-s"], capture_output=True, text=True, check=True).stdout
    path, pid = re.search(r"SSH_AUTH_SOCK=([^;]+)", started)[1], int(re.search(r"SSH_AGENT_PID=(\d+)", started)[1])
    try:
        # a copy: ssh-add wants the key to be its caller's alone
        environment = {**os.environ, "SSH_AUTH_SOCK": path}
        subprocess.run(["ssh-add", "-q", "-"], input=key.read_bytes(), env=environment, check=True)
        yield path
    finally:
        os.kill(pid, 15)
