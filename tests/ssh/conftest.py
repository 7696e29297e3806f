"""An ssh server on loopback and an ordinary user who can log in there. All tests here are slow."""

from pathlib import Path

import pytest
import testbed


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.slow)


class Network(testbed.Person):
    """The user, and hosts to reach as this one: three names of one server, and some that fail."""

    hosts = ("node1", "node2", "node3")
    ssh_config = testbed.TESTBED / "sshd" / "ssh_config"

    def ssh(self, host, command, **options):
        """What a command on a host said."""
        return self.run(["ssh", "-F", self.ssh_config, host, command], check=False, **options)


@pytest.fixture(scope="session")
def _sshd():
    """Started once a session, and left running for the next one: ``slurm/testbed/sshd stop`` ends it."""
    testbed.start("sshd")


@pytest.fixture
def network(request, _sshd):
    """Hosts for ssh, and the user to reach them as."""
    return Network(request.node.originalname, {})
