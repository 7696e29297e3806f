"""The hosts file of ``launcher: ssh``."""

import re

import pytest

from hpcho.errors import ExperimentError
from hpcho.experiment.launchers import SshLauncher as SshSpec
from hpcho.jobdir import JobDir
from hpcho.launchers.hosts import Host, read_hosts
from hpcho.launchers.ssh import SshLauncher


@pytest.fixture
def read(tmp_path):
    """Read a hosts file with this text."""

    def read(text):
        path = tmp_path / "hosts.txt"
        path.write_text(text, encoding="utf-8")
        return read_hosts(path)

    return read


def test_hosts_stand_one_a_line_as_pssh_has_them(read):
    text = "# the lab's\n\nnode1\n  alice@node2:2222  # fast\n\tbob@site.org@node3\n10.0.0.7:22\r\n#node9\n"
    assert read(text) == (
        Host("node1", "node1"),
        Host("alice@node2:2222", "node2", "alice", 2222),
        Host("bob@site.org@node3", "node3", "bob@site.org"),
        Host("10.0.0.7:22", "10.0.0.7", None, 22),
    )


def test_an_ipv6_address_stands_in_brackets(read):
    assert read("[fe80::1%eth0]\nalice@[::1]:2222\n") == (
        Host("[fe80::1%eth0]", "fe80::1%eth0"),
        Host("alice@[::1]:2222", "::1", "alice", 2222),
    )


@pytest.mark.parametrize(
    ("line", "column", "words"),
    [
        ("node1 alice", 1, "'node1 alice' is more than one word: a line is [user@]host[:port]"),
        ("  node1, node2", 3, "is more than one word"),
        ("fe80::1", 1, "has colons, as IPv6 addresses do: those stand in brackets, [fe80::1]"),
        ("alice@::1", 1, "those stand in brackets, [::1]"),
        ("node1:ssh", 1, "'node1:ssh' is no host: a line is [user@]host[:port], such as node1 or alice@node1:2222"),
        ("node1:", 1, "is no host"),
        ("@node1", 1, "is no host"),
        ("alice@", 1, "is no host"),
        ("node1:70000", 1, "has a port that is none: it is a number from 1 to 65535"),
        ("node1:0", 1, "has a port that is none"),
        ("node0", 1, "stands in line 1 already: workers_per_host says how many run there"),
    ],
)
def test_a_line_that_is_no_host_is_told_of_with_its_place(read, tmp_path, line, column, words):
    with pytest.raises(ExperimentError, match=re.escape(words)) as caught:
        read(f"node0\n{line}\n")
    assert str(caught.value).startswith(f"{tmp_path}/hosts.txt:2:{column}: ")


def test_all_mistakes_are_told_of_at_once(read):
    with pytest.raises(ExperimentError) as caught:
        read("a b\nnode1\nc:d\n")
    assert [problem.line for problem in caught.value.problems] == [1, 3]


def test_a_file_without_hosts_or_none_at_all_is_told_of(read, tmp_path):
    with pytest.raises(ExperimentError, match=r"hosts\.txt: there is no host in it: write a line for each"):
        read("# none yet\n")
    with pytest.raises(ExperimentError, match=r"missing\.txt: the hosts cannot be read \(No such file or directory\)"):
        read_hosts(tmp_path / "missing.txt")
    (tmp_path / "latin.txt").write_bytes(b"n\xf6de\n")
    with pytest.raises(ExperimentError, match=r"cannot be read \(it is no UTF-8 text\): launcher\.ssh\.hosts"):
        read_hosts(tmp_path / "latin.txt")


def test_files_that_the_launcher_names_begin_beside_the_yaml(tmp_path):
    (tmp_path / "hosts.txt").write_text("node1\n")

    def launch(**spec):
        SshLauncher(SshSpec(**spec), JobDir(tmp_path / "runs"), folder=tmp_path, uuid="one", heartbeat_s=1.0)

    with pytest.raises(ExperimentError, match=rf"{tmp_path}/mine: there is no such file: launcher\.ssh\.ssh_config"):
        launch(hosts="hosts.txt", ssh_config="mine")
    with pytest.raises(ExperimentError, match=rf"{tmp_path}/other: the hosts cannot be read"):
        launch(hosts="other")
