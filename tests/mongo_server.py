"""A MongoDB for tests: that of HPCHO_TEST_MONGO_URL or, where there is none, a ``secantusd-py`` on loopback.

Imported by spawned processes too, which find the URL in their environment.
"""

import contextlib
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pymongo
import pytest

from hpcho.store.administration import make_tables

URL = "HPCHO_TEST_MONGO_URL"
OURS = "HPCHO_TEST_MONGO_IS_OURS"
PATIENCE_S = 30


@contextlib.contextmanager
def running(tmp_path_factory):
    """The URL of a server, which stands in the environment meanwhile."""
    if URL in os.environ:
        yield os.environ[URL]
        return
    server = Server(tmp_path_factory.mktemp("mongo", numbered=True))
    os.environ |= {URL: server.url(), OURS: "1"}
    try:
        yield server.url()
    finally:
        del os.environ[URL], os.environ[OURS]
        server.stop()


def database_url(name):
    """The URL with a database, where users are in ``admin`` unless the URL says otherwise."""
    parts = urlsplit(os.environ[URL])
    query = parts.query if "authsource=" in parts.query.lower() else f"{parts.query}&authSource=admin".lstrip("&")
    return parts._replace(path=f"/{name}", query=query if "@" in parts.netloc else parts.query).geturl()


def test_url(folder):
    """The URL of the database that belongs to a test's folder."""
    return database_url(f"hpcho_test_{hashlib.sha256(str(folder).encode()).hexdigest()[:16]}")


test_url.__test__ = False


def drop(folder):
    """Remove a test's database from somebody's server; ours goes as a whole."""
    if OURS in os.environ:
        return
    url = test_url(folder)
    with pymongo.MongoClient(url) as client:
        client.drop_database(client.get_default_database().name)


class Server:
    """A ``secantusd-py`` with one user, journalled writes and its data in ``folder``; it may be killed and started.

    All of its tables are there from the beginning: killed while it makes one, it would not start again.
    """

    user, password = "test", "secret"

    def __init__(self, folder):
        self.folder = folder
        self.port = free_port()
        self._program = shutil.which(
            "secantusd-py", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        )
        if self._program is None:
            pytest.skip("needs secantusd-py: pip install 'hpcho[embedded-mongo]', or name a server in " + URL)
        self._start()
        with pymongo.MongoClient(self.url(user=""), serverSelectionTimeoutMS=PATIENCE_S * 1000) as client:
            client.admin.command("createUser", self.user, pwd=self.password, roles=[{"role": "root", "db": "admin"}])
        make_tables(self.url(user=""))
        self.stop()
        self.start()

    def url(self, database="", user="test:secret@"):
        source = "authSource=admin&" if user else ""
        return f"mongodb://{user}127.0.0.1:{self.port}/{database}?{source}directConnection=true"

    def start(self):
        self._start("--auth", "--sync-on-commit")
        with pymongo.MongoClient(self.url(), serverSelectionTimeoutMS=PATIENCE_S * 1000) as client:
            client.admin.command("ping")

    def stop(self):
        self._end(signal.SIGTERM)

    def kill(self):
        self._end(signal.SIGKILL)

    def pause(self):
        self._process.send_signal(signal.SIGSTOP)

    def resume(self):
        self._process.send_signal(signal.SIGCONT)

    def _start(self, *more):
        # In its own folder: it would read a secantusd.toml from ours.
        place = ["--host", "127.0.0.1", "--port", str(self.port), "--storage-path", str(self.folder)]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, *place, "--log-level", "WARNING", *more], cwd=self.folder, stdout=log, stderr=log
            )

    def _end(self, how):
        self._process.send_signal(how)
        self._process.wait(PATIENCE_S)


def free_port():
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
